"""A benchmark's rule, sealed in a file before the test split is opened.

The seal is the SHA-256 of all else in the file, so that a plan that was edited does not pass for
the one that was made. It proves when the rule was fixed to those who keep the file, or its seal,
elsewhere (committed, mailed); it is no signature.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..bundle.manifest import seal
from ..codec import decode, plain
from ..errors import GateError, GenoslimError
from ..files import read_json, write_json
from .evidence import Basis
from .rule import Machine, Rule

FORMAT, FORMAT_VERSION = "genoslim.bench-plan", 1
PLAN = "plan.json"


@dataclass(frozen=True, kw_only=True)
class PlannedSeed:
    """A further fine-tuned seed of a model: where it was and its content's SHA-256."""

    path: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class PlannedModel:
    """One model: where it was and its content's SHA-256; `seeds` are further ones.

    What is known of a candidate without the test split is there to be read, and None where it was
    not asked: `p50_ms` of single variants, the AUROC lost on validation (negative is worse), and of
    how many test units a model that loses nothing would be shown so, by the spread on validation.
    """

    name: str
    path: str
    digest: str
    p50_ms: float | None = None
    validation_difference: float | None = None
    units_needed: int | None = None
    seeds: tuple[PlannedSeed, ...] = ()


@dataclass(frozen=True, kw_only=True)
class BenchPlan:
    """What a benchmark will decide by.

    Attributes:
        sealed_at: When, ISO 8601 in UTC.
        data: Where the labelled windows were.
        data_fingerprint: Their SHA-256.
        test_rows: The SHA-256 of which variants of which class the test split has, whatever the
            file holds besides: another column or window makes no unseen rows.
        basis: The unit of resampling, how many the test split has, and what decides.
        baseline: What candidates are compared with.
        candidates: From the slowest to the fastest by `p50_ms`: the order of a sequence of tests.
        rule: Margin, error, correction for many models, and limits.
        machine: What the models run on.
    """

    format: str = FORMAT
    format_version: int = FORMAT_VERSION
    sealed_at: str
    genoslim: str
    data: str
    data_fingerprint: str
    test_rows: str
    basis: Basis
    baseline: PlannedModel
    candidates: tuple[PlannedModel, ...]
    rule: Rule
    machine: Machine

    @property
    def seal(self) -> str:
        """The SHA-256 of the plan."""
        return seal(plain(self))

    @property
    def order(self) -> tuple[str, ...]:
        """The candidates' digests, from the slowest to the fastest."""
        return tuple(model.digest for model in self.candidates)

    @property
    def models(self) -> tuple[PlannedModel, ...]:
        """The baseline, then the candidates."""
        return self.baseline, *self.candidates

    @property
    def seeds(self) -> tuple[PlannedSeed, ...]:
        """The further seeds of all models."""
        return tuple(seed for model in self.models for seed in model.seeds)

    @property
    def digests(self) -> set[str]:
        """The digests of all models and their further seeds."""
        return {one.digest for one in self.models} | {one.digest for one in self.seeds}

    @property
    def when(self) -> datetime:
        """When it was sealed."""
        return datetime.fromisoformat(self.sealed_at)

    def same_terms(self, other: BenchPlan) -> bool:
        """Whether another plan asks the same of the same models and rows."""
        return _terms(self) == _terms(other)


def now() -> str:
    """Return the time as a plan has it."""
    return datetime.now(UTC).isoformat()


def sealed(plan: BenchPlan) -> dict[str, Any]:
    """Return what the file holds: the plan in plain JSON types, and its `seal`."""
    return plain(plan) | {"seal": plan.seal}


def write_plan(path: Path, plan: BenchPlan) -> None:
    """Write a sealed plan."""
    write_json(path, sealed(plan))


def read_plan(path: Path) -> BenchPlan:
    """Read a sealed plan; GateError if it was changed, GenoslimError if it is none."""
    content = read_json(path)
    if content is None:
        raise GenoslimError(f"{path}: no such file; `genoslim bench plan` writes one")
    return unseal(content, str(path))


def unseal(content: Mapping[str, Any], where: str) -> BenchPlan:
    """Return the plan that parsed JSON holds; GateError if its seal does not fit."""
    if content.get("format") != FORMAT:
        raise GenoslimError(
            f"{where}: no plan of a benchmark (format {content.get('format')!r});"
            " `genoslim bench plan` writes one"
        )
    if (version := content.get("format_version")) != FORMAT_VERSION:
        raise GenoslimError(
            f"{where}: plan of format {version!r}; this genoslim reads {FORMAT_VERSION}"
        )
    if content.get("seal") != (found := seal(content)):
        raise GateError(
            f"{where}: was changed after it was sealed (its seal is {content.get('seal')}, its"
            f" content has {found}): make another plan"
        )
    return decode(BenchPlan, content, where)


def _terms(plan: BenchPlan) -> tuple[object, ...]:
    seeds = frozenset(seed.digest for seed in plan.seeds)
    digests = plan.baseline.digest, frozenset(plan.order), seeds
    return plan.data_fingerprint, plan.basis, plan.rule, plan.machine.precision, digests
