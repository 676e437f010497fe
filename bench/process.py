"""A model in a process of its own.

Each model gets a fresh process: what it needs in memory is then its own, its first call is a first
call, and the thread pools of torch and ONNX Runtime do not disturb each other. The parent lets one
process work at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from ..errors import GenoslimError
from ..models.precision import Precision
from ..workers import Worker
from .meter import Meter
from .subjects import Subject

_P = ParamSpec("_P")
_R = TypeVar("_R")


class ModelProcess:
    """The process of one model, which loads it with the first call; close it, or use `with`."""

    def __init__(
        self,
        subject: Subject,
        *,
        workload: Path,
        device: str,
        threads: int | None,
        precision: Precision = "fp32",
    ) -> None:
        self.subject = subject
        self._start = partial(
            Worker,
            partial(
                Meter,
                subject,
                device=device,
                threads=threads,
                precision=precision,
                workload=workload,
            ),
            environment={"OMP_NUM_THREADS": str(threads)} if threads else {},
        )
        self._worker = self._start()

    def __enter__(self) -> ModelProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(
        self,
        method: Callable[Concatenate[Meter, _P], _R],
        *arguments: _P.args,
        **named: _P.kwargs,
    ) -> _R:
        """Return what a method of the process's Meter returns.

        Raises the GenoslimError that it raises there, or one if the process died; both name the
        model.
        """
        try:
            return self._worker.call(method, *arguments, **named)
        except GenoslimError as error:
            path = str(self.subject.path)
            raise error if path in str(error) else type(error)(f"{path}: {error}") from None

    def restart(self) -> None:
        """End the process, if it did not end itself, and start a fresh one."""
        self._worker.close()
        self._worker = self._start()

    def close(self) -> None:
        """End the process."""
        self._worker.close()
