"""Halve what is worked on at once while memory runs out."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor

from ..errors import GenoslimError

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

_NOT_ENOUGH = ("DefaultCPUAllocator: not enough memory", "DefaultCPUAllocator: can't allocate")
"""What torch says on a CPU, where it raises no error of a kind of its own."""
_ADVICE = "use a device with more memory, fewer --workers, or --lora"


def out_of_memory(error: RuntimeError) -> bool:
    """Whether torch says that there was no memory for a tensor."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return any(words in str(error) for words in _NOT_ENOUGH)


@contextmanager
def memory_told(purpose: str, advice: str = _ADVICE) -> Iterator[None]:
    """Turn torch's complaint about memory in the body into a GenoslimError of one line."""
    try:
        yield
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        raise GenoslimError(f"out of memory in {purpose}: {advice}") from None


class MicroBatch:
    """How much is worked on at once: so many `tokens`, half of it when memory runs out.

    `purpose` says in the log what for.
    """

    def __init__(self, tokens: int, purpose: str) -> None:
        self.tokens: int = tokens
        self.purpose: str = purpose

    def rows(self, width: int) -> int:
        """Return how many rows of `width` tokens go at once: one at least."""
        return max(1, self.tokens // width)

    def over(self, rows: Tensor, width: int, work: Callable[[tuple[Tensor, ...]], _T]) -> _T:
        """Return `work` of rows int64[n], of `width` tokens each, in parts of the size that fits.

        `work` is called anew with smaller parts, so it must not build on what it left unfinished.
        Raises GenoslimError if memory does not do for one row.
        """
        while True:
            size = min(self.rows(width), len(rows))
            try:
                return work(torch.split(rows, size))
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                self._halve(size, width)
            _release()  # out here, where the error holds no tensors any more

    def _halve(self, rows: int, width: int) -> None:
        if rows == 1:
            raise GenoslimError(
                f"out of memory in {self.purpose} with 1 row of {width} tokens at a time: {_ADVICE}"
            ) from None
        self.tokens = rows // 2 * width
        _log.warning(
            "out of memory in %s with %d rows of %d tokens at a time: going on with %d, which"
            " changes nothing but rounding and dropout",
            self.purpose,
            rows,
            width,
            rows // 2,
        )


def _release() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
