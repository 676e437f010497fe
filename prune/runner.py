"""Run trials in this process: the data is read and encoded once, the model loaded for each."""

from __future__ import annotations

import logging
import math
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from .. import __version__
from ..bundle.machine import processor_name
from ..data.dataset import LabelledData, read_data
from ..data.subgroups import subgroup_columns
from ..errors import GenoslimError, UsageError
from ..models import load, load_tokenizer, resolve
from ..models.checkpoint import save
from ..models.classifier import Classifier
from ..models.families import licence
from ..models.fingerprint import fingerprint_model
from ..models.layers import layers, remove_layers
from ..models.record import TrainingEnvironment, TrainingRecord
from ..models.tokenizer import SequenceTokenizer
from .finetune import (
    FineTuned,
    Labelled,
    Objective,
    fine_tune_tokens,
    predict_tokens,
)
from .healing import LOGITS_FILE, distillation, teacher_logits
from .measure import SPLITS, Measured, Measuring, Rows, Split, measure
from .numerics import Numerics, numerics_on, require_same
from .provenance import seed_record, training_record
from .run_folder import CHECKPOINT, TrialStore
from .supernet import sandwich
from .trial import Predictions, TrialResult, TrialSpec, collapse

_log = logging.getLogger(__name__)

Outcome = Literal["done", "found", "busy"]
TrialStepCallback = Callable[[TrialSpec, int, int], None]
"""Called with a running trial, the steps it has made and the most it can make."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where trials run and what they read; plain values, so that it can be sent to a process.

    `trials` is where trials are written; those that others start from are looked for there and in
    `teachers`. `device` is a torch device name (`cpu`, `cuda:1`), `threads` torch's threads in a
    process. `numerics` are what the run's trials are trained on and in, None while there is none.
    """

    model: str
    model_fingerprint: str
    data: Path
    data_fingerprint: str
    trials: Path
    teachers: tuple[Path, ...] = ()
    device: str = "cpu"
    threads: int = 1
    numerics: Numerics | None = None


