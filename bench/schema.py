"""The JSON Schema of `bench.json`, made from the types that are written to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from .costs import Costs
from .decision import Decision
from .environment import Environment
from .evidence import Basis, Evidence
from .floors import AgainstFloor, Floors
from .latency import LatencySummary, PairedRatio
from .measure import Measurement
from .plan import BenchPlan
from .quality import Comparison, Quality
from .result import DataFacts, Settings
from .sameness import Sameness
from .subgroups import SubgroupAurocs
from .subjects import Subject


def bench_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of what `to_record` gives."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "bench.json"}
    schema = head | msgspec.json.schema(_record(), schema_hook=_text)
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(schema))
    return found


def _record() -> type:
    """Return the shape of the file: what is put together there, of types that have their own."""
    summary = _shape(
        "Summary",
        latency=LatencySummary,
        latency_model=LatencySummary,
        throughput=dict[str, float],
        end_to_end=float,
        speed_up=PairedRatio,
        speed_up_end_to_end=PairedRatio,
    )
    model = _shape(
        "Model",
        subject=_with("SubjectRecord", Subject, without="bundle", non_commercial=bool),
        summary=summary,
        measurement=Measurement,
        costs=Costs,
        quality=Quality,
        comparison=Comparison | None,
        evidence=Evidence,
        sameness=Sameness | None,
        floor=AgainstFloor | None,
        subgroups=SubgroupAurocs,
        warnings=list[str],
    )
    return _shape(
        "Bench",
        format=str,
        format_version=int,
        genoslim=str,
        made_at=str,
        command=str,
        settings=Settings,
        environment=Environment,
        data=DataFacts,
        basis=Basis,
        floors=Floors,
        plan=_with("SealedPlan", BenchPlan, seal=str),
        exploratory=bool,
        known_before=list[str],
        baseline=str,
        models=list[model],  # type: ignore[valid-type]
        decision=Decision,
    )


def _with(shape: str, kind: type, /, *, without: str = "", **added: object) -> type:
    """Return the shape of a record with other fields than its type."""
    fields = get_type_hints(kind) | added
    fields.pop(without, None)
    return _shape(shape, **fields)


def _shape(shape: str, /, **fields: object) -> type:
    return msgspec.defstruct(shape, fields.items(), forbid_unknown_fields=True, kw_only=True)


def _text(kind: type) -> dict[str, Any]:
    """Say how what JSON has no type for is written."""
    if issubclass(kind, Path):
        return {"type": "string"}
    raise NotImplementedError
