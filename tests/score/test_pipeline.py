from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator

import pytest

from genoslim.score.pipeline import run_pipeline


def _no_threads_left() -> bool:
    return not any(thread.name.startswith("genoslim-") for thread in threading.enumerate())


def test_order_is_kept_and_nothing_is_lost() -> None:
    taken: list[int] = []
    run_pipeline(range(500), lambda item: item * 2, taken.append)
    assert taken == [item * 2 for item in range(500)]
    assert _no_threads_left()


def test_a_worker_that_runs_dry_is_an_error_not_the_end() -> None:
    taken: list[int] = []
    values = iter([1, 2])
    with pytest.raises(RuntimeError, match="StopIteration"):
        run_pipeline(range(5), lambda _: next(values), taken.append)
    assert _no_threads_left()


def test_no_more_than_a_few_items_wait() -> None:
    made: list[int] = []
    most = 0

    def make() -> Iterator[int]:
        for item in range(50):
            made.append(item)
            yield item

    def work(item: int) -> int:
        nonlocal most
        time.sleep(0.002)
        most = max(most, len(made) - item)
        return item

    run_pipeline(make(), work, lambda _: None)
    assert most <= 5


def test_stages_run_at_the_same_time() -> None:
    barrier = threading.Barrier(3, timeout=10)  # breaks unless all three stages meet

    def make() -> Iterator[int]:
        yield 0
        yield 1
        barrier.wait()

    def work(item: int) -> int:
        if item == 1:
            barrier.wait()
        return item

    def take(item: int) -> None:
        if item == 0:
            barrier.wait()

    run_pipeline(make(), work, take)


def _fail_at(stage: str, wanted: str) -> None:
    if stage == wanted:
        raise ValueError(stage)


@pytest.mark.parametrize("stage", ["make", "work", "take"])
def test_the_error_of_any_stage_comes_out_and_ends_the_others(stage: str) -> None:
    def make() -> Iterator[int]:
        for item in range(10_000):
            if item == 20:
                _fail_at("make", stage)
            yield item

    def work(item: int) -> int:
        if item == 20:
            _fail_at("work", stage)
        return item

    def take(item: int) -> None:
        if item == 20:
            _fail_at("take", stage)

    with pytest.raises(ValueError, match=stage):
        run_pipeline(make(), work, take)
    assert _no_threads_left()


def test_an_interrupt_in_the_middle_stage_ends_the_others() -> None:
    def work(_: int) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_pipeline(range(10_000), work, lambda _: None)
    assert _no_threads_left()


def test_nothing_to_do() -> None:
    run_pipeline([], lambda item: item, lambda item: pytest.fail(str(item)))


def test_an_interrupt_while_threads_start_leaves_none_running(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        if thread.name == "genoslim-write":
            raise KeyboardInterrupt
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_pipeline(itertools.count(), lambda item: item, lambda _: None)
    assert _no_threads_left()
