"""SIGTERM ends a run as Ctrl-C does, and says that it was SIGTERM."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from genoslim.interrupts import Terminated, exit_code, sigterm_interrupts


def _terminate_this_process() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pause()


def test_sigterm_raises_in_the_body_and_the_old_handler_comes_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated), sigterm_interrupts():
        _terminate_this_process()
    assert signal.getsignal(signal.SIGTERM) is before


def test_exit_codes_are_those_of_a_shell() -> None:
    assert exit_code(KeyboardInterrupt()) == 130
    assert exit_code(Terminated()) == 143


def test_another_thread_changes_nothing() -> None:
    seen: list[object] = []

    def body() -> None:
        with sigterm_interrupts():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]
