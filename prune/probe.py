"""Score subsets of a trained model's layers by forward passes alone."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from ..codec import check_format, decode, write_record
from ..errors import GenoslimError
from ..files import read_json
from ..models import load
from ..models.classifier import Classifier
from ..models.layers import only_layers
from ..stats.ranks import auroc
from .finetune import Labelled, predict_tokens
from .subsets import Subset

_log = logging.getLogger(__name__)

PROBE_FORMAT = 1


@dataclass(frozen=True)
class SubsetScore:
    """What a model gives with some of its layers: AUROC and mean cross-entropy (nats) on rows."""

    kept: tuple[int, ...]
    auroc: float
    loss: float


def score_subset(model: Classifier, kept: Sequence[int], rows: Labelled) -> tuple[float, float]:
    """Return AUROC and mean cross-entropy (nats) of `model` with the layers `kept` alone.

    `kept` are ascending positions in the present stack. A model that gives no numbers is at chance.
    """
    with only_layers(model, kept):
        logits = np.nan_to_num(predict_tokens(model, rows.tokens))
    labels = rows.labels.cpu()
    loss = functional.cross_entropy(torch.from_numpy(logits), labels)
    margins = logits[:, 1].astype(np.float64) - logits[:, 0]
    return auroc(labels.numpy(), margins), float(loss)


class LayerProbe:
    """Scores subsets of one trained model, each once: they are kept in a file.

    `weights` says where the model's checkpoint is and `kept` the layers it has, counted like the
    subsets in the full stack; `rows` gives the rows. Both are asked for only when a score is
    missing. `passes` over the rows and `seconds` are what all scores in the file took.
    """

    def __init__(
        self, weights: Callable[[], Path], kept: Subset, rows: Callable[[], Labelled], cache: Path
    ) -> None:
        self.weights = weights
        self.kept = kept
        self.rows = rows
        self.cache = cache
        found = _read(cache)
        self.seconds: float = found.seconds
        self._known = {score.kept: score for score in found.scores}

    @property
    def passes(self) -> int:
        """Passes over all rows that the scores took."""
        return len(self._known)

    def __call__(self, subsets: Sequence[Subset]) -> list[float]:
        """Return the AUROC of each subset."""
        return [score.auroc for score in self.scores(subsets)]

    def scores(self, subsets: Sequence[Subset]) -> list[SubsetScore]:
        """Return the scores of subsets of the layers that the model has."""
        missing = [subset for subset in dict.fromkeys(subsets) if subset not in self._known]
        for subset in missing:
            self._known[subset] = self._score(subset)
        if missing:
            scores = tuple(self._known.values())
            write_record(self.cache, _Scores(PROBE_FORMAT, self.seconds, scores))
        return [self._known[subset] for subset in subsets]

    @cached_property
    def _model(self) -> Classifier:
        return load(self.weights()).to(self.rows().labels.device)

    def _score(self, subset: Subset) -> SubsetScore:
        model, rows = self._model, self.rows()
        started = time.perf_counter()
        area, loss = score_subset(model, [self.kept.index(layer) for layer in subset], rows)
        self.seconds += time.perf_counter() - started
        return SubsetScore(subset, area, loss)


@dataclass(frozen=True)
class _Scores:
    format: int
    seconds: float
    scores: tuple[SubsetScore, ...]


def _read(cache: Path) -> _Scores:
    """Return the scores in a file; none if it is not there or not whole (then logged)."""
    try:
        content = read_json(cache)
        if content is not None:
            check_format(content, PROBE_FORMAT, str(cache))
            return decode(_Scores, content, str(cache))
    except GenoslimError as why:
        _log.warning("%s; its scores are computed again", why)
    return _Scores(PROBE_FORMAT, 0.0, ())
