"""Which model to deploy: of those no worse than the baseline by the margin, the fastest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_CHANCE = 0.5


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What the decision looks at. `speed_up` is against the baseline, `p95` in seconds.

    `auroc_low` is the lower end of the AUROC's interval, `lower_bound` the one-sided lower bound of
    its difference to the baseline's.
    """

    name: str
    digest: str
    baseline: bool
    speed_up: float
    p95: float
    size: int
    auroc_low: float
    lower_bound: float
    noninferior: bool


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Which model to deploy (None: none), whether the gate passed, and why for each model."""

    deploy: str | None
    passed: bool
    summary: str
    reasons: dict[str, str]


def decide(
    candidates: Sequence[Candidate], *, margin: float, max_p95_ms: float | None = None
) -> Decision:
    """Choose among `candidates`, of which one is the baseline.

    Eligible is what is shown to be better than chance, non-inferior to the baseline at `margin`
    (the baseline itself is), within the limit on the 95th percentile of latency, and no copy of a
    model named before; nothing is if the baseline is no better than chance, since being as good as
    that says nothing. Of these the fastest at batch 1 is chosen; equally fast ones by size, then
    by the order they were named in. The gate passes if a model other than the baseline is
    eligible, or, when there is nothing but the baseline and copies of it, if the baseline is. Name
    the baseline first.
    """
    reference = next(candidate for candidate in candidates if candidate.baseline)
    faults = {
        candidate.name: [
            *_against_chance(candidate, reference),
            *_faults(candidate, candidates[:place], margin, max_p95_ms),
        ]
        for place, candidate in enumerate(candidates)
    }
    eligible = [candidate for candidate in candidates if not faults[candidate.name]]
    best = min(eligible, key=lambda c: (-c.speed_up, c.size), default=None)
    full = {candidate.digest for candidate in candidates if candidate.baseline}
    alone = all(candidate.digest in full for candidate in candidates)
    passed = any(alone or not candidate.baseline for candidate in eligible)
    return Decision(
        deploy=best.name if best else None,
        passed=passed,
        summary=_summary(best, passed, margin, max_p95_ms),
        reasons={
            candidate.name: _reason(candidate, faults[candidate.name], best)
            for candidate in candidates
        },
    )


def _against_chance(candidate: Candidate, baseline: Candidate) -> list[str]:
    """Return what speaks against models that may know nothing, and against their followers."""
    if candidate.auroc_low <= _CHANCE:
        return [
            "not shown to be better than chance: the lower end of its AUROC's interval,"
            f" {candidate.auroc_low:.4f}, is not above {_CHANCE:g}"
        ]
    if baseline.auroc_low <= _CHANCE:
        return ["the baseline is not shown to be better than chance: nothing follows from it"]
    return []


def _faults(
    candidate: Candidate, earlier: Sequence[Candidate], margin: float, max_p95_ms: float | None
) -> list[str]:
    """Return what speaks against a candidate."""
    faults = []
    twin = next((other.name for other in earlier if other.digest == candidate.digest), None)
    if twin is not None:
        faults.append(f"a copy of {twin}")
    if not candidate.baseline and not candidate.noninferior:
        faults.append(
            "not shown to be non-inferior: the lower bound of its AUROC difference,"
            f" {candidate.lower_bound:+.4f}, is not above {-margin:+g}"
        )
    if max_p95_ms is not None and candidate.p95 * 1000 > max_p95_ms:
        faults.append(
            f"p95 of {candidate.p95 * 1000:.3g} ms is over the limit of {max_p95_ms:g} ms"
        )
    return faults


def _reason(candidate: Candidate, faults: list[str], best: Candidate | None) -> str:
    if faults:
        return "not chosen: " + "; ".join(faults)
    if best is None or candidate is best:
        return (
            "chosen: "
            + ("the baseline itself, and " if candidate.baseline else "")
            + (f"the fastest eligible model, {candidate.speed_up:.2f}x the speed of the baseline")
        )
    if candidate.speed_up == best.speed_up:
        return f"not chosen: no faster than {best.name}, which is smaller or was named before"
    return (
        f"not chosen: slower, {candidate.speed_up:.2f}x against {best.speed_up:.2f}x of {best.name}"
    )


def _summary(best: Candidate | None, passed: bool, margin: float, max_p95_ms: float | None) -> str:
    limit = "" if max_p95_ms is None else f" with p95 within {max_p95_ms:g} ms"
    if best is None:
        return (
            "deploy none: no model is better than chance and non-inferior"
            f" at a margin of {margin:g}{limit}"
        )
    if not passed:
        return (
            f"keep {best.name}: no other model is shown to be non-inferior to it"
            f" at a margin of {margin:g}{limit}"
        )
    return f"deploy {best.name}: the fastest model non-inferior at a margin of {margin:g}{limit}"
