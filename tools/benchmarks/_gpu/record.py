"""The results of `gpu.py`, on disk after every row, so that a run that is cut short counts."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FORMAT = 1

Row = dict[str, Any]
"""One measurement: names and plain JSON values, in seconds, bytes and joules by default."""


@dataclass(frozen=True)
class Budget:
    """Seconds that may be spent, from now on."""

    seconds: float
    started: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds that are left, below 0 when they are spent."""
        return self.started + self.seconds - time.monotonic()


class Results:
    """What was found so far, written to `path` whenever it grows."""

    def __init__(self, path: Path, content: Mapping[str, Any]) -> None:
        self.path = path
        self.content: dict[str, Any] = {"format": FORMAT, **content, "steps": {}}

    def take(self, name: str, rows: Iterator[Row], budget: Budget) -> str:
        """Keep the rows of a step until its budget is spent; return how it ended.

        `done`, `cut` (time), `left out: why` or `failed: why`. A step fails alone.
        """
        step: dict[str, Any] = {"state": "running", "seconds": 0.0, "rows": []}
        self.content["steps"][name] = step
        self.write()
        started = time.monotonic()
        try:
            step["state"] = self._collect(step["rows"], rows, budget)
        except LeftOut as why:
            step["state"] = f"left out: {why}"
        except Exception as error:  # a step may meet any fault of a driver or a library
            step["state"] = f"failed: {in_a_line(error)}"
        step["seconds"] = round(time.monotonic() - started, 3)
        self.write()
        state: str = step["state"]
        return state

    def _collect(self, kept: list[Row], rows: Iterator[Row], budget: Budget) -> str:
        while budget.left > 0:
            try:
                kept.append(next(rows))
            except StopIteration:
                return "done"
            self.write()
        return "cut: its time was spent"

    def write(self) -> None:
        """Write everything, whole or not at all."""
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(self.content, indent=1, allow_nan=False), encoding="utf-8")
        temporary.replace(self.path)


class LeftOut(Exception):  # noqa: N818  # it is no error: the step does not apply here
    """A step cannot run here; the text says why."""


def in_a_line(error: BaseException) -> str:
    """Return the first line of an error, or its kind if it says nothing."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
