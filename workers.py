"""A child Python process that holds one object and serves calls of its methods.

It never outlives its parent, not even one that was killed; it ignores Ctrl-C, about which the
parent decides; errors come back as they were raised, and its death with the cause. It is a fresh
interpreter that runs nothing of the parent's main module, so a script needs no main guard.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, cast

from .errors import GenoslimError, in_a_line

__all__ = ["DeadWorkerError", "Note", "Worker", "call_in_child", "tell"]

_T = TypeVar("_T")
_P = ParamSpec("_P")
_R = TypeVar("_R")

_PROGRAM = "from genoslim.workers import serve; serve()"
_EXIT_SECONDS = 5.0
_WATCH_SECONDS = 0.5


class DeadWorkerError(GenoslimError):
    """The process ended before it answered; the message is the cause."""


@dataclass(frozen=True)
class Note:
    """What a call said on its way, by `tell`."""

    message: Any


@dataclass(frozen=True)
class _Result:
    value: Any


@dataclass(frozen=True)
class _Failure:
    error: GenoslimError


class Worker(Generic[_T]):
    """A process around the object that `make` returns there; close it, or use it in `with`.

    `make` and all arguments and results are pickled, functions by their names. The object is made
    with the first call. `environment` is added to the parent's.
    """

    def __init__(
        self, make: Callable[[], _T], *, environment: Mapping[str, str] | None = None
    ) -> None:
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        self._connection, theirs = Pipe()
        with theirs, _interrupts_held():
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                pass_fds=[theirs.fileno()],
                env={**os.environ, **(environment or {})},
            )
        self._busy = False
        self._send(make)

    def __enter__(self) -> Worker[_T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def fileno(self) -> int:
        """Return what `multiprocessing.connection.wait` waits on: ready when `receive` is."""
        return self._connection.fileno()

    def call(
        self,
        method: Callable[Concatenate[_T, _P], _R],
        *arguments: _P.args,
        **named: _P.kwargs,
    ) -> _R:
        """Return what `method(object, ...)` returns in the process; its notes are dropped.

        Raises the GenoslimError that it raises there, one that names any other error, and
        DeadWorkerError if the process ended.
        """
        self.start(method, *arguments, **named)
        while isinstance(found := self.receive(), Note):
            pass
        return cast("_R", found)

    def start(
        self,
        method: Callable[Concatenate[_T, _P], object],
        *arguments: _P.args,
        **named: _P.kwargs,
    ) -> None:
        """Begin a call, whose notes and result `receive` gives."""
        self._send((method, arguments, named))
        self._busy = True

    def receive(self) -> object:
        """Wait for the call that was begun: a Note of it, else its result; raises as `call`."""
        try:
            message = self._connection.recv()
        except (EOFError, OSError):
            raise DeadWorkerError(self._cause_of_death()) from None
        if isinstance(message, Note):
            return message
        self._busy = False
        if isinstance(message, _Failure):
            raise message.error
        return message.value

    def close(self) -> None:
        """End the process: at once within a call, else by itself within some seconds."""
        self._connection.close()
        try:
            if not self._busy:
                self._process.wait(_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._process.kill()
            self._process.wait()
            self._output.close()

    def _send(self, message: object) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # it has died: `receive` tells
            self._connection.send(message)

    def _cause_of_death(self) -> str:
        code = self._process.wait()
        if code < 0:
            hint = " (out of memory?)" if -code == signal.SIGKILL else ""
            return f"its process was ended by {signal.Signals(-code).name}{hint}"
        self._output.seek(0)
        lines = self._output.read().decode("utf-8", "replace").strip().splitlines()
        return f"its process ended with exit code {code}" + (f": {lines[-1]}" if lines else "")


def call_in_child(function: Callable[_P, _R], *arguments: _P.args, **named: _P.kwargs) -> _R:
    """Return what a function returns in a process of its own, which ends with this call.

    Raises as `Worker.call`.
    """
    with Worker(partial(function, *arguments, **named)) as worker:
        return worker.call(_itself)


def tell(message: object) -> None:
    """Send the parent a Note from within a call; outside a worker there is nobody to tell."""
    if _parent is not None:
        _parent.send(Note(message))


def serve() -> None:
    """Serve the calls of the parent until it closes: what the process runs."""
    global _parent
    descriptor, parent = map(int, sys.argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()
    with Connection(descriptor) as _parent, suppress(EOFError, BrokenPipeError):
        make = cache(_parent.recv())
        while True:
            _parent.send(_outcome(make, *_parent.recv()))


_parent: Connection | None = None
"""In a worker, the way to its parent."""


def _outcome(
    make: Callable[[], Any],
    method: Callable[..., object],
    arguments: tuple[Any, ...],
    named: dict[str, Any],
) -> _Result | _Failure:
    try:
        return _Result(method(make(), *arguments, **named))
    except Exception as error:
        told = error if isinstance(error, GenoslimError) else GenoslimError(in_a_line(error))
        told.add_note(traceback.format_exc())
        return _Failure(told)


def _itself(value: _R) -> _R:
    return value


def _leave_with(parent: int) -> None:
    """End this process soon after its parent, whatever it is doing."""
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os._exit(1)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold back Ctrl-C, for a process that starts in the body until it ignores it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
