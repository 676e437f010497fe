"""Compare an exported graph with the torch model it came from, on real windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..bundle.manifest import ParityCase, ParityReport
from ..bundle.runner import GraphRunner
from ..bundle.runtime import to_probabilities
from ..errors import GateError
from ..models.classifier import Classifier
from ..models.tokenizer import SequenceTokenizer

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH_SIZES = (1, 8, 64)
WINDOWS = 96

_CUTS = (1.0, 0.75, 0.5, 0.25)


@dataclass(frozen=True)
class Tolerances:
    """How far a graph may be from torch, in logits, in probability, and in calls that flip."""

    logit: float
    probability: float
    flipped: int


EXACT = Tolerances(logit=1e-4, probability=1e-4, flipped=0)
"""float32 graphs differ by some 1e-6; the smallest real mistakes move logits by 3e-4."""


def parity_windows(sequences: Sequence[str], *, count: int = WINDOWS) -> list[str]:
    """Return `count` windows of mixed lengths, spread evenly over the distinct `sequences`.

    Neighbours are cut around their centre to all, 3/4, 1/2 and 1/4 of their length, so that any
    batch in this order needs padding. Where there are fewer sequences, they come again, cut
    differently.
    """
    distinct = list(dict.fromkeys(sequences))
    step = max(1, len(distinct) // count)
    chosen = distinct[::step][:count]
    rounds = [divmod(place, len(chosen)) for place in range(count)]
    return [_cut(chosen[i], _CUTS[(i + turn) % len(_CUTS)]) for turn, i in rounds]


def measure_parity(
    model: Classifier,
    runner: GraphRunner,
    windows: Sequence[str],
    *,
    temperature: float,
    threshold: float,
    tolerances: Tolerances = EXACT,
) -> ParityReport:
    """Compare graph and torch on `windows`, in batches of 1, 8 and 64 and as the runtime batches.

    The reference is torch on every window alone, unpadded, so that a mistake in padding shows even
    if both sides made it.
    """
    rows = runner.tokenizer.encode(windows)
    expected = _torch_logits(model, rows)
    found: dict[int | None, NDArray[np.float32]] = {
        size: _graph_logits(runner, rows, size) for size in BATCH_SIZES
    }
    found[None] = runner.logits(windows)
    lengths = np.array([len(row) for row in rows])
    return ParityReport(
        cases=tuple(
            _compare(expected, logits, lengths, size, temperature, threshold)
            for size, logits in found.items()
        ),
        logit_tolerance=tolerances.logit,
        probability_tolerance=tolerances.probability,
        flipped_tolerance=tolerances.flipped,
        batch_difference=float(np.ptp(np.stack(list(found.values())), axis=0).max()),
        provider=runner.provider,
    )


def require_same_tokens(
    trained: SequenceTokenizer, exported: SequenceTokenizer, windows: Sequence[str]
) -> None:
    """Raise GateError unless both tokenizers, the model's and the bundle's, give the same ids."""
    for window, wanted, found in zip(
        windows, trained.encode(windows), exported.encode(windows), strict=True
    ):
        if not np.array_equal(wanted, found):
            raise GateError(
                "the bundle's tokenizer differs from the checkpoint's, so nothing was written:"
                f" {window[:24]}... gives {wanted[:6].tolist()}... in the checkpoint and"
                f" {found[:6].tolist()}... in the bundle ({len(wanted)} and {len(found)} tokens)"
            )


def require_finite(logits: NDArray[np.float32], graph: str, reason: str) -> None:
    """Raise GateError, naming the `graph`, if any row of its logits [n, 2] is not finite."""
    wrong = int((~np.isfinite(logits)).any(axis=1).sum())
    if wrong:
        raise GateError(
            f"{graph} gives no finite logits for {wrong} of {len(logits)} windows,"
            f" so nothing was written: {reason}"
        )


def require_parity(report: ParityReport) -> None:
    """Raise GateError with the figures unless the report keeps its tolerances."""
    if report.passed:
        return
    raise GateError(
        "the exported graph differs from torch, so nothing was written:"
        f" largest logit difference {report.max_logit_difference:.3g}"
        f" (allowed {report.logit_tolerance:g}),"
        f" largest probability difference {report.max_probability_difference:.3g}"
        f" (allowed {report.probability_tolerance:g}),"
        f" flipped calls {report.flipped} of {report.windows} (allowed {report.flipped_tolerance})"
    )


def _cut(sequence: str, share: float) -> str:
    length = max(1, round(len(sequence) * share))
    start = (len(sequence) - length) // 2
    return sequence[start : start + length]


def _torch_logits(model: Classifier, rows: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
    """Return torch's logits [n, labels], one row at a time."""
    model.eval()
    with torch.inference_mode():
        batches = (torch.from_numpy(row)[None] for row in rows)
        logits = torch.cat([model(ids, torch.ones_like(ids)) for ids in batches])
    found: NDArray[np.float32] = logits.numpy()
    return found


def _graph_logits(
    runner: GraphRunner, rows: Sequence[NDArray[np.int64]], size: int
) -> NDArray[np.float32]:
    """Return the graph's logits [n, labels] in batches of `size`, in the order of `rows`."""
    starts = range(0, len(rows), size)
    return np.concatenate(
        [runner.run(*runner.tokenizer.pad(rows[start : start + size])) for start in starts]
    )


def _compare(
    expected: NDArray[np.float32],
    found: NDArray[np.float32],
    lengths: NDArray[Any],
    size: int | None,
    temperature: float,
    threshold: float,
) -> ParityCase:
    wanted, given = (to_probabilities(logits, temperature) for logits in (expected, found))
    return ParityCase(
        batch_size=size,
        windows=len(lengths),
        shortest_tokens=int(lengths.min()),
        longest_tokens=int(lengths.max()),
        padding=_padding(lengths, size),
        max_logit_difference=float(np.abs(expected - found).max()),
        max_probability_difference=float(np.abs(wanted - given).max()),
        flipped=int(((wanted >= threshold) != (given >= threshold)).sum()),
    )


def _padding(lengths: NDArray[Any], size: int | None) -> float | None:
    """Return the share of padding when rows in this order go in batches of `size`."""
    if size is None:
        return None
    batches = np.split(lengths, range(size, len(lengths), size))
    return float(1 - lengths.sum() / sum(len(batch) * batch.max() for batch in batches))
