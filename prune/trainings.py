"""The trainings of subsets of a run's layers: which trial each is, where it is kept, running it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from ..data.dataset import LabelledData
from ..errors import GenoslimError
from ..models import load_tokenizer
from .execution import Executor, run_trials
from .finetune import Labelled
from .measure import Rows, Split
from .numerics import only_one
from .plan import attempts, next_attempt, plan, rows_with_subgroups, setting_of, spec_of
from .probe import LayerProbe
from .progress import ProgressCallback
from .recipe import Healing, Supernet
from .run_folder import RunFolder, TrialStore
from .runner import Setting, read_same, resolve_devices
from .subsets import Subset, complement
from .trial import Trial, TrialSpec

_log = logging.getLogger(__name__)

Training = Literal["pretrained", "healed"]
"""From the pretrained weights with a fresh head, or from a fine-tuned full model by its logits."""
TRAININGS: tuple[Training, Training] = ("healed", "pretrained")
Start = Literal["auto", "supernet", "baseline"]
"""What healed models start from: the best baseline trained on as a supernet, or that baseline.

`auto` is the one of these two whose full model has the higher AUROC on validation: where rows are
few, to train on as a supernet can cost more than it gives.
"""


PROBE_ROWS = 600
"""Validation rows that a probe looks at, at most: every subset is scored on the same ones."""


@dataclass
class Trainings:
    """Trains subsets of the layers of a run's model, each once, and finds what was trained.

    Healed models start from one fine-tuned full model, whatever their seed: the baseline of `seed`
    (None: the best on validation), as it is or trained on as a supernet (see `Start`). New trials
    are written to `folder/trials`; those of the run and of `others` are found where they are.
    `data` replaces the run's data path if the file has moved.
    """

    run: RunFolder
    folder: Path
    executor: Executor
    start: Start = "auto"
    seed: int | None = None
    progress: ProgressCallback | None = None
    data: Path | None = None
    others: tuple[TrialStore, ...] = ()

    @property
    def depth(self) -> int:
        """The number of layers of the full model."""
        return self.run.record.layers

    @property
    def full(self) -> Subset:
        """All layers."""
        return tuple(range(self.depth))

    @cached_property
    def rows(self) -> dict[Split, Rows]:
        """What is known of the validation and test rows."""
        return rows_with_subgroups(self.run, self.data)

    @cached_property
    def store(self) -> TrialStore:
        """Where new trials are written."""
        return TrialStore(self.folder / "trials")

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the run's baseline."""
        return tuple(spec.seed for spec in plan(self.run) if not spec.dropped)

    @cached_property
    def teacher_seed(self) -> int:
        """The seed of the fine-tuned full model that is the teacher."""
        return self._best_seed() if self.seed is None else self.seed

    @cached_property
    def teacher(self) -> Trial:
        """The fine-tuned full model that all else starts from.

        Raises GenoslimError if it is not done, learnt nothing, or did not keep its weights.
        """
        found = self._baseline(self.teacher_seed)
        if found is None:
            raise GenoslimError(
                f"{self.run.folder}: no baseline of seed {self.teacher_seed} is done and sound"
            )
        self.weights(found.spec)
        return found

    @property
    def taught(self) -> bool:
        """Whether any seed of the baseline learnt something, so that there is a teacher."""
        return any(self._baseline(seed) for seed in self.seeds)

    def _best_seed(self) -> int:
        found = {seed: self._baseline(seed) for seed in self.seeds}
        sound = {seed: trial for seed, trial in found.items() if trial}
        if not sound:
            raise GenoslimError(f"{self.run.folder}: no seed of the baseline is done and sound")
        return max(sound, key=lambda seed: sound[seed].result.validation.auroc)

    def _baseline(self, seed: int) -> Trial | None:
        """Return the last attempt at a seed's baseline if it is sound."""
        tried = attempts(self.run.trials, spec_of(self.run, (), seed))
        return tried[-1] if tried and not tried[-1].collapsed(self.rows) else None

    @cached_property
    def supernet(self) -> TrialSpec:
        """The trial that trains the teacher on as a supernet."""
        smallest = max(1, self.depth // 4)
        how = Supernet(teacher=self.teacher.spec.hash, smallest=smallest)
        return replace(spec_of(self.run, (), self.teacher_seed), supernet=how)

    @cached_property
    def source(self) -> Trial:
        """What healed models start from; a supernet is trained now if it is not there."""
        if self.start == "baseline":
            return self.teacher
        found = self.trained_supernet
        chosen = found if self.start == "supernet" or self._is_better(found) else self.teacher
        _log.info(
            "healed models start from the %s: validation AUROC %.4f of the supernet%s, %.4f of the"
            " baseline",
            "baseline" if chosen is self.teacher else "supernet",
            found.result.validation.auroc,
            ", which collapsed" if found.collapsed(self.rows) else "",
            self.teacher.result.validation.auroc,
        )
        return chosen

    @cached_property
    def trained_supernet(self) -> Trial:
        """The supernet with its weights, trained now if it is not there or not whole."""
        self.settle([self.supernet], with_weights=True)
        return self.find(self.supernet)

    def _is_better(self, supernet: Trial) -> bool:
        """Whether a supernet's full model is sound, and better than the teacher on validation."""
        if supernet.collapsed(self.rows):
            return False
        return supernet.result.validation.auroc > self.teacher.result.validation.auroc

    def spec(self, kept: Subset, training: Training, seed: int) -> TrialSpec:
        """Return the trial that trains the layers `kept`, in one of the two ways."""
        plain = spec_of(self.run, complement(kept, self.depth), seed)
        if training == "pretrained":
            return plain
        return replace(plain, healing=Healing(teacher=self.source.spec.hash))

    def full_model(self, training: Training) -> Trial:
        """Return the full model: the teacher, or the source healed without losing a layer."""
        if training == "pretrained":
            return self.teacher
        return self.find(self.spec(self.full, training, self.teacher_seed))

    def home(self, spec: TrialSpec, *, with_weights: bool = False) -> TrialStore | None:
        """Return the store that has a trial, retries of a collapsed one included."""
        stores = (self.run.trials, *self.others, self.store)
        for store in stores:
            if attempts(store, spec) and not next_attempt(store, spec, keep_weights=with_weights):
                return store
        return None

    def is_new(self, spec: TrialSpec) -> bool:
        """Whether a finished trial is one that was trained here."""
        return self.home(spec) == self.store

    def settle(self, specs: Sequence[TrialSpec], *, with_weights: bool = False) -> None:
        """Train what is missing of some trials; their weights are kept."""
        missing = [spec for spec in specs if self.home(spec, with_weights=with_weights) is None]
        if missing:
            self._data  # noqa: B018 (told once, before any trial)
        run_trials(
            missing,
            store=self.store,
            setting=self._setting,
            executor=self.executor,
            keeps=lambda spec: True,
            progress=self.progress,
        )

    def attempts(self, spec: TrialSpec) -> list[Trial]:
        """Return the finished attempts at a trial."""
        home = self.home(spec)
        if home is None:
            raise GenoslimError(f"trial {spec.hash} ({spec.name}) is not done")
        return attempts(home, spec)

    def find(self, spec: TrialSpec) -> Trial:
        """Return a finished trial, of a retried one the last attempt."""
        return self.attempts(spec)[-1]

    def weights(self, spec: TrialSpec) -> Path:
        """Return the checkpoint of a trial whose weights were kept."""
        stores = (self.run.trials, *self.others, self.store)
        whole = (store for store in stores if store.done(spec, with_weights=True))
        found = next(whole, None)
        if found is None:
            damage = self.run.trials.damage(spec, with_weights=True)
            raise GenoslimError(
                f"{damage or f'{self.run.trials.checkpoint(spec)} is missing'}: the weights of"
                f" {spec.name} were not kept whole; `genoslim sweep -o {self.run.folder}` makes"
                " those of the baseline again"
            )
        return found.checkpoint(spec)

    def probe(self, trial: Trial, kept: Subset) -> LayerProbe:
        """Return the probe on a trained model that has the layers `kept`, on validation rows.

        Its scores are kept in `folder/probes`, so that they outlive the weights.
        """
        cache = self.folder / "probes" / f"{trial.spec.hash}.json"

        def weights() -> Path:
            self.settle([trial.spec], with_weights=True)  # an earlier search may have dropped them
            return self.weights(trial.spec)

        return LayerProbe(weights, kept, lambda: self._validation, cache)

    @cached_property
    def _setting(self) -> Setting:
        setting = setting_of(self.run, trials=self.store.folder)
        only_one((*self.run.trials.results(), *self.store.results()), str(self.folder))
        places = tuple(store.folder.absolute() for store in (self.run.trials, *self.others))
        data = setting.data if self.data is None else self.data.absolute()
        return replace(setting, teachers=places, data=data)

    @cached_property
    def _data(self) -> LabelledData:
        """The run's data set; GenoslimError where it is gone or changed."""
        return read_same(self._setting.data, self._setting.data_fingerprint)

    @cached_property
    def _validation(self) -> Labelled:
        """The rows that probes look at, spread evenly over validation if it has more of them."""
        device = torch.device(resolve_devices(self.executor.device)[0])
        data = self._data.split("validation")
        chosen = np.unique(np.linspace(0, len(data) - 1, min(len(data), PROBE_ROWS)).astype(int))
        tokenizer = load_tokenizer(self._setting.model)
        return Labelled.encode(tokenizer, data.subset(chosen), device=device)
