"""Trials on disk: written so that a kill at any moment loses at most the trial in hand."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..codec import decode, plain, write_record
from ..errors import GenoslimError
from ..files import atomic_path, read_json, refuse_foreign, sha256, write_json
from .measure import SPLITS, Rows, Split
from .run_record import RUN_FILE, RunIdentity, RunRecord, read_run, write_run
from .trial import Predictions, Trial, TrialResult, TrialSpec

_log = logging.getLogger(__name__)

LAYERS_FILE = "layers.json"
REPORT_FILE = "report.html"
CHECKPOINT = "checkpoint"
"""The folder of a trial's fine-tuned weights, in that of the trial."""


class TrialStore:
    """The folder `trials/`: one folder a trial, named by the hash of its spec.

    `spec.json` comes first, then `predictions.npz` (and `checkpoint/` where weights are kept),
    and `result.json` last by atomic rename: its presence means done. It holds the SHA-256 of
    the predictions; a trial that does not read back whole is as good as not run.
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
        """Return a finished trial, or None when it is not there or not whole (then logged)."""
        folder = self.path(spec)
        path = folder / "result.json"
        if not path.exists():
            return None
        try:
            result = decode(TrialResult, read_json(path), path.name)
            if result.hash != spec.hash:
                raise ValueError(f"it is the result of trial {result.hash}")
            if sha256(folder / "predictions.npz") != result.predictions_sha256:
                raise ValueError("the SHA-256 of predictions.npz differs from the recorded one")
            with np.load(folder / "predictions.npz", allow_pickle=False) as arrays:
                predictions = Predictions(arrays["validation_logits"], arrays["test_logits"])
        except (OSError, ValueError, KeyError, GenoslimError, zipfile.BadZipFile) as why:
            _log.warning(
                "trial %s (%s) is not whole and will run again: %s", spec.hash, folder, why
            )
            return None
        return Trial(spec, result, predictions)

    def done(self, spec: TrialSpec, *, with_weights: bool = False) -> bool:
        """Whether the trial is finished and whole, with its weights if they are asked for."""
        if with_weights and not (self.checkpoint(spec) / "config.json").exists():
            return False
        return self.read(spec) is not None

    def begin(self, spec: TrialSpec) -> None:
        """Write `spec.json`, and take away what an earlier attempt left; call under a claim."""
        self.path(spec).mkdir(parents=True, exist_ok=True)
        (self.path(spec) / "result.json").unlink(missing_ok=True)
        for left in self.path(spec).glob(".tmp-*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        write_json(self.path(spec) / "spec.json", spec.content)

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
        whole = replace(result, predictions_sha256=sha256(path))
        write_record(self.path(spec) / "result.json", whole)

    @contextmanager
    def claim(self, spec: TrialSpec) -> Iterator[bool]:
        """Hold the trial for this process; yields False when another process has it.

        The claim is a lock on the file `claim`, which the system frees when its process ends,
        however it ends: a killed run leaves no stale claim.
        """
        self.path(spec).mkdir(parents=True, exist_ok=True)
        with (self.path(spec) / "claim").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                    yield False
                    return
                _log.warning("%s: no file locks here (%s): trials may run twice", file.name, error)
            file.truncate(0)
            file.write(f"{os.uname().nodename} {os.getpid()}\n")
            file.flush()
            yield True


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
        else raises UsageError.
        """
        if not (folder / RUN_FILE).exists():
            refuse_foreign(folder, "run folder", marker=RUN_FILE, begun=(_ROWS_FILE, "trials"))
            return cls(folder, record)
        run = cls(folder)
        run.check(record.identity)
        return run

    @classmethod
    def create(cls, folder: Path, record: RunRecord, rows: Mapping[Split, Rows]) -> RunFolder:
        """Make the folder, or open the one that is there; raises as `planned`."""
        run = cls.planned(folder, record)
        if not (folder / RUN_FILE).exists():
            _write_rows(folder / _ROWS_FILE, rows)
            write_run(folder, record)
        return run

    def check(self, identity: RunIdentity) -> None:
        """Raise GenoslimError naming what differs if the folder is of another identity."""
        if found := differences(plain(self.record.identity), plain(identity)):
            raise GenoslimError(
                f"{self.folder} holds another run: {'; '.join(found)}."
                " Ask for the same, or give another folder with -o"
            )

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
