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
from ..models.batches import batch_limits, batches
from ..models.precision import Precision, float32_products, resolve_precision, type_of
from ..models.tokenizer import SequenceTokenizer
from .subjects import Engine, Subject

Ids = NDArray[np.int64]
Logits = NDArray[np.float32]


class Runner(Protocol):
    """A loaded model."""

    tokenizer: SequenceTokenizer
    threads: int
    provider: str

    @property
    def on_gpu(self) -> bool:
        """Whether a GPU computes."""

    def pad(self, rows: Sequence[Ids]) -> tuple[Ids, Ids]:
        """Return ids and mask, both int64 [B, T], of rows of token ids, as batches are padded."""

    def run(self, input_ids: Ids, attention_mask: Ids) -> Logits:
        """Return logits [B, labels] of one padded batch [B, T], computed when it returns."""

    def logits(self, sequences: Sequence[str], *, batch_size: int | None = None) -> Logits:
        """Return logits [n, labels] in the order of `sequences`."""


def with_backend(
    subject: Subject,
    backend: str,
    *,
    device: str,
    threads: int | None,
    precision: Precision = "fp32",
) -> Subject:
    """Return a bundle with the backend it will run on: `auto` is measured, as `score` does it."""
    if subject.bundle is None:
        return subject
    chosen = choose_backend(
        subject.bundle, backend, device=device, threads=threads, tf32=precision == "tf32"
    )
    return replace(subject, backend=cast(Engine, chosen))


def computed_in(precision: Precision, subject: Subject) -> Subject:
    """Return a model with the precision that it is computed in where `precision` is asked for."""
    of_bundle = subject.bundle is not None
    if of_bundle and not (precision == "tf32" and subject.precision == "fp32"):
        return subject
    return replace(subject, precision=precision)


def open_runner(
    subject: Subject,
    *,
    device: str = "auto",
    threads: int | None = None,
    precision: Precision = "fp32",
) -> Runner:
    """Load a model on its backend; no hash of a bundle's files is taken again.

    A bundle has a precision of its own; in `tf32` the products of an fp32 one are computed in that.
    `device` is auto, cpu or cuda (see `open_session`).
    """
    if subject.bundle is None:
        return TorchRunner(subject.path, device=device, threads=threads, precision=precision)
    tf32 = precision == "tf32" and subject.bundle.manifest.precision == "fp32"
    runner = GraphRunner(
        subject.bundle.graph,
        SequenceTokenizer.from_folder(subject.path),
        device=device,
        threads=threads,
        backend=subject.backend,
        tf32=tf32,
    )
    if tf32 and not runner.tf32:
        raise UsageError(f"precision tf32 needs a CUDA device, this is {runner.provider}")
    return runner


class TorchRunner:
    """A checkpoint under `torch.inference_mode`, its weights in the type of the precision.

    Like the runtime of bundles, it computes equal sequences once, makes batches of near-equal
    length within the same budget of tokens, and takes all threads by default. `provider` is `cpu`,
    or the CUDA device's name.
    """

    def __init__(
        self,
        path: Path,
        *,
        device: str = "auto",
        threads: int | None = None,
        precision: Precision = "fp32",
    ) -> None:
        try:
            import torch
        except ImportError:
            raise needs_extra(f"{path}: running a checkpoint", "torch", "train") from None
        from ..models import load, load_tokenizer

        self._torch = torch
        self._device = torch.device(_torch_device(device, torch.cuda.is_available()))
        self._precision = resolve_precision(precision, self._device)
        self.threads: int = available_threads(threads)
        torch.set_num_threads(self.threads)
        self.tokenizer: SequenceTokenizer = load_tokenizer(path)
        self._model = load(path).eval().to(self._device, type_of(precision))
        self.on_gpu: bool = self._device.type == "cuda"
        self.provider: str = torch.cuda.get_device_name() if self.on_gpu else "cpu"

    def pad(self, rows: Sequence[Ids]) -> tuple[Ids, Ids]:
        """Return ids and mask, both int64 [B, T]."""
        _, multiple = batch_limits(gpu=self.on_gpu)
        return self.tokenizer.pad(rows, multiple=multiple)

    def run(self, input_ids: Ids, attention_mask: Ids) -> Logits:
        """Return logits [B, labels]; the copy to the host waits for the device."""
        if (attention_mask == attention_mask[:1]).all():
            attention_mask = attention_mask[:1]  # stands for all rows: see `Classifier`
        from_numpy = self._torch.from_numpy
        with self._torch.inference_mode(), float32_products(self._precision, self._device):
            ids, mask = (from_numpy(a).to(self._device) for a in (input_ids, attention_mask))
            found: Logits = self._model(ids, mask).float().cpu().numpy()
        return found

    def logits(self, sequences: Sequence[str], *, batch_size: int | None = None) -> Logits:
        """Return logits [n, labels] in the order of `sequences`; equal ones are computed once."""
        places = {sequence: place for place, sequence in enumerate(dict.fromkeys(sequences))}
        rows = self.tokenizer.encode(list(places))
        found = np.empty((len(rows), self._model.config.num_labels), np.float32)
        lengths = [len(row) for row in rows]
        tokens, multiple = batch_limits(gpu=self.on_gpu)
        for batch in batches(lengths, tokens=tokens, rows=batch_size, multiple=multiple):
            found[batch] = self.run(*self.pad([rows[place] for place in batch]))
        return found[np.fromiter((places[s] for s in sequences), np.intp, len(sequences))]


def _torch_device(device: str, available: bool) -> str:
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device is {device!r}; expected auto, cpu or cuda (torch has no other)")
    if device == "cuda" and not available:
        raise GenoslimError("device cuda: torch finds no usable CUDA device; choose --device cpu")
    return "cuda" if device != "cpu" and available else "cpu"
