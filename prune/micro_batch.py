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
def memory_told(purpose: str) -> Iterator[None]:
    """Turn torch's complaint about memory in the body into a GenoslimError of one line."""
    try:
        yield
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        raise GenoslimError(f"out of memory in {purpose}: {_ADVICE}") from None


class MicroBatch:
    """How many rows are worked on at once: `size` at first, half of it when memory runs out.

    `purpose` says in the log what they are worked on for.
    """

    def __init__(self, size: int, purpose: str) -> None:
        self.size: int = size
        self.purpose: str = purpose

    def over(self, rows: Tensor, work: Callable[[tuple[Tensor, ...]], _T]) -> _T:
        """Return `work` of rows int64[n] in parts of the size, or of the largest that fits.

        `work` is called anew with smaller parts, so it must not build on what it left unfinished.
        Raises GenoslimError if memory does not do for one row.
        """
        while True:
            try:
                return work(torch.split(rows, self.size))
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                self._halve(len(rows))
            _release()  # out here, where the error holds no tensors any more

    def _halve(self, rows: int) -> None:
        tried = min(self.size, rows)
        if tried == 1:
            raise GenoslimError(
                f"out of memory in {self.purpose} with 1 row at a time: {_ADVICE}"
            ) from None
        self.size = tried // 2
        _log.warning(
            "out of memory in %s with %d rows at a time: going on with %d, which changes nothing"
            " but rounding and dropout",
            self.purpose,
            tried,
            self.size,
        )


def _release() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
