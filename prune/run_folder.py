"""Trials on disk: written so that a kill at any moment loses at most the trial in hand."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..codec import decode, plain, write_record
from ..errors import GenoslimError
from ..files import atomic_path, held, locked, read_json, refuse_foreign, sha256, write_json
from ..models.weight_files import find_weights, tensor_shapes
from .measure import SPLITS, Rows, Split
from .numerics import Numerics, only_one
from .run_record import RUN_FILE, RunRecord, read_run, write_run
from .trial import Predictions, Trial, TrialResult, TrialSpec

_log = logging.getLogger(__name__)

LAYERS_FILE = "layers.json"
REPORT_FILE = "report.html"
CHECKPOINT = "checkpoint"
"""The folder of a trial's fine-tuned weights, in that of the trial."""
_CLAIM = "claim"
_WEIGHTS = "model.safetensors"


class _DamagedError(GenoslimError):
    """A part of a finished trial is missing, or is not what was written."""


class TrialStore:
    """The folder `trials/`: one folder a trial, named by the hash of its spec.

    `spec.json` comes first, then `predictions.npz` (and `checkpoint/` where weights are kept),
    and `result.json` last by atomic rename: its presence means done. It holds the SHA-256 of
    the predictions and of kept weights; a trial that does not read back whole is as good as not
    run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, spec: TrialSpec) -> Path:
        """Return the folder of one trial."""
        return self.folder / spec.hash

    def checkpoint(self, spec: TrialSpec) -> Path:
        """Return where the fine-tuned weights of a trial are, if they were kept."""
        return self.path(spec) / CHECKPOINT

    def read(self, spec: TrialSpec) -> Trial | None:
        """Return a finished trial, or None when it is not there or not whole.

        Raises GenoslimError for one that may not be read.
        """
        try:
            return self._read(spec)
        except _DamagedError:
            return None

    def done(self, spec: TrialSpec, *, with_weights: bool = False) -> bool:
        """Whether the trial is finished and whole, with its weights if they are asked for."""
        try:
            trial = self._read(spec)
            return trial is not None and (not with_weights or self._has_weights(trial))
        except _DamagedError:
            return False

    def damage(self, spec: TrialSpec, *, with_weights: bool = False) -> str:
        """Say what is wrong with a finished trial; empty where nothing is, or it is not there."""
        try:
            trial = self._read(spec)
            if trial is not None and with_weights:
                self._has_weights(trial)
        except _DamagedError as why:
            return str(why)
        return ""

    def _read(self, spec: TrialSpec) -> Trial | None:
        folder = self.path(spec)
        try:
            content = read_json(folder / "result.json")
            if content is None:
                return None
            result = decode(TrialResult, content, str(folder / "result.json"))
            if result.hash != spec.hash:
                raise _DamagedError(f"{folder}: holds the result of trial {result.hash}")
            _check(folder / "predictions.npz", result.predictions_sha256)
            with np.load(folder / "predictions.npz", allow_pickle=False) as arrays:
                predictions = Predictions(arrays["validation_logits"], arrays["test_logits"])
        except FileNotFoundError as error:
            raise _DamagedError(f"{error.filename}: is missing") from error
        except OSError as error:
            raise _unreadable(error, folder) from error
        except (ValueError, KeyError, GenoslimError, zipfile.BadZipFile) as why:
            raise _DamagedError(str(why)) from why
        return Trial(spec, result, predictions)

    def _has_weights(self, trial: Trial) -> bool:
        """Whether a trial's weights are there; raises where they are not what was written."""
        folder = self.checkpoint(trial.spec)
        if not (folder / "config.json").exists():
            return False
        digest = trial.result.weights_sha256
        try:
            for path in find_weights(folder)[0]:
                _check(path, digest)
            if not digest:  # a record of before there were any
                tensor_shapes(folder)
        except OSError as error:
            raise _unreadable(error, folder.parent) from error
        except GenoslimError as why:
            raise _DamagedError(str(why)) from why
        return True

    def begin(self, spec: TrialSpec, *, with_weights: bool = False) -> None:
        """Write `spec.json`, and take away what an earlier attempt left; call under a claim."""
        if why := self.damage(spec, with_weights=with_weights):
            _log.warning("trial %s is not whole and will run again: %s", spec.hash, why)
        self.path(spec).mkdir(parents=True, exist_ok=True)
        (self.path(spec) / "result.json").unlink(missing_ok=True)  # first: it is not done any more
        for left in self.path(spec).iterdir():
            if left.name != _CLAIM:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        write_json(self.path(spec) / "spec.json", spec.content)

    def results(self) -> Iterator[TrialResult]:
        """Yield the result of every trial in the folder that is finished and reads back."""
        for path in sorted(self.folder.glob("*/result.json")):
            with suppress(GenoslimError, OSError):
                yield decode(TrialResult, read_json(path), str(path))

    def write_result(self, spec: TrialSpec, result: TrialResult, predictions: Predictions) -> None:
        """Write the predictions, then the result: from here on the trial is done."""
        probabilities = predictions.probabilities()
        path = self.path(spec) / "predictions.npz"
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                validation_logits=predictions.validation,
                test_logits=predictions.test,
                validation_probabilities=probabilities["validation"],
                test_probabilities=probabilities["test"],
            )
        weights = self.checkpoint(spec) / _WEIGHTS
        whole = replace(
            result,
            predictions_sha256=sha256(path),
            weights_sha256=sha256(weights) if weights.exists() else "",
        )
        write_record(self.path(spec) / "result.json", whole)

    @contextmanager
    def claim(self, spec: TrialSpec) -> Iterator[bool]:
        """Hold the trial for this process; yields False when another process has it.

        The claim is a lock on the file `claim`, which the system frees when its process ends,
        however it ends: a killed run leaves no stale claim.
        """
        self.path(spec).mkdir(parents=True, exist_ok=True)
        with (self.path(spec) / _CLAIM).open("a") as file:
            if not locked(file.fileno(), self.path(spec) / _CLAIM):
                yield False
                return
            with suppress(OSError):  # it is there to be read; the lock is the claim
                file.truncate(0)
                os.write(file.fileno(), f"{os.uname().nodename} {os.getpid()}\n".encode())
            yield True