class TrialRunner:
    """Runs trials one after another; what they share is loaded at the first and kept."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.device: torch.device = torch.device(setting.device)
        self.store: TrialStore = TrialStore(setting.trials)
        torch.set_num_threads(setting.threads)
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)

    @cached_property
    def folder(self) -> Path:
        """The folder of the pretrained model, which must still be the one that was planned for."""
        folder = resolve(self.setting.model)
        if (found := fingerprint_model(folder)) != self.setting.model_fingerprint:
            raise GenoslimError(
                f"{self.setting.model}: fingerprint {found[:16]}, the trials are for"
                f" {self.setting.model_fingerprint[:16]}: the model was changed"
            )
        return folder

    @cached_property
    def tokenizer(self) -> SequenceTokenizer:
        """The tokenizer of the pretrained model."""
        return load_tokenizer(self.folder)

    @cached_property
    def data(self) -> LabelledData:
        """The data set, which must still be the one the trials were planned for."""
        return read_same(self.setting.data, self.setting.data_fingerprint)

    @cached_property
    def encoded(self) -> dict[str, Labelled]:
        """The three splits, encoded, on the device."""
        started = time.perf_counter()
        splits = {
            name: Labelled.encode(self.tokenizer, self.data.split(name), device=self.device)
            for name in ("train", *SPLITS)
        }
        count = sum(len(split.tokens) for split in splits.values())
        _log.debug("encoded %d sequences in %.1f s", count, time.perf_counter() - started)
        return splits

    @cached_property
    def rows(self) -> dict[Split, Rows]:
        """Labels, keys and groups of the validation and test rows."""
        return rows_of(self.data)

    def run(
        self, spec: TrialSpec, *, keep_weights: bool, progress: TrialStepCallback | None = None
    ) -> Outcome:
        """Run one trial and write it.

        `found` if it was done already, `busy` if another process has it now. GenoslimError where
        the run's other trials were trained on another kind of device or in another precision.
        """
        with self.store.claim(spec) as mine:
            if not mine:
                return "busy"
            if self.store.done(spec, with_weights=keep_weights):
                return "found"
            require_same(self.setting.numerics, numerics_on(self.device, spec.recipe))
            self.store.begin(spec, with_weights=keep_weights)
            self._run(spec, keep_weights, progress)
        return "done"

    def _run(self, spec: TrialSpec, keep_weights: bool, progress: TrialStepCallback | None) -> None:
        model, objective = self._start(spec)
        tuned = fine_tune_tokens(
            model,
            self.encoded["train"],
            self.encoded["validation"],
            spec.recipe,
            seed=spec.seed,
            objective=objective,
            progress=None if progress is None else lambda step, total: progress(spec, step, total),
        )
        predictions, seconds = self._predict(model)
        result = self._result(spec, model, tuned, predictions, seconds)
        if keep_weights:
            record = self._record(spec, result, model)
            save(model.cpu(), self.tokenizer, self.store.checkpoint(spec), training=record)
        self.store.write_result(spec, result, predictions)

    def _record(self, spec: TrialSpec, result: TrialResult, model: Classifier) -> TrainingRecord:
        measured = Measured(result.validation, result.test, result.macro_auroc)
        return training_record(
            spec,
            seed_record(spec, result, measured),
            parameters=result.parameters,
            base_layers=len(layers(model)) + len(spec.dropped),
            licence=licence(self.folder),
            data=self.data.metadata,
            environment=describe_environment(),
        )

    def _start(self, spec: TrialSpec) -> tuple[Classifier, Objective | None]:
        """Return the model that training starts from, layers dropped, and what it minimises.

        That is the pretrained model with a head drawn from the seed, saved or not, or the teacher.
        """
        objective = None
        train = self.encoded["train"]
        if spec.healing is not None:
            home = self._home_of(spec.healing.teacher)
            model = load(home / CHECKPOINT)
            logits = teacher_logits(model, train, home / LOGITS_FILE)
            objective = distillation(train.labels, logits, spec.healing)
        elif spec.supernet is not None:
            model = load(self._home_of(spec.supernet.teacher) / CHECKPOINT)
            objective = sandwich(model, train.labels, spec.supernet, seed=spec.seed)
        else:
            model = load(self.folder, num_labels=2, seed=spec.seed, fresh_head=True)
        return remove_layers(model, spec.dropped) if spec.dropped else model, objective

    def _home_of(self, teacher: str) -> Path:
        """Return the folder of the trial that has this hash and kept its weights."""
        places = [self.setting.trials, *self.setting.teachers]
        for place in places:
            if (place / teacher / CHECKPOINT).is_dir():
                return place / teacher
        raise GenoslimError(
            f"the weights of trial {teacher}, which others start from, are in none of"
            f" {', '.join(map(str, places))}"
        )

    def _predict(self, model: Classifier) -> tuple[Predictions, float]:
        """Predict both splits; the seconds are those of the test split."""
        validation = predict_tokens(model, self.encoded["validation"].tokens)
        started = time.perf_counter()
        test = predict_tokens(model, self.encoded["test"].tokens)
        return Predictions(validation, test), time.perf_counter() - started

    def _result(
        self,
        spec: TrialSpec,
        model: Classifier,
        tuned: FineTuned,
        predictions: Predictions,
        evaluation_seconds: float,
    ) -> TrialResult:
        probabilities = predictions.probabilities()
        measured = measure(self.rows, probabilities, Measuring())
        loss = _finite(tuned.validation_loss)
        return TrialResult(
            hash=spec.hash,
            validation=measured.validation,
            test=measured.test,
            macro_auroc=measured.macro_auroc,
            validation_loss=loss,
            fine_tune_seconds=tuned.seconds,
            evaluation_seconds=evaluation_seconds,
            step=tuned.step,
            steps=tuned.steps,
            stopped=tuned.stopped,
            history=tuple(
                (e.step, _finite(e.train_loss), _finite(e.validation_loss)) for e in tuned.history
            ),
            collapsed=collapse(loss, probabilities["validation"], self.rows["validation"]),
            parameters=sum(p.numel() for p in model.parameters()),
            device=self.setting.device,
            threads=self.setting.threads,
            precision=tuned.precision,
            micro_batch=tuned.micro_batch,
            sequences=tuned.sequences,
            steps_an_epoch=tuned.steps_an_epoch,
            processor=processor_name(),
            gpu=_gpu_name(self.setting.device),
        )


def _gpu_name(device: str) -> str | None:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else None


def read_same(path: Path, fingerprint: str) -> LabelledData:
    """Read a run's data set; GenoslimError if it is not the one the trials were planned for."""
    require_data(path)
    data = read_data(path)
    if data.fingerprint != fingerprint:
        raise GenoslimError(
            f"{path}: fingerprint {data.fingerprint[:16]}, the trials are for"
            f" {fingerprint[:16]}: the file was changed; put the run's own there, or name it with"
            " --data"
        )
    return data


def require_data(path: Path) -> None:
    """Raise GenoslimError where the data set of a run is not there any more."""
    if not path.exists():
        raise GenoslimError(
            f"{path}: the run's data set is not there: put it back, or name it with --data"
        )


def rows_of(data: LabelledData) -> dict[Split, Rows]:
    """Return what is known of the validation and test rows of a data set."""
    columns = subgroup_columns(data)
    found: dict[Split, Rows] = {}
    for name in SPLITS:
        split = data.split(name)
        keys = np.asarray(split.keys, dtype=np.str_)
        groups = np.asarray(split.groups, dtype=np.str_)
        subgroups = {way: column[data.splits == name] for way, column in columns.items()}
        found[name] = Rows(np.asarray(split.labels), keys, groups, subgroups)
    return found


def resolve_devices(wanted: str) -> list[str]:
    """Return the devices trials can run on: `cpu`, or every visible GPU.

    `wanted` is `auto`, `cpu`, `cuda` or one GPU (`cuda:1`). UsageError for CUDA without a GPU.
    """
    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if wanted == "cpu" or (wanted == "auto" and not gpus):
        return ["cpu"]
    if wanted in ("auto", "cuda") and gpus:
        return gpus
    if wanted in gpus:
        return [wanted]
    raise UsageError(f"device {wanted!r} is not here; there is cpu {' '.join(gpus)}".rstrip())


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def describe_environment() -> TrainingEnvironment:
    """Return the versions and the machine a run is made with."""
    return TrainingEnvironment(
        genoslim=__version__,
        python=platform.python_version(),
        torch=str(torch.__version__),
        numpy=np.__version__,
        platform=platform.platform(),
        processor=platform.processor() or platform.machine(),
        gpus=tuple(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())),
    )
