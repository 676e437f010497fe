"""The verb `estimate_layers`: cheap importance of a model's layers, beside what a sweep found."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data.dataset import LabelledData
from ..errors import GenoslimError, UsageError
from ..files import write_json
from ..models import load, load_tokenizer, resolve
from ..models.fingerprint import fingerprint_model
from ..models.record import is_fine_tuned
from .importance import (
    METHODS,
    NEEDS_TRAINED_HEAD,
    Agreement,
    Estimate,
    Method,
    agreement,
    estimate,
    importance_in,
)
from .judging import judge_run
from .plan import attempts, plan
from .run_folder import RunFolder
from .runner import resolve_devices
from .verdicts import Rules

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LayerEstimates:
    """What the methods say of a model's layers.

    `methods` hold a score a layer, higher for a layer that matters more; `scored` tells which
    checkpoint each method looked at, on how many `rows`. `lost` is what a sweep found, if one was
    given: the AUROC that each layer's removal cost.
    """

    model: str
    data: Path
    rows: int
    methods: tuple[Estimate, ...]
    scored: dict[Method, str]
    lost: tuple[float, ...] | None = None

    def agreement(self, one: Estimate) -> Agreement:
        """Return the rank correlation of a method's scores with the sweep.

        Raises:
            UsageError: there is no sweep to agree with.
        """
        if self.lost is None:
            raise UsageError("estimates without a sweep agree with nothing: give `run`")
        return agreement(one.scores, self.lost)

    def to_dict(self) -> dict[str, Any]:
        """Return scores, orders and, with a sweep, agreement, JSON-ready."""
        methods: dict[str, Any] = {}
        for one in self.methods:
            methods[one.method] = {**asdict(one), "least_important_first": list(one.order)}
            if self.lost is not None:
                methods[one.method]["agreement"] = asdict(self.agreement(one))
        about = {"model": self.model, "data": str(self.data), "rows": self.rows}
        sweep = {} if self.lost is None else {"sweep": {"auroc_lost_without": list(self.lost)}}
        return {**about, **sweep, "scored": dict(self.scored), "methods": methods}

    def write(self, path: str | Path) -> None:
        """Write `to_dict` as JSON, complete or not at all."""
        write_json(Path(path), self.to_dict())


def estimate_layers(
    model: str | Path,
    data: str | Path,
    *,
    run: str | Path | None = None,
    methods: Sequence[Method] | None = None,
    rows: int = 256,
    seed: int = 0,
    device: str = "auto",
) -> LayerEstimates:
    """Estimate cheaply which layers of a model matter, without training.

    Args:
        model: A folder, hub id or `shipped:NAME`.
        data: Labelled windows (Parquet), of which validation rows are used.
        run: A finished sweep of this model and data to compare with. Methods that look at the loss
            then score its best baseline, if `model` itself has no trained head.
        methods: Names out of `METHODS`; None: all that `model`, or the run, allows.
        rows: How many validation rows to draw at most.
        seed: Of the rows drawn, and of what is random in a method.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.

    Returns:
        A score a layer for each method and, with a run, what the sweep found.

    Raises:
        UsageError: a method is not known, or needs a trained head that nobody has.
        GenoslimError: the run is unfinished, or is of another model or of other data.

    Example:
        >>> from genoslim import estimate_layers
        >>> found = estimate_layers("small-model", "windows.parquet", methods=["cka", "last"])
        >>> [len(one.scores) for one in found.methods]
        [3, 3]
    """
    model, data = str(model), Path(data)
    folder = None if run is None else RunFolder(Path(run))
    judgement = None if folder is None else judge_run(folder, Rules())
    labelled = LabelledData.read(data)
    if folder is not None:
        _check_same_data(folder, labelled.fingerprint, data)
        _check_same_model(folder, model)
    subset = _sample(labelled.split("validation"), rows, seed)
    place = torch.device(resolve_devices(device)[0])
    loaded = cache(lambda source: (load(source, seed=seed), load_tokenizer(source)))
    found: list[Estimate] = []
    scored: dict[Method, str] = {}
    for method in METHODS if methods is None else methods:
        source = _scored_model(model, folder, method, explicit=methods is not None)
        if source is None:
            _log.warning("%s is left out: %s has no fine-tuned head", method, model)
            continue
        network, tokenizer = loaded(source)
        found.append(estimate(network, tokenizer, subset, method, seed=seed, device=place))
        scored[method] = source
    return LayerEstimates(
        model=model,
        data=data,
        rows=len(subset),
        methods=tuple(found),
        scored=scored,
        lost=None if judgement is None else tuple(importance_in(judgement)),
    )


def _sample(data: LabelledData, rows: int, seed: int) -> LabelledData:
    """Draw some rows, or take all if there are no more, and leave them in their order."""
    chosen = np.random.default_rng(seed).permutation(len(data))[:rows]
    return data.subset(np.sort(chosen))


def _scored_model(
    model: str, run: RunFolder | None, method: Method, *, explicit: bool
) -> str | None:
    """Return the checkpoint a method scores; None to leave it out, an error if it was asked for."""
    if method not in NEEDS_TRAINED_HEAD or is_fine_tuned(resolve(model)):
        return model
    if run is not None:
        trials = [t for s in plan(run) if not s.dropped for t in attempts(run.trials, s)]
        best = max(trials, key=lambda trial: trial.result.validation.auroc)
        return str(run.trials.checkpoint(best.spec))
    if explicit:
        raise UsageError(
            f"estimate: {method} needs a fine-tuned model and {model} has a fresh head; give the"
            " sweep's RUN with --run, or a checkpoint of `genoslim prune`"
        )
    return None


def _check_same_data(run: RunFolder, fingerprint: str, data: Path) -> None:
    wanted = run.record.identity.data_fingerprint
    if fingerprint != wanted:
        raise GenoslimError(
            f"{data}: fingerprint {fingerprint[:16]}, the run {run.folder} is of {wanted[:16]}"
        )


def _check_same_model(run: RunFolder, model: str) -> None:
    """Refuse another pretrained model than the run's; a fine-tuned one may be made of it."""
    folder = resolve(model)
    wanted = run.record.identity.model_fingerprint
    if not is_fine_tuned(folder) and fingerprint_model(folder) != wanted:
        raise GenoslimError(f"{model}: the run {run.folder} is of {run.record.model}")