def _unreadable(error: OSError, folder: Path) -> GenoslimError:
    """Return what to say of a file of a trial that the system does not let us read."""
    return GenoslimError(
        f"{error.filename}: cannot be read: {error.strerror}; make it readable, or take"
        f" {folder} away to have the trial run again"
    )


def _check(path: Path, digest: str) -> None:
    """Raise where a file's SHA-256 is not the recorded one ('': none was recorded)."""
    about = path.stat()
    if digest and _digest(path, about.st_mtime_ns, about.st_size) != digest:
        raise _DamagedError(f"{path}: its SHA-256 differs from the recorded one")


@cache
def _digest(path: Path, changed_ns: int, size: int) -> str:
    """Return the SHA-256 of a file; of one that has not changed it is asked many times."""
    return sha256(path)


class RunFolder:
    """A sweep on disk: `run.json` (what it is), `rows.npz` (what is known of its rows), trials.

    `identity` in `run.json` is what must agree for the sweep to go on in the folder; the rest
    (paths, environment, versions) is there to be read.
    """

    def __init__(self, folder: Path, record: RunRecord | None = None) -> None:
        self.folder = folder
        self.record: RunRecord = read_run(folder) if record is None else record
        self.trials: TrialStore = TrialStore(folder / "trials")

    @classmethod
    def planned(cls, folder: Path, record: RunRecord) -> RunFolder:
        """Return the run folder as `create` opens it, without writing anything.

        A run of another identity raises GenoslimError naming each difference; a folder of something
        else raises UsageError. Model and data of the same run are taken from where `record` says.
        """
        if not (folder / RUN_FILE).exists():
            refuse_foreign(folder, "run folder", marker=RUN_FILE, begun=(_ROWS_FILE, "trials"))
            return cls(folder, record)
        found = read_run(folder)
        _refuse_another(folder, found, record)
        return cls(folder, replace(found, model=record.model, data=record.data))

    @classmethod
    def create(cls, folder: Path, record: RunRecord, rows: Mapping[Split, Rows]) -> RunFolder:
        """Make the folder, or open the one that is there; raises as `planned`."""
        run = cls.planned(folder, record)
        if (folder / RUN_FILE).exists():
            return run
        folder.mkdir(parents=True, exist_ok=True)
        with alone_in(folder):  # another sweep may make it at this moment
            if not (folder / RUN_FILE).exists():
                _write_rows(folder / _ROWS_FILE, rows)
                write_run(folder, record)
        return cls.planned(folder, record)

    def numerics(self) -> Numerics | None:
        """Return on what kind of device, and in what precision, the run's trials are trained.

        As `run.json` says; in a folder that was made before it did, by the finished trials, and
        None while there is none. Raises GenoslimError if these are of two kinds.
        """
        found = only_one(self.trials.results(), str(self.folder))
        return self.record.numerics or found

    def rows(self) -> dict[Split, Rows]:
        """Return what is known of the rows of both splits; GenoslimError if they do not read.

        Folders that were made before there were subgroups have none.
        """
        path = self.folder / _ROWS_FILE
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return {split: _rows_in(arrays, split) for split in SPLITS}
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as why:
            raise GenoslimError(f"{path}: not the rows of a run: {why}") from why


