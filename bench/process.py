"""A model in a process of its own, as its parent sees it.

Each model gets a fresh process: what it needs in memory is then its own, its first call is a first
call, and the thread pools of torch and ONNX Runtime do not disturb each other. The parent lets one
process work at a time, in turns.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import GateError, GenoslimError, UsageError
from .subjects import Subject
from .worker import OPEN

_ERRORS = {error.exit_code: error for error in (GenoslimError, UsageError, GateError)}


class ModelProcess:
    """A context manager around the process of one model."""

    def __init__(
        self, subject: Subject, *, workload: Path, device: str, threads: int | None
    ) -> None:
        self.subject = subject
        self._errors = tempfile.TemporaryFile(  # noqa: SIM115 (closed by `close`)
            "w+", encoding="utf-8", errors="replace"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "genoslim.bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            encoding="utf-8",
            env=_environment(threads),
        )
        self._opening = {
            "path": str(subject.path.resolve()),
            "backend": subject.backend,
            "device": device,
            "threads": threads,
            "workload": str(workload),
        }

    def __enter__(self) -> ModelProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def open(self) -> None:
        """Load the model."""
        self.call(OPEN, **self._opening)

    def call(self, name: str, **arguments: Any) -> Any:
        """Have the process do one thing and return what it says.

        Raises what the process raised, or GenoslimError if it died.
        """
        request, replies = self._process.stdin, self._process.stdout
        if request is None or replies is None:
            raise GenoslimError(f"{self.subject.path}: its process has no pipes")
        try:
            request.write(json.dumps({"call": name, "with": arguments}) + "\n")
            request.flush()
            line = replies.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise self._death()
        reply = json.loads(line)
        if "error" in reply:
            raise _ERRORS[reply["exit_code"]](_placed(reply["error"], self.subject.path))
        return reply["value"]

    def close(self) -> None:
        """End the process, gently if it listens."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            try:
                self._process.stdin.close()
                self._process.wait(timeout=5)
            except (BrokenPipeError, subprocess.TimeoutExpired):
                self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()

    def _death(self) -> GenoslimError:
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        if code == -9:
            why = "killed (out of memory?)"
        else:
            why = f"exit code {code}" + (f": {lines[-1]}" if lines else "")
        return GenoslimError(f"{self.subject.path}: its benchmark process died: {why}")


def _environment(threads: int | None) -> dict[str, str]:
    """Return the environment of the process: one idea of the number of threads for all."""
    return os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {})


def _placed(message: str, path: Path) -> str:
    return message if str(path) in message else f"{path}: {message}"
