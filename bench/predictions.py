"""What every figure of a benchmark can be computed from again, and the calls that change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .floors import FloorScores
from .quality import Scores, Splits
from .seeds import FurtherSeed
from .subjects import Subject

HEADER = (
    *("model", "contig", "position", "reference", "alternate", "group", "label"),
    *("baseline_probability", "probability", "baseline_call", "call", "now"),
)


def write_predictions(
    path: Path,
    splits: Splits,
    subjects: Sequence[Subject],
    scores: Sequence[Scores],
    floors: FloorScores,
    further: Sequence[tuple[FurtherSeed, NDArray[np.float32]]] = (),
) -> None:
    """Write an `.npz` with labels, keys, groups, subgroups and each model's logits of both splits.

    Logits of the model at place i are `validation_logits_i` and `test_logits_i`, float32[n, 2]; its
    probabilities are `softmax(logits / temperatures[i])[:, 1]` and its calls
    `probability >= thresholds[i]`. Scores of the floor at place i are `validation_floor_i` and
    `test_floor_i`, float64[n]. `further` seeds have `test_seed_logits_i`, float32[n, 2], and
    `seed_of` is the place of the model that each is of.
    """
    arrays: dict[str, NDArray[np.generic]] = {
        "models": np.array([subject.name for subject in subjects]),
        "floors": np.array(list(floors), dtype=np.str_),
        "temperatures": np.array([own.fitted.temperature for own in scores]),
        "thresholds": np.array([own.fitted.threshold for own in scores]),
        "seed_of": np.array([one.place for one, _ in further], dtype=np.int64),
        **{f"test_seed_logits_{i}": logits for i, (_, logits) in enumerate(further)},
    }
    for split, rows in splits.items():
        arrays |= {f"{split}_{name}": getattr(rows, name) for name in ("labels", "keys", "groups")}
        arrays |= {f"{split}_subgroup_{name}": own for name, own in rows.subgroups.items()}
        arrays |= {f"{split}_logits_{i}": own.logits[split] for i, own in enumerate(scores)}
        arrays |= {f"{split}_floor_{i}": own[split] for i, own in enumerate(floors.values())}
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def flipped_calls(splits: Splits, subjects: Sequence[Subject], scores: Sequence[Scores]) -> str:
    """Return a table (TSV) of the test rows that a model calls otherwise than the baseline does.

    The first of `subjects` is the baseline. `now` says whether the model's call is right.
    """
    lines = ["\t".join(HEADER)]
    for subject, own in zip(subjects[1:], scores[1:], strict=True):
        lines += _flipped(splits, subject.name, scores[0], own)
    return "\n".join(lines) + "\n"


def _flipped(splits: Splits, name: str, baseline: Scores, own: Scores) -> Iterator[str]:
    test = splits["test"]
    for row in np.flatnonzero(baseline.calls != own.calls).tolist():
        variant, label, call = test.variants[row], int(test.labels[row]), int(own.calls[row])
        cells = (
            *(name, variant.contig, variant.position, variant.reference, variant.alternate),
            *(test.groups[row], label),
            *(f"{baseline.probabilities[row]:.6g}", f"{own.probabilities[row]:.6g}"),
            *(1 - call, call, "right" if call == label else "wrong"),
        )
        yield "\t".join(str(cell).replace("\t", " ") for cell in cells)
