"""A worker serves calls, tells what goes wrong, and never stays behind."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path

import pytest
from processes import gone

from genoslim.errors import GenoslimError
from genoslim.files import refuse_overwriting
from genoslim.workers import DeadWorkerError, Note, Worker, call_in_child, tell


def test_one_object_serves_call_after_call() -> None:
    with Worker(partial(list, "ab")) as worker:
        assert worker.pid != os.getpid()
        assert worker.call(list.append, "c") is None
        assert worker.call(list.copy) == ["a", "b", "c"]
        assert worker.call(list.index, "c") == 2
    assert gone(worker.pid)


def test_a_function_in_a_process_with_an_environment_of_its_own() -> None:
    assert call_in_child(os.getppid) == os.getpid()
    with Worker(partial(os.getenv, "OMP_NUM_THREADS"), environment={"OMP_NUM_THREADS": "3"}) as one:
        assert one.call(str) == "3"


def test_an_error_keeps_its_kind_its_line_and_its_traceback(tmp_path: Path) -> None:
    path = tmp_path / "same"
    with pytest.raises(GenoslimError, match="is an input too") as error:
        call_in_child(refuse_overwriting, path, [path])
    assert error.value.exit_code == 2
    assert "in refuse_overwriting" in error.value.__notes__[0]
    with pytest.raises(GenoslimError, match=r"ModuleNotFoundError: .*no_such_module"):
        call_in_child(importlib.import_module, "no_such_module")


def test_the_object_is_made_again_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "late"
    with Worker(partial(os.stat, path)) as worker:
        with pytest.raises(GenoslimError, match="FileNotFoundError"):
            worker.call(getattr, "st_size")
        path.write_text("ten bytes.")
        assert worker.call(getattr, "st_size") == 10


def test_notes_come_before_the_result() -> None:
    with Worker(partial(str, "half way")) as worker:
        worker.start(tell)
        assert wait([worker], timeout=30) == [worker]
        assert [worker.receive(), worker.receive()] == [Note("half way"), None]
        assert worker.call(tell) is None


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        (partial(os._exit, 7), "its process ended with exit code 7"),
        (partial(signal.raise_signal, signal.SIGKILL), r"by SIGKILL \(out of memory\?\)"),
        (partial(signal.raise_signal, signal.SIGSEGV), "its process was ended by SIGSEGV"),
        (partial(sys.exit, "no word"), "ended with exit code 1: no word"),
    ],
)
def test_a_death_is_told_with_its_cause(end: partial[None], cause: str) -> None:
    with Worker(end) as worker:
        with pytest.raises(DeadWorkerError, match=cause):
            worker.call(repr)
        with pytest.raises(DeadWorkerError, match=cause):
            worker.call(repr)


def test_an_interrupt_is_ignored() -> None:
    with Worker(partial(str, "still here")) as worker:
        os.kill(worker.pid, signal.SIGINT)  # while it starts
        assert worker.call(str.upper) == "STILL HERE"
        os.kill(worker.pid, signal.SIGINT)
        assert worker.call(str.upper) == "STILL HERE"


def test_a_call_that_goes_on_is_ended_at_once() -> None:
    begun = time.monotonic()
    with Worker(partial(float, 60)) as worker:
        worker.start(time.sleep)
    assert gone(worker.pid)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("busy", [True, False])
def test_it_does_not_outlive_its_parent(number: signal.Signals, busy: bool) -> None:
    program = (
        "import time; from functools import partial; from genoslim.workers import Worker\n"
        "worker = Worker(partial(float, 60)); worker.call(abs)\n"
        f"{'worker.start(time.sleep)' if busy else ''}\n"
        "print(worker.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(number)
        parent.wait()
        assert gone(child)


def test_the_parents_interrupt_is_only_held_back() -> None:
    program = (
        "import os, signal\nfrom genoslim import workers\n"
        "with workers._interrupts_held():\n"
        "    os.kill(os.getpid(), signal.SIGINT); print('held', flush=True)\n"
        "print('lost')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout == "held\n"
    assert "KeyboardInterrupt" in done.stderr


def test_a_script_needs_no_main_guard(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os; from genoslim.workers import call_in_child\n"
        "print(call_in_child(os.getppid) == os.getpid())\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("True\n", "")
