"""What a step of a longer road says: to a log file, and its last line to a terminal meanwhile."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TextIO


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Append to `path` what the body prints and logs, in place of stdout and stderr.

    If stderr is a terminal, the last line stands there while the body works.
    """
    ours = logging.getLogger(__package__)
    handlers = ours.handlers[:]
    with path.open("a", encoding="utf-8") as file, _last_line() as show:
        log = _Log(file, show)
        try:
            with redirect_stdout(log), redirect_stderr(log):
                yield
        finally:
            ours.handlers = handlers  # a command of ours that ran in the body has set its own


class _Log(io.TextIOBase):
    """Text goes to a file, and each line to whoever shows it."""

    encoding = "utf-8"

    def __init__(self, file: TextIO, show: Callable[[str], None]) -> None:
        self._file = file
        self._show = show

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._file.write(text)
        if said := text.strip():
            self._show(said.splitlines()[-1])
        return len(text)

    def flush(self) -> None:
        self._file.flush()


@contextmanager
def _last_line() -> Iterator[Callable[[str], None]]:
    """Yield what shows a line on the terminal, in place of the one before, until the body ends."""
    from rich.console import Console
    from rich.text import Text

    console = Console(file=sys.stderr)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("") as status:
        yield lambda line: status.update(Text(line, no_wrap=True, overflow="ellipsis"))
