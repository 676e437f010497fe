"""What simple linear models reach on a data set: the floors that a deep model has to beat.

A label that can be told from the bases around the variant alone, or from which 6-mers a window
holds, needs no model that reads their order and their distances.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..errors import GenoslimError
from ..stats.ranks import auroc
from .dataset import LabelledData

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Scores = npt.NDArray[np.float64]
Features = npt.NDArray[np.float64]

Judge = Callable[[Scores], float]
"""What scores float64[n] of all rows are worth on validation: the higher, the better."""

CENTRAL_BASES = 24
KMER = 6
BIN = 8


@dataclass(frozen=True, eq=False)
class Shortcut:
    """One linear model: what it reads, the log-odds (float64[n]) it gives every row, and its C."""

    name: str
    scores: Scores
    strength: float = 1.0

    def __repr__(self) -> str:
        return f"Shortcut({self.name!r}, {len(self.scores)} rows)"


def fit_shortcuts(
    data: LabelledData, *, strengths: Sequence[float] = (1.0,), judge: Judge | None = None
) -> tuple[Shortcut, ...]:
    """Fit logistic regressions to the train split of `data` and score every row.

    They read the 24 bases around the variant, one-hot; the counts of the window's 6-mers; and those
    counts apart for every stretch of 8 bases, so with the places. See `fit_logistic` for the rest.
    """
    read = {
        f"{CENTRAL_BASES} bases around the variant": central_bases(data.sequences, CENTRAL_BASES),
        f"counts of {KMER}-mers": kmer_counts(data.sequences, KMER),
        f"{KMER}-mers in bins of {BIN} bases": kmer_counts(data.sequences, KMER, bin_width=BIN),
    }
    return tuple(
        Shortcut(name, *fit_logistic(data, features, strengths=strengths, judge=judge))
        for name, features in read.items()
    )


def fit_logistic(
    data: LabelledData,
    features: Features | csr_matrix,
    *,
    strengths: Sequence[float],
    judge: Judge | None = None,
) -> tuple[Scores, float]:
    """Fit a logistic regression (L2) to the train rows; return log-odds of all rows, and its C.

    `features` have shape [n, d]. Of several `strengths` (C, the inverse of the penalty) the one is
    taken that `judge` rates highest, by default the AUROC on validation; the least of equals. Needs
    scikit-learn. Raises GenoslimError if the train split has a single class.
    """
    from sklearn.linear_model import LogisticRegression

    train = train_rows(data)
    model = LogisticRegression(max_iter=3000, warm_start=True)
    fitted: list[tuple[Scores, float]] = []
    for strength in sorted(strengths):
        model.set_params(C=strength).fit(features[train], data.labels[train])
        fitted.append((model.decision_function(features), strength))
    if len(fitted) == 1:
        return fitted[0]
    rate = judge or _validation(data)
    return max(fitted, key=lambda one: rate(one[0]))


def train_rows(data: LabelledData) -> npt.NDArray[np.bool_]:
    """Return which rows are trained on; raises GenoslimError unless they have both classes."""
    train: npt.NDArray[np.bool_] = data.splits == "train"
    if len(set(data.labels[train].tolist())) < 2:
        raise GenoslimError("the train split has a single class; a shortcut is fitted to both")
    return train


def _validation(data: LabelledData) -> Judge:
    rows = data.splits == "validation"
    return lambda scores: auroc(data.labels[rows], scores[rows])


def central_bases(sequences: list[str], width: int) -> Features:
    """Return the `width` bases around index L // 2 of each sequence, one-hot float64[n, 4 * width].

    N, and what lies outside a sequence shorter than `width`, is all zeros.
    """
    half = width // 2
    padded = (("N" * half + sequence + "N" * width) for sequence in sequences)
    middles = "".join(
        window[len(sequence) // 2 : len(sequence) // 2 + width]
        for sequence, window in zip(sequences, padded, strict=True)
    )
    letters = np.frombuffer(middles.encode(), dtype=np.uint8).reshape(len(sequences), width)
    bases = np.frombuffer(b"ACGT", dtype=np.uint8)
    one_hot: Features = (letters[:, :, None] == bases).astype(np.float64)
    return one_hot.reshape(len(sequences), 4 * width)


def kmer_counts(sequences: list[str], k: int, *, bin_width: int | None = None) -> csr_matrix:
    """Return how often each k-mer that is there occurs in each sequence: sparse [n, k-mers].

    With `bin_width` (bases), a k-mer is another one in each bin of so many starts: [n, k-mers by
    bin].
    """
    from sklearn.feature_extraction.text import CountVectorizer

    def placed(sequence: str) -> list[str]:
        starts = range(len(sequence) - k + 1)
        if bin_width is None:
            return [sequence[start : start + k] for start in starts]
        return [f"{start // bin_width} {sequence[start : start + k]}" for start in starts]

    counts: csr_matrix = CountVectorizer(analyzer=placed).fit_transform(sequences)
    return counts