def _refuse_another(folder: Path, found: RunRecord, wanted: RunRecord) -> None:
    """Raise GenoslimError naming what differs if a folder is of another identity than wanted."""
    others = differences(plain(found.identity), plain(wanted.identity))
    if not others:
        return
    changed = found.identity.data_fingerprint != wanted.identity.data_fingerprint
    data = f" (the data here: {wanted.data})" if changed else ""
    raise GenoslimError(
        f"{folder} holds another run: {'; '.join(others)}{data}."
        " Ask for the same, or give another folder with -o"
    )


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a folder for this process until the body ends; waits, saying so, for another one."""
    told = False
    while True:
        with held(folder) as mine:
            if mine:
                yield
                return
        if not told:
            told = True
            _log.info("%s: another genoslim works here; waiting until it is done", folder)
        time.sleep(_WAIT_SECONDS)


_WAIT_SECONDS = 0.2
_ROWS_FILE = "rows.npz"
_ROW_FIELDS = ("labels", "keys", "groups")
_SUBGROUP = "subgroup_"


def _rows_in(arrays: Mapping[str, np.ndarray], split: Split) -> Rows:
    prefix = f"{split}_{_SUBGROUP}"
    names = [name for name in arrays if name.startswith(prefix)]
    subgroups = {name.removeprefix(prefix): arrays[name] for name in names}
    labels, keys, groups = (arrays[f"{split}_{name}"] for name in _ROW_FIELDS)
    return Rows(labels, keys, groups, subgroups)


def _write_rows(path: Path, rows: Mapping[Split, Rows]) -> None:
    arrays: dict[str, Any] = {}
    for split in SPLITS:
        known = {name: getattr(rows[split], name) for name in _ROW_FIELDS}
        known |= {_SUBGROUP + way: names for way, names in rows[split].subgroups.items()}
        arrays |= {f"{split}_{name}": column for name, column in known.items()}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return `name is X there and Y here` for each leaf of two JSON objects that differs."""
    return list(_differences(found, wanted, ""))


def _differences(found: Any, wanted: Any, name: str) -> Iterator[str]:
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        for key in sorted({*found, *wanted}):
            yield from _differences(found.get(key), wanted.get(key), f"{name} {key}".strip())
    elif found != wanted:
        yield f"{name.replace('_', ' ')} is {_short(found)} there and {_short(wanted)} here"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:16] + '..."'
