"""Run a bundle with ONNX Runtime: sequences in, logits or probabilities out. Needs no torch."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import GenoslimError, UsageError
from ..models.tokenizer import SequenceTokenizer, normalise
from .bundle import Bundle

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BATCH_TOKENS", "GraphRunner", "Runtime", "available_threads", "to_probabilities"]

_LOG = logging.getLogger(__name__)

BATCH_TOKENS = 4096
"""Default budget of a batch: rows x longest row, in tokens."""

_SPREAD = 1.25  # the longest row of a batch is at most this much longer than its shortest

_SPECIALS = 2  # tokens at most that stand for no base: one before, one after
_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
_INPUTS, _OUTPUT = ("input_ids", "attention_mask"), "logits"


def to_probabilities(logits: NDArray[Any], temperature: float = 1.0) -> NDArray[np.float64]:
    """Return P(second label) [n] of logits [n, 2]: `softmax(logits / temperature)[:, 1]`."""
    margin = (logits[:, 1].astype(np.float64) - logits[:, 0]) / temperature
    probabilities: NDArray[np.float64] = np.exp(-np.logaddexp(0.0, -margin))
    return probabilities


def available_threads() -> int:
    """Return how many threads this process may use: its CPU set, and OMP_NUM_THREADS if smaller."""
    affinity = getattr(os, "sched_getaffinity", None)
    allowed = len(affinity(0)) if affinity else os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(allowed, int(wanted))) if wanted.isdecimal() else allowed


class GraphRunner:
    """An ONNX classifier and its tokenizer.

    `device` is `cpu`, `cuda` (an error where CUDA does not load: never a silent fall-back) or
    `auto` (CUDA where it loads). `provider` is what the session itself says it runs on.
    """

    def __init__(
        self,
        graph: Path,
        tokenizer: SequenceTokenizer,
        *,
        device: str = "auto",
        threads: int | None = None,
    ) -> None:
        if device not in ("auto", "cpu", "cuda"):
            raise UsageError(f"device is {device!r}; expected auto, cpu or cuda")
        if threads is not None and threads < 1:
            raise UsageError(f"threads is {threads}; expected at least 1")
        self.tokenizer = tokenizer
        self.threads = threads or available_threads()
        self._session = _open_session(graph, device, self.threads)
        self.provider: str = self._session.get_providers()[0]
        self.num_labels: int = self._session.get_outputs()[0].shape[1]
        _LOG.info("%s: %s, threads: %d", graph.name, self.provider, self.threads)

    def run(
        self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return logits [B, labels] of one padded batch: ids and mask, both int64 [B, T]."""
        feeds = dict(zip(_INPUTS, (input_ids, attention_mask), strict=True))
        logits: NDArray[np.float32] = self._session.run([_OUTPUT], feeds)[0]
        return logits.astype(np.float32, copy=False)

    def logits(
        self,
        sequences: Sequence[str],
        *,
        batch_tokens: int = BATCH_TOKENS,
        batch_size: int | None = None,
    ) -> NDArray[np.float32]:
        """Return logits [n, labels] in the order of `sequences`, which may be empty.

        Equal sequences are computed once. Batches are made of near-equal token lengths and hold
        at most `batch_tokens` tokens, padding included (but one row at least), and at most
        `batch_size` rows.
        """
        if batch_tokens < 1 or (batch_size is not None and batch_size < 1):
            raise UsageError(
                f"batch of {batch_tokens} tokens, {batch_size} rows; expected at least 1"
            )
        places = {sequence: place for place, sequence in enumerate(dict.fromkeys(sequences))}
        rows = self.tokenizer.encode(list(places))
        found = np.empty((len(rows), self.num_labels), np.float32)
        for batch in _batches([len(row) for row in rows], batch_tokens, batch_size):
            found[batch] = self.run(*self.tokenizer.pad([rows[place] for place in batch]))
        return found[np.fromiter((places[s] for s in sequences), np.intp, len(sequences))]


class Runtime(GraphRunner):
    """A bundle, ready to score: `probabilities` are calibrated by the bundle's temperature."""

    def __init__(self, bundle: Bundle, *, device: str = "auto", threads: int | None = None) -> None:
        tokenizer = SequenceTokenizer.from_folder(bundle.folder)
        super().__init__(bundle.graph, tokenizer, device=device, threads=threads)
        self.bundle = bundle

    def probabilities(
        self,
        sequences: Sequence[str],
        *,
        batch_tokens: int = BATCH_TOKENS,
        batch_size: int | None = None,
    ) -> NDArray[np.float32]:
        """Return the calibrated probability of the second label, float32 [n], in input order."""
        logits = self.logits(sequences, batch_tokens=batch_tokens, batch_size=batch_size)
        return to_probabilities(logits, self.bundle.manifest.temperature).astype(np.float32)

    def fits(self, sequences: Sequence[str]) -> list[bool]:
        """Say of each sequence whether it has no more tokens than the model takes.

        Many N may make too many: they are tokens of their own where k-mers are tokens.
        """
        limit = self.tokenizer.max_tokens
        if limit is None or max(map(len, sequences), default=0) + _SPECIALS <= limit:
            return [True] * len(sequences)
        encodings = self.tokenizer.raw.encode_batch_fast([normalise(text) for text in sequences])
        return [len(encoding.ids) <= limit for encoding in encodings]

    def stream(self, sequences: Iterable[str], *, chunk: int = 4096) -> Iterator[float]:
        """Yield probabilities in input order, holding no more than `chunk` sequences at a time."""
        source = iter(sequences)
        while part := list(islice(source, chunk)):
            yield from self.probabilities(part).tolist()


def _batches(lengths: Sequence[int], tokens: int, size: int | None) -> Iterator[list[int]]:
    """Yield the places of `lengths`, shortest first, cut by the budget, the rows or the spread."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        longest = lengths[place]
        full = len(batch) == size or (len(batch) + 1) * longest > tokens
        if batch and (full or longest > _SPREAD * lengths[batch[0]]):
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def _open_session(graph: Path, device: str, threads: int) -> Any:
    """Open a session on `device` and make sure that it is what runs."""
    try:
        import onnxruntime
    except ImportError:
        raise GenoslimError(
            "running a bundle needs the extra `cpu` (or `gpu`): pip install 'genoslim[cpu]'"
        ) from None
    listed = onnxruntime.get_available_providers()
    if device == "cuda" and _CUDA not in listed:
        raise GenoslimError(
            f"device cuda: this onnxruntime offers {', '.join(listed)}; CUDA needs the extra `gpu`"
            " in place of `cpu`: pip uninstall onnxruntime; pip install 'genoslim[gpu]'"
        )
    providers = [_CUDA, _CPU] if device != "cpu" and _CUDA in listed else [_CPU]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(graph), options, providers=providers)
    except Exception as error:  # onnxruntime has no public base class of its errors
        reason = str(error).strip().splitlines()[0]
        version = onnxruntime.__version__
        raise GenoslimError(f"{graph}: onnxruntime {version} cannot load it: {reason}") from error
    _check_device(session.get_providers()[0], device)
    return session


def _check_device(provider: str, device: str) -> None:
    """Refuse the CPU where CUDA was asked for: listed providers may still fail to load."""
    if device == "cuda" and provider != _CUDA:
        raise GenoslimError(
            f"device cuda: the session runs on {provider}: CUDA or cuDNN did not load;"
            " install them, or choose --device cpu"
        )
