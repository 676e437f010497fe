"""SIGTERM ends a run as Ctrl-C does, and says that it was SIGTERM."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from genoslim.interrupts import (
    Terminated,
    exit_code,
    interrupts_raise,
    last_word,
    sigterm_interrupts,
)


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
    assert last_word(KeyboardInterrupt()) == "interrupted"
    assert last_word(Terminated()) == "terminated"


def test_an_interrupt_that_an_import_made_an_error_of_comes_out() -> None:
    def import_it() -> None:
        try:
            _terminate_this_process()
        except KeyboardInterrupt:
            raise ImportError("numpy.core failed to import") from None

    with pytest.raises(Terminated), interrupts_raise():
        import_it()


def test_an_interrupt_that_a_finaliser_lost_comes_again(capfd: pytest.CaptureFixture[str]) -> None:
    class Closing:
        def __del__(self) -> None:
            _terminate_this_process()

    def work() -> None:
        Closing()
        time.sleep(5)

    with pytest.raises(Terminated), interrupts_raise():
        work()
    assert capfd.readouterr().err == ""


def test_an_error_without_an_interrupt_stays_what_it_is() -> None:
    with pytest.raises(ZeroDivisionError), interrupts_raise():
        _ = 1 / 0


def test_another_thread_changes_nothing() -> None:
    seen: list[object] = []

    def body() -> None:
        with sigterm_interrupts():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]
