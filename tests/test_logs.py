"""What a step says is in its log, and for a while on a terminal."""

from __future__ import annotations

import logging
import os
import pty
import subprocess
import sys
from pathlib import Path

import click
import pytest

from genoslim.logs import logged

STEP = """
import sys, time
from pathlib import Path
from genoslim.logs import logged
with logged(Path(sys.argv[1])):
    print("3 of 7 done")
    time.sleep(0.3)
"""


def test_output_goes_to_the_log_alone_and_comes_back(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path, ours = tmp_path / "log", logging.getLogger("genoslim")
    before = ours.handlers[:]
    for word in ("first", "second"):
        with logged(path):
            click.echo(word)
            click.echo("a warning", err=True)
            ours.handlers = [logging.StreamHandler(sys.stderr)]
            ours.warning("logged")
    click.echo("after")
    assert path.read_text().split("\n") == [
        *("first", "a warning", "logged"),
        *("second", "a warning", "logged", ""),
    ]
    assert ours.handlers == before
    assert capfd.readouterr() == ("after\n", "")


def _fail(word: str) -> None:
    click.echo(word)
    raise ValueError("no")


def test_an_error_leaves_the_log_and_the_streams_whole(tmp_path: Path) -> None:
    streams = sys.stdout, sys.stderr
    with pytest.raises(ValueError, match="no"), logged(tmp_path / "log"):
        _fail("so far")
    assert (tmp_path / "log").read_text() == "so far\n"
    assert (sys.stdout, sys.stderr) == streams


def test_a_terminal_shows_the_last_line_while_it_works(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", STEP, str(tmp_path / "log")]
    environment = {**os.environ, "TERM": "xterm"}
    ended = subprocess.run(command, stderr=theirs, stdout=subprocess.PIPE, env=environment)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert (ended.returncode, ended.stdout) == (0, b"")
    assert "3 of 7 done" in shown
    assert (tmp_path / "log").read_text() == "3 of 7 done\n"
