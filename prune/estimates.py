"""The verb `estimate_layers`: cheap importance of a model's layers, beside what a sweep found."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..codec import plain
from ..data.dataset import LabelledData, read_data
from ..errors import GenoslimError, UsageError
from ..files import write_json
from ..models import load, load_tokenizer, resolve
from ..models.fingerprint import fingerprint_model
from ..models.record import is_fine_tuned
from .agreement import Agreement, agreement, self_agreement
from .importance import METHODS, NEEDS_TRAINED_HEAD, Estimate, Method, estimate, importance_in
from .judging import judge_run
from .plan import attempts, plan
from .run_folder import RunFolder
from .runner import resolve_devices
from .verdicts import Role, Rules

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LayerEstimates:
    """What the methods say of a model's layers.

    `methods` hold a score a layer, higher for a layer that matters more; `scored` tells which
    checkpoint each method looked at, on how many `rows`. `lost` and `roles` are what a sweep found,
    if one was given: the AUROC that each layer's removal cost, and the role it has. `ceiling` is
    how well the sweep agrees with itself (Spearman's rho of one seed with the mean of the others),
    which no method can be expected to exceed by much; None if it has one seed a layer.
    """

    model: str
    data: Path
    rows: int
    methods: tuple[Estimate, ...]
    scored: dict[Method, str]
    lost: tuple[float, ...] | None = None
    roles: tuple[Role, ...] = ()
    ceiling: float | None = None

    def agreement(self, one: Estimate) -> Agreement:
        """Return the rank correlation of a method's scores with the sweep.

        Raises:
            UsageError: there is no sweep to agree with.
        """
        if self.lost is None:
            raise UsageError("estimates without a sweep agree with nothing: give `run`")
        return agreement(one.scores, self.lost, self.roles)

    def to_dict(self) -> dict[str, Any]:
        """Return scores, orders and, with a sweep, agreement, JSON-ready."""
        methods: dict[str, Any] = {}
        for one in self.methods:
            methods[one.method] = {**plain(one), "least_important_first": list(one.order)}
            if self.lost is not None:
                methods[one.method]["agreement"] = plain(self.agreement(one))
        about: dict[str, Any] = {
            "model": self.model,
            "data": str(self.data),
            "rows": self.rows,
        }
        if self.lost is not None:
            about["sweep"] = {
                "auroc_lost_without": list(self.lost),
                "roles": list(self.roles),
                "agreement_with_itself": self.ceiling,
            }
        return {**about, "scored": dict(self.scored), "methods": methods}

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
    if folder is not None:
        judge_run(folder, Rules())  # an unfinished sweep is refused before anything is scored
    labelled = read_data(data)
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
    estimates = LayerEstimates(
        model=model, data=data, rows=len(subset), methods=tuple(found), scored=scored
    )
    return estimates if folder is None else _beside(estimates, folder)


def _beside(estimates: LayerEstimates, run: RunFolder) -> LayerEstimates:
    """Add what a sweep found."""
    rules = Rules()
    judgement = judge_run(run, rules)
    return replace(
        estimates,
        lost=tuple(importance_in(judgement)),
        roles=tuple(verdict.role for verdict in judgement.verdicts),
        ceiling=self_agreement(lost_by_seed(run, rules)),
    )


def lost_by_seed(run: RunFolder, rules: Rules) -> list[list[float]]:
    """Return what each layer's removal cost, for each seed of which all layers were trained.

    That is the AUROC of the seed's baseline less that without the layer, on the split of `rules`.
    """
    rows = run.rows()
    found: dict[int, dict[tuple[int, ...], float]] = {}
    for spec in plan(run):
        tried = attempts(run.trials, spec)
        measured = tried[-1].measured(rows, rules.measuring).on(rules.split)
        found.setdefault(spec.seed, {})[spec.dropped] = measured.auroc
    layers = [(layer,) for layer in range(run.record.layers)]
    return [
        [seed[()] - seed[layer] for layer in layers]
        for seed in found.values()
        if all(part in seed for part in ((), *layers))
    ]


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
