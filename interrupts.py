"""How a run is ended from outside: Ctrl-C and SIGTERM do the same, and say which it was.

SIGTERM raises `Terminated`, a KeyboardInterrupt, in the main thread, so that whatever cleans up
after Ctrl-C cleans up after it too. The command line ends with 130 or 143 (128 + the signal).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived."""


def exit_code(error: KeyboardInterrupt) -> int:
    """Return what a process ends with after this interrupt: 143 after SIGTERM, else 130."""
    return 128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM raise `Terminated` in the body; nothing changes outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise Terminated
