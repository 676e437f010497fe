"""Whether a graph may become a bundle: it has learnt something, and a lossy precision costs little.

The gate runs on ONNX Runtime's CPU provider. There int8 is computed as it will be in use. What fp16
costs is found with `precision.rehearse_half`: every weight and result is rounded as on CUDA, the
sums within an operator are float32.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..bundle.manifest import LossLimits, ParityReport, PrecisionLoss, SplitMetrics
from ..bundle.runner import GraphRunner
from ..bundle.runtime import to_probabilities
from ..data.dataset import LabelledData
from ..errors import GateError
from ..stats.calibration import brier, expected_calibration_error
from .evaluate import Calibration, auroc_change
from .verify import WINDOWS, Tolerances

LEVEL = 0.90
"""Of the two-sided interval of the AUROC's change: its lower end is the one-sided 95 % bound."""

LOSSY_PARITY = Tolerances(logit=1.0, probability=0.1, flipped=WINDOWS // 20)
"""Coarse: against torch, on windows cut short, these find a wrong graph and not a rounding."""

_ROUNDS = 5
_PASS_SECONDS = 0.25


@dataclass(frozen=True)
class JudgedRows:
    """Labels [n] and variant keys [n] of the windows that a lossy graph is judged on."""

    labels: NDArray[np.int8]
    keys: NDArray[np.str_]

    @classmethod
    def of(cls, splits: Sequence[LabelledData]) -> JudgedRows:
        """Take all rows of `splits`, one split after the other."""
        return cls(
            np.concatenate([split.labels for split in splits]),
            np.concatenate([split.keys for split in splits]),
        )


def require_learnt(metrics: Mapping[str, SplitMetrics]) -> None:
    """Raise GateError for a model that is not shown to beat chance on one of its splits."""
    for split, found in metrics.items():
        if not found.beats_chance:
            interval = found.interval
            raise GateError(
                f"the AUROC on {split} is {found.auroc:.3f}, its {interval.level:.0%} interval"
                f" {interval.low:.3f} to {interval.high:.3f}: not shown to beat chance. Nothing is"
                " written (to export it all the same: --allow-chance; its card then says so)"
            )


def measure_loss(
    rows: JudgedRows,
    exact: NDArray[np.float32],
    lossy: NDArray[np.float32],
    fitted: Calibration,
    *,
    provider: str,
    graphs: tuple[Path, Path],
    exact_parity: ParityReport,
    limits: LossLimits,
) -> PrecisionLoss:
    """Compare finite logits [n, 2] of a lossy with those of the exact graph on the same rows.

    `graphs` are the ONNX files, exact and lossy.
    """
    difference = np.abs(lossy - exact)
    before, after = (to_probabilities(logits, fitted.temperature) for logits in (exact, lossy))
    change, interval = auroc_change(rows.labels, before, after, keys=rows.keys, level=LEVEL)
    errors = [expected_calibration_error(rows.labels, values) for values in (before, after)]
    exact_bytes, lossy_bytes = map(_bytes, graphs)
    return PrecisionLoss(
        provider=provider,
        windows=len(rows.labels),
        max_logit_difference=float(difference.max()),
        mean_logit_difference=float(difference.mean()),
        flipped=int(((before >= fitted.threshold) != (after >= fitted.threshold)).sum()),
        auroc_change=change,
        auroc_interval=interval,
        brier_change=brier(rows.labels, after) - brier(rows.labels, before),
        calibration_error_change=errors[1] - errors[0],
        bytes=lossy_bytes,
        exact_bytes=exact_bytes,
        exact_parity=exact_parity,
        limits=limits,
    )


def require_kept(precision: str, parity: ParityReport, loss: PrecisionLoss) -> None:
    """Raise GateError with every figure unless all of them are within their limits."""
    limits = loss.limits
    if loss.kept and parity.passed and _spread(parity) <= limits.batch_difference:
        return
    interval = loss.auroc_interval
    raise GateError(
        f"{precision} costs more than it may, so nothing was written; against float32 on"
        f" {loss.windows} windows ({loss.provider}):"
        f" AUROC change {loss.auroc_change:+.4f}, {interval.level:.0%} interval"
        f" {interval.low:+.4f} to {interval.high:+.4f} (allowed above {-limits.margin:g});"
        f" flipped calls {loss.flipped}, {loss.flipped / loss.windows:.2%}"
        f" (allowed {limits.flipped_share:.2%});"
        f" calibration error change {loss.calibration_error_change:+.4f}"
        f" (allowed {limits.calibration_error:+g}); Brier score change {loss.brier_change:+.4f};"
        f" logit difference mean {loss.mean_logit_difference:.3g},"
        f" largest {loss.max_logit_difference:.3g};"
        f" the same window in other batches {_spread(parity):.3g}"
        f" (allowed {limits.batch_difference:g});"
        f" against torch on {parity.windows} cut windows: largest logit difference"
        f" {parity.max_logit_difference:.3g} (allowed {parity.logit_tolerance:g}), probability"
        f" {parity.max_probability_difference:.3g} (allowed {parity.probability_tolerance:g}),"
        f" flipped calls {parity.flipped} (allowed {parity.flipped_tolerance});"
        f" {loss.bytes:,} bytes against {loss.exact_bytes:,}"
        + " (`genoslim tune-int8` fine-tunes with this rounding in the loop)"
        * (precision == "int8")
    )


def speed_ratio(exact: GraphRunner, lossy: GraphRunner, sequences: Sequence[str]) -> float:
    """Return how many times as fast the lossy graph is, on this machine as it is now.

    The two take turns on the same windows, as many as the exact graph does in a quarter second;
    the ratio is that of the medians, each first pass left out.
    """
    distinct = list(dict.fromkeys(sequences))
    probe = distinct[:8]
    exact.logits(probe)  # warms up
    enough = round(len(probe) * _PASS_SECONDS / max(_seconds(exact, probe), 1e-6))
    windows = distinct[: max(len(probe), enough)]
    rounds = [[_seconds(runner, windows) for runner in (exact, lossy)] for _ in range(_ROUNDS + 1)]
    before, after = (statistics.median(times) for times in zip(*rounds[1:], strict=True))
    return float(before / after)


def _spread(parity: ParityReport) -> float:
    return 0.0 if parity.batch_difference is None else parity.batch_difference


def _bytes(graph: Path) -> int:
    """Return the size on disk of an ONNX file with its weights."""
    files = (graph, graph.with_name(f"{graph.name}.data"))
    return sum(file.stat().st_size for file in files if file.is_file())


def _seconds(runner: GraphRunner, windows: Sequence[str]) -> float:
    started = time.perf_counter()
    runner.logits(windows)
    return time.perf_counter() - started
