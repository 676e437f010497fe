"""What a benchmark found, as typed values; `to_record` is what `bench.json` holds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..codec import plain
from ..errors import UsageError
from ..models.licences import is_non_commercial
from .cold_start import STARTS
from .costs import Costs
from .decision import Decision
from .environment import Environment
from .evidence import Basis, Evidence
from .floors import AgainstFloor, Floors
from .measure import Measurement
from .plan import BenchPlan, sealed
from .quality import Comparison, Quality
from .rule import Machine, Rule, within
from .sameness import Sameness
from .subgroups import SubgroupAurocs
from .subjects import Subject

FORMAT = "genoslim.bench"
FORMAT_VERSION = 1

SECONDS, ROUNDS = 20.0, 5
QUICK_SECONDS, QUICK_ROUNDS = 3.0, 3


@dataclass(frozen=True, kw_only=True)
class Settings(Rule, Machine):
    """What was asked for. `seconds` is the time spent on a model's timings, over all `rounds`.

    `starts` are the fresh processes of a cold start, `price_per_hour` is in `currency`.
    """

    seconds: float = SECONDS
    rounds: int = ROUNDS
    starts: int = STARTS
    prevalence: float | None = None
    price_per_hour: float | None = None
    currency: str | None = None

    def __post_init__(self) -> None:
        Rule.__post_init__(self)
        Machine.__post_init__(self)
        within("seconds", self.seconds, 0, math.inf)
        if self.prevalence is not None:
            within("prevalence", self.prevalence, 0, 1)
        if self.price_per_hour is not None:
            within("price-per-hour", self.price_per_hour, 0, math.inf)
        elif self.currency is not None:
            raise UsageError(
                f"currency is {self.currency}, and there is no price: give one with price-per-hour"
            )
        if self.rounds < 1:
            raise UsageError(f"rounds is {self.rounds}; expected 1 or more")


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """The data set that quality is measured on, and how independent its test split is.

    `leakage` is the sentence of the check that found variants or overlapping windows in two
    splits, None if it found none. `recurring` says whether a test variant has more than one row.
    `cuts` are the fingerprints of the same rows with the shorter windows that some models are made
    for, by the length of these in bases.
    """

    path: str
    fingerprint: str
    source: str
    assembly: str
    licence: str
    window_length: int
    splits: dict[str, int]
    test_positives: int
    leakage: str | None
    recurring: bool
    groups: int
    cuts: dict[str, str]

    def fingerprint_for(self, window_length: int) -> str:
        """Return the fingerprint of the rows with windows of a length."""
        return self.cuts.get(str(window_length), self.fingerprint)

    @property
    def non_commercial(self) -> bool:
        """Whether the licence of the data forbids commercial use."""
        return is_non_commercial(self.licence)


@dataclass(frozen=True, kw_only=True)
class ModelResult:
    """All that was found out about one model.

    Attributes:
        subject: The model as it lies on disk.
        measurement: Raw times in seconds and memory in bytes.
        costs: Throughput over batch sizes and window lengths, cold start, energy, projections.
        quality: Figures on the test split.
        comparison: Against the baseline on the same rows; None for the baseline itself.
        evidence: What the decision looked at.
        sameness: Against the baseline, where it is of the same weights; None where that is not so,
            or not known.
        floor: Against the best floor on the same rows; None where there is none.
        subgroups: AUROC in each subgroup of the test rows, against the baseline's.
        speed_up: Of batch-1 latency against the baseline, median over rounds.
        warnings: What a reader of the figures should know.
    """

    subject: Subject
    measurement: Measurement
    costs: Costs
    quality: Quality
    comparison: Comparison | None
    evidence: Evidence
    sameness: Sameness | None
    floor: AgainstFloor | None
    subgroups: SubgroupAurocs
    speed_up: float
    warnings: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether it is the baseline in another form."""
        return self.sameness is not None and self.sameness.same

    @property
    def verdict(self) -> str:
        """What is shown of its AUROC against the baseline's, in words."""
        loss = self.evidence.loss
        if self.comparison is None or loss is None:
            return "baseline"
        if self.same:
            return "same model"
        test = self.comparison.noninferiority
        if test.adjusted_p is None and loss.low <= 0 <= loss.high:
            return "not tested"
        return loss.verdict(test.passed)


@dataclass(frozen=True, kw_only=True, repr=False)
class BenchResult:
    """One benchmark, as written to the output folder.

    Attributes:
        folder: Where it was written.
        made_at: When, ISO 8601 in UTC.
        command: The command that makes it again.
        settings: What was asked for.
        environment: The machine and the versions.
        data: The data set, and how independent its test split is.
        basis: What the decision rests on: how many independent units of which kind.
        floors: What simple models reach on the same rows.
        plan: The rule, as it was sealed before the test split was opened.
        exploratory: Whether it was made after test figures of these models had been seen.
        known_before: Models whose own test figures were known (their records hold them).
        models: What was found out about each model; the first is the baseline.
        decision: Which model to deploy, whether the gate passed, and why.
    """

    folder: Path
    made_at: str
    command: str
    settings: Settings
    environment: Environment
    data: DataFacts
    basis: Basis
    floors: Floors
    plan: BenchPlan
    exploratory: bool
    known_before: tuple[str, ...]
    models: tuple[ModelResult, ...]
    decision: Decision

    def __repr__(self) -> str:
        return f"<BenchResult in {self.folder}: {self.decision.summary}>"

    @property
    def baseline(self) -> ModelResult:
        """The model that all are compared with."""
        return self.models[0]


def to_record(result: BenchResult) -> dict[str, Any]:
    """Return everything of a benchmark, raw times included, as plain values for JSON."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "genoslim": __version__,
        "made_at": result.made_at,
        "command": result.command,
        "settings": plain(result.settings),
        "environment": plain(result.environment),
        "data": plain(result.data),
        "basis": plain(result.basis),
        "floors": plain(result.floors),
        "plan": sealed(result.plan),
        "exploratory": result.exploratory,
        "known_before": list(result.known_before),
        "baseline": result.baseline.subject.name,
        "models": [_model_record(model, result.baseline) for model in result.models],
        "decision": plain(result.decision),
    }


def _model_record(model: ModelResult, baseline: ModelResult) -> dict[str, Any]:
    """Return everything about one model, raw times included, for JSON."""
    measured = model.measurement
    return {
        "subject": model.subject.to_dict(),
        "summary": {
            "latency": plain(measured.latency),
            "latency_model": plain(measured.latency_model),
            "throughput": {
                str(batch): measured.throughput(batch) for batch in measured.rounds[0].batches
            },
            "end_to_end": measured.end_to_end,
            "speed_up": plain(measured.speed_up(baseline.measurement)),
            "speed_up_end_to_end": plain(measured.speed_up_end_to_end(baseline.measurement)),
        },
        "measurement": plain(measured),
        "costs": plain(model.costs),
        "quality": plain(model.quality),
        "comparison": plain(model.comparison) if model.comparison else None,
        "evidence": plain(model.evidence),
        "sameness": plain(model.sameness) if model.sameness else None,
        "floor": plain(model.floor) if model.floor else None,
        "subgroups": plain(model.subgroups),
        "warnings": list(model.warnings),
    }
