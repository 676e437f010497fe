"""Run a bundle: sequences in, logits or probabilities out. Needs no torch."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UsageError
from ..models.tokenizer import SequenceTokenizer, normalise, refuse_one_string
from .bundle import Bundle
from .choice import choose_backend
from .runner import GraphRunner
from .sessions import Backend, Device

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Runtime", "to_probabilities"]

_LOG = logging.getLogger(__name__)

_SPECIALS = 2  # tokens at most that stand for no base: one before, one after


def to_probabilities(logits: NDArray[Any], temperature: float = 1.0) -> NDArray[np.float64]:
    """Return P(second label) [n] of logits [n, 2]: `softmax(logits / temperature)[:, 1]`."""
    margin = (logits[:, 1].astype(np.float64) - logits[:, 0]) / temperature
    probabilities: NDArray[np.float64] = np.exp(-np.logaddexp(0.0, -margin))
    return probabilities


class Runtime(GraphRunner):
    """A bundle, ready to score: `probabilities` are calibrated by the bundle's temperature.

    `backend` may be `auto` (the faster one here) besides the two; OpenVINO is taken by either
    only where it was found exact: see `choose_backend`, which also says what is raised. UsageError
    for `tf32` of a bundle that is not fp32.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: Device = "auto",
        threads: int | None = None,
        backend: Backend = "auto",
        tf32: bool = False,
    ) -> None:
        if tf32 and bundle.manifest.precision != "fp32":
            raise UsageError(
                f"{bundle.folder}: tf32 is of fp32 bundles, this one is"
                f" {bundle.manifest.precision}; drop --tf32"
            )
        super().__init__(
            bundle.graph,
            SequenceTokenizer.from_folder(bundle.folder),
            device=device,
            threads=threads,
            backend=choose_backend(bundle, backend, device=device, threads=threads, tf32=tf32),
            tf32=tf32,
        )
        self.bundle = bundle
        if self.on_gpu:
            self.warm_up(bundle.manifest.window_length)
        elif bundle.manifest.precision == "fp16":
            _LOG.warning(
                "%s: an fp16 bundle is made for CUDA; on a CPU it is no faster than fp32",
                bundle.folder,
            )
        elif bundle.manifest.target == "cuda":
            _LOG.warning("%s: its graph is shaped for CUDA, and runs on the CPU", bundle.folder)

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, of {self.bundle!r}>"

    def probabilities(
        self,
        sequences: Sequence[str],
        *,
        batch_tokens: int | None = None,
        batch_size: int | None = None,
    ) -> NDArray[np.float32]:
        """Return the calibrated probability of the second label, float32 [n], in input order."""
        logits = self.logits(sequences, batch_tokens=batch_tokens, batch_size=batch_size)
        return to_probabilities(logits, self.bundle.manifest.temperature).astype(np.float32)

    def fits(self, sequences: Sequence[str]) -> list[bool]:
        """Say of each sequence whether it has no more tokens than the model takes.

        Many N may make too many: they are tokens of their own where k-mers are tokens.
        """
        refuse_one_string(sequences)
        limit = self.tokenizer.max_tokens
        if limit is None or max(map(len, sequences), default=0) + _SPECIALS <= limit:
            return [True] * len(sequences)
        encodings = self.tokenizer.raw.encode_batch_fast([normalise(text) for text in sequences])
        return [len(encoding.ids) <= limit for encoding in encodings]

    def stream(self, sequences: Iterable[str], *, chunk: int = 4096) -> Iterator[float]:
        """Yield probabilities in input order, holding no more than `chunk` sequences at a time."""
        refuse_one_string(sequences)
        source = iter(sequences)
        while part := list(islice(source, chunk)):
            yield from self.probabilities(part).tolist()
