"""How a run is ended from outside: Ctrl-C and SIGTERM do the same, and say which it was.

SIGTERM raises `Terminated`, a KeyboardInterrupt, in the main thread, so that whatever cleans up
after Ctrl-C cleans up after it too. The command line ends with 130 or 143 (128 + the signal).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

_Handler = Callable[[int, FrameType | None], object]


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived."""


def exit_code(error: KeyboardInterrupt) -> int:
    """Return what a process ends with after this interrupt: 143 after SIGTERM, else 130."""
    return 128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)


def last_word(error: KeyboardInterrupt) -> str:
    """Return what the user is told: `terminated` after SIGTERM, else `interrupted`."""
    return "terminated" if isinstance(error, Terminated) else "interrupted"


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM raise `Terminated` in the body; nothing changes outside the main thread."""

    def terminate(_number: int, _frame: FrameType | None) -> None:
        raise Terminated

    with _handled(terminate, signal.SIGTERM):
        yield


@contextmanager
def interrupts_raise() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise their error in the body, and see to it that it comes out.

    A library interrupted while it is imported may make an ImportError of it, and a finaliser
    loses it with a traceback on stderr: the first becomes the interrupt again when it leaves the
    body, the second comes again. Nothing changes outside the main thread.
    """
    arrived: list[KeyboardInterrupt] = []

    def interrupt(number: int, _frame: FrameType | None) -> None:
        arrived.append(_error_of(number))
        raise arrived[-1]

    with _handled(interrupt, signal.SIGINT, signal.SIGTERM), _kept_from_finalisers():
        try:
            yield
        except Exception as error:
            if arrived:
                raise arrived[-1] from error
            raise


def leave_at_once_on_signals() -> None:
    """End the process in one line when SIGINT or SIGTERM comes: nothing is begun yet."""

    def end(number: int, _frame: FrameType | None) -> None:
        error = _error_of(number)
        with suppress(OSError):
            os.write(2, f"genoslim: {last_word(error)}\n".encode())
        os._exit(exit_code(error))

    for number in _heeded(signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)


def leave(code: int) -> NoReturn:
    """End the process without the interpreter's own end, when all is cleaned up.

    That end may crash while native code starts its threads: after a signal, or an early error.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _error_of(number: int) -> KeyboardInterrupt:
    return Terminated() if number == signal.SIGTERM else KeyboardInterrupt()


def _heeded(*numbers: signal.Signals) -> list[signal.Signals]:
    """Leave out the signals that the caller has told us to ignore, as `nohup` does."""
    return [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]


@contextmanager
def _handled(handler: _Handler, *numbers: signal.Signals) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in _heeded(*numbers)}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


@contextmanager
def _kept_from_finalisers() -> Iterator[None]:
    """Send a signal again that hit a finaliser or a callback, where no error comes out."""
    before = sys.unraisablehook

    def again(lost: sys.UnraisableHookArgs) -> None:
        if isinstance(lost.exc_value, KeyboardInterrupt):
            number = exit_code(lost.exc_value) - 128
            threading.Timer(0.01, os.kill, (os.getpid(), number)).start()  # when that has ended
        else:
            before(lost)

    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = before
