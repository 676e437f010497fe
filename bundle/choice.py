"""Which backend runs a bundle: the faster exact one, measured once a bundle and machine.

Both backends are compared in a process of its own (`compare.py`), so that neither the memory of
two sessions nor a crash of one stays with the caller, and the outcome is remembered in the user's
cache folder. Needs no torch.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from platformdirs import user_cache_path

from ..codec import decode, plain, write_record
from ..errors import GateError, GenoslimError, UsageError
from ..files import read_json
from ..workers import call_in_child
from .bundle import Bundle
from .compare import ADVANTAGE, TOLERANCE, BackendComparison, compare_backends
from .machine import available_threads, processor_name
from .sessions import BACKENDS, ChosenBackend
from .versions import installed_versions

__all__ = ["cache_folder", "choose_backend"]

_FORMAT = 1
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Record:
    """What is remembered: the comparison, and the conditions that it holds for."""

    format: int = _FORMAT
    bundle: str
    processor: str
    threads: int
    versions: Mapping[str, str]
    found: BackendComparison | None = None


def choose_backend(
    bundle: Bundle,
    backend: str = "auto",
    *,
    device: str = "auto",
    threads: int | None = None,
    tf32: bool = False,
) -> ChosenBackend:
    """Return the backend to run `bundle` on: `onnxruntime` or `openvino`.

    `auto` is the faster one, ONNX Runtime where nothing is to be compared: OpenVINO is not
    installed, the device is a GPU, the precision is not fp32, or `tf32` is asked for. OpenVINO is
    only taken, even by name, where its logits were found to agree with ONNX Runtime's; else `auto`
    goes on without it and warns. Raises UsageError for an unknown backend and, for `openvino` by
    name, GateError (its logits differ) or GenoslimError (the comparison failed).
    """
    if backend not in ("auto", *BACKENDS):
        raise UsageError(f"backend is {backend!r}; expected auto, {' or '.join(BACKENDS)}")
    threads = available_threads(threads)
    if backend == "openvino":
        return _proved(bundle, device, threads)
    if backend == "onnxruntime" or tf32 or not _comparable(bundle, device):
        return "onnxruntime"
    try:
        found, origin = _comparison(bundle, threads)
    except GenoslimError as error:
        _LOG.warning("backend onnxruntime: %s", error)
        return "onnxruntime"
    if not found.exact:
        _LOG.warning("backend onnxruntime: %s", _disagreement(found))
        return "onnxruntime"
    _LOG.info("%s, %s", _account(found), origin)
    return found.faster


def _proved(bundle: Bundle, device: str, threads: int) -> ChosenBackend:
    """Return `openvino`, or raise what speaks against it."""
    if bundle.manifest.target != "cpu":
        raise UsageError(
            f"{bundle.folder}: backend openvino has no operators for a bundle made for cuda; export"
            " one with --for cpu, or drop --backend"
        )
    if device in ("auto", "cpu") and "openvino" in _versions():
        found, _ = _comparison(bundle, threads)
        if not found.exact:
            raise GateError(f"{bundle.folder}: backend openvino: {_disagreement(found)}")
    return "openvino"  # what does not exist or go together is refused when it is opened


def _comparable(bundle: Bundle, device: str) -> bool:
    if device not in ("auto", "cpu") or "openvino" not in (versions := _versions()):
        return False
    if device == "auto" and "onnxruntime-gpu" in versions:
        return False
    if bundle.manifest.target != "cpu":
        _LOG.info("backend onnxruntime: OpenVINO has no operators for bundles made for cuda")
        return False
    if bundle.manifest.precision != "fp32":
        _LOG.info("backend onnxruntime: only fp32 bundles are compared with OpenVINO")
        return False
    return True


def _comparison(bundle: Bundle, threads: int) -> tuple[BackendComparison, str]:
    """Return what is remembered of this bundle and machine, else measure it; and say which."""
    sought = _Record(
        bundle=bundle.digest,
        processor=processor_name(),
        threads=threads,
        versions=_versions(),
    )
    path = _record_path(sought)
    if path is not None and (found := _remembered(path, sought)):
        return found, f"remembered in {path}"
    found = _measured(bundle, threads)
    _remember(path, replace(sought, found=found))
    return found, f"measured on this machine, threads: {threads}"


def _versions() -> dict[str, str]:
    return installed_versions(("onnxruntime", "onnxruntime-gpu", "openvino"))


def _measured(bundle: Bundle, threads: int) -> BackendComparison:
    """Compare in a process of its own, which ends with this call however it ends."""
    _LOG.info("comparing the backends onnxruntime and openvino, once for this bundle and machine")
    folder, length = bundle.folder.resolve(), bundle.manifest.window_length
    try:
        return call_in_child(compare_backends, folder, length, threads)
    except GenoslimError as error:
        raise GenoslimError(f"comparing it with openvino failed: {error}") from None


def cache_folder() -> Path:
    """Return $GENOSLIM_CACHE, else the user's cache folder of this system (`platformdirs`).

    On Linux that is $XDG_CACHE_HOME/genoslim, else ~/.cache/genoslim. RuntimeError if the user has
    no home either.
    """
    if own := os.environ.get("GENOSLIM_CACHE"):
        return Path(own)
    found = user_cache_path("genoslim", appauthor=False)
    if not found.is_absolute():
        raise RuntimeError("the user has no home folder")
    return found


def _record_path(sought: _Record) -> Path | None:
    """Return a name of its own for each bundle and machine: a home may be shared by many."""
    key = hashlib.sha256(json.dumps(plain(sought), sort_keys=True).encode()).hexdigest()
    try:
        return cache_folder() / f"backend-{sought.bundle[:12]}-{key[:12]}.json"
    except RuntimeError:
        return None


def _remembered(path: Path, sought: _Record) -> BackendComparison | None:
    """Return what a record of the same conditions holds; None for none, or any other file."""
    try:
        record = decode(_Record, read_json(path), str(path))
    except (OSError, GenoslimError):
        return None
    return record.found if replace(record, found=None) == sought else None


def _remember(path: Path | None, record: _Record) -> None:
    try:
        if path is None:
            raise OSError("no home folder")
        write_record(path, record)
    except (OSError, GenoslimError) as error:
        _LOG.warning(
            "the comparison of backends cannot be remembered (%s): set GENOSLIM_CACHE to a folder"
            " that can be written, or name a --backend",
            error,
        )


def _account(found: BackendComparison) -> str:
    rates = {name: _rate(getattr(found, name)) for name in BACKENDS}
    if found.faster == "openvino":
        return (
            f"backend openvino: {rates['openvino']} windows/s against {rates['onnxruntime']} for"
            " onnxruntime"
        )
    tie = f" (taken from {ADVANTAGE:.2f}x on)" if found.openvino > found.onnxruntime else ""
    return (
        f"backend onnxruntime: {rates['onnxruntime']} windows/s against {rates['openvino']} for"
        f" openvino{tie}"
    )


def _rate(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def _disagreement(found: BackendComparison) -> str:
    return (
        f"openvino's logits differ from onnxruntime's by {found.difference:.2g} on random windows;"
        f" at most {TOLERANCE:g} is let pass"
    )
