"""One face for the ways to run a model: torch for checkpoints, the runtime of bundles for those.

A backend runs one padded batch (`run`), which is what is timed, and scores sequences (`logits`),
which is what quality is measured from. Both go through the same tokenizer and the same network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from ..bundle.choice import choose_backend
from ..bundle.machine import available_threads
from ..bundle.runner import GraphRunner
from ..errors import GenoslimError, UsageError, needs_extra
from ..models.tokenizer import SequenceTokenizer
from .subjects import Engine, Subject

Ids = NDArray[np.int64]
Logits = NDArray[np.float32]

BATCH_ROWS = 32


class Runner(Protocol):
    """A loaded model."""

    tokenizer: SequenceTokenizer
    threads: int
    provider: str

    def run(self, input_ids: Ids, attention_mask: Ids) -> Logits:
        """Return logits [B, labels] of one padded batch [B, T], computed when it returns."""

    def logits(self, sequences: Sequence[str], *, batch_size: int | None = None) -> Logits:
        """Return logits [n, labels] in the order of `sequences`."""


def with_backend(subject: Subject, backend: str, *, device: str, threads: int | None) -> Subject:
    """Return a bundle with the backend it will run on: `auto` is measured, as `score` does it."""
    if subject.bundle is None:
        return subject
    chosen = choose_backend(subject.bundle, backend, device=device, threads=threads)
    return replace(subject, backend=cast(Engine, chosen))


def open_runner(subject: Subject, *, device: str = "auto", threads: int | None = None) -> Runner:
    """Load a model on its backend; no hash of a bundle's files is taken again.

    `device` is auto, cpu or cuda (see `open_session`).
    """
    if subject.bundle is None:
        return TorchRunner(subject.path, device=device, threads=threads)
    graph, tokenizer = subject.bundle.graph, SequenceTokenizer.from_folder(subject.path)
    return GraphRunner(graph, tokenizer, device=device, threads=threads, backend=subject.backend)


class TorchRunner:
    """A checkpoint in float32 under `torch.inference_mode`.

    Like the runtime of bundles, it computes equal sequences once, makes batches of near-equal
    length and takes all threads by default. `provider` is `cpu`, or the CUDA device's name.
    """

    def __init__(self, path: Path, *, device: str = "auto", threads: int | None = None) -> None:
        try:
            import torch
        except ImportError:
            raise needs_extra(f"{path}: running a checkpoint", "torch", "train") from None
        from ..models import load, load_tokenizer

        self._torch = torch
        self._device = _torch_device(device, torch.cuda.is_available())
        self.threads: int = available_threads(threads)
        torch.set_num_threads(self.threads)
        self.tokenizer: SequenceTokenizer = load_tokenizer(path)
        self._model = load(path).eval().to(self._device)
        cuda = self._device == "cuda"
        self.provider: str = torch.cuda.get_device_name() if cuda else "cpu"

    def run(self, input_ids: Ids, attention_mask: Ids) -> Logits:
        """Return logits [B, labels]; the copy to the host waits for the device."""
        from_numpy = self._torch.from_numpy
        with self._torch.inference_mode():
            ids, mask = (from_numpy(a).to(self._device) for a in (input_ids, attention_mask))
            found: Logits = self._model(ids, mask).float().cpu().numpy()
        return found

    def logits(self, sequences: Sequence[str], *, batch_size: int | None = None) -> Logits:
        """Return logits [n, labels] in the order of `sequences`; equal ones are computed once."""
        places = {sequence: place for place, sequence in enumerate(dict.fromkeys(sequences))}
        rows = self.tokenizer.encode(list(places))
        order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
        size = batch_size or BATCH_ROWS
        parts = [order[start : start + size] for start in range(0, len(order), size)]
        found = [self.run(*self.tokenizer.pad([rows[place] for place in part])) for part in parts]
        back = np.empty(len(order), np.intp)
        back[order] = np.arange(len(order))
        wanted = np.fromiter((places[sequence] for sequence in sequences), np.intp, len(sequences))
        logits: Logits = np.concatenate(found)[back[wanted]]
        return logits


def _torch_device(device: str, available: bool) -> str:
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device is {device!r}; expected auto, cpu or cuda (torch has no other)")
    if device == "cuda" and not available:
        raise GenoslimError("device cuda: torch finds no usable CUDA device; choose --device cpu")
    return "cuda" if device != "cpu" and available else "cpu"
