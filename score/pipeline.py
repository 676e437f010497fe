"""Three stages at once: one makes items, one works on them, one takes the results.

The first and the last run in threads, the middle one in the caller's.

Order is kept, queues are short (so memory is bounded by the size of an item), and the first error
of any stage ends all three and is raised in the caller's thread.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

_DEPTH = 2
_POLL_SECONDS = 0.1
_JOIN_SECONDS = 5.0

_A = TypeVar("_A")
_B = TypeVar("_B")


class _Stopped(Exception):  # noqa: N818
    """Another stage has failed, or the caller has given up."""


class _Stages:
    """The threads of one run; the first error of any of them sets `stop`."""

    def __init__(self, stop: threading.Event) -> None:
        self.stop = stop
        self.error: BaseException | None = None
        self._threads: list[threading.Thread] = []

    def start(self, name: str, body: Callable[[], None]) -> threading.Thread:
        """Run `body` in a thread."""
        thread = threading.Thread(target=self._guarded, args=(body,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def end(self) -> None:
        """Stop every thread and wait for it, for some seconds at most."""
        self.stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(_JOIN_SECONDS)

    def _guarded(self, body: Callable[[], None]) -> None:
        try:
            body()
        except _Stopped:
            pass
        except BaseException as error:  # raised again in the caller's thread
            self.error = self.error or error
            self.stop.set()


class _Pipe(Generic[_A]):
    """A bounded queue whose two ends give up when `stop` is set."""

    def __init__(self, stop: threading.Event) -> None:
        self._queue: queue.Queue[tuple[_A] | None] = queue.Queue(_DEPTH)
        self._stop = stop

    def fill(self, items: Iterable[_A]) -> None:
        """Hand on all items, then the end."""
        for item in items:
            self._put((item,))
        self._put(None)

    def _put(self, item: tuple[_A] | None) -> None:
        while True:
            if self._stop.is_set():
                raise _Stopped
            try:
                return self._queue.put(item, timeout=_POLL_SECONDS)
            except queue.Full:
                continue

    def __iter__(self) -> Iterator[_A]:
        while True:
            if self._stop.is_set():
                raise _Stopped
            try:
                item = self._queue.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            if item is None:
                return
            yield item[0]


def run_pipeline(
    make: Iterable[_A],
    work: Callable[[_A], _B],
    take: Callable[[_B], None],
    *,
    stop: threading.Event | None = None,
) -> None:
    """Run `take(work(item))` for every item of `make`, the three at once.

    `work` runs in the calling thread, which is also where an interrupt arrives. Raises whatever a
    stage raises. When it returns or raises, `make` and `take` are not running any more; only a
    thread that hangs in a blocked read or write is left behind after some seconds. `stop` is set
    as soon as the run is to end, so that a `make` that waits for data can give up.
    """
    stages = _Stages(threading.Event() if stop is None else stop)
    made: _Pipe[_A] = _Pipe(stages.stop)
    done: _Pipe[_B] = _Pipe(stages.stop)
    try:  # from the first thread on: an interrupt may come while they start
        stages.start("genoslim-read", lambda: made.fill(make))
        last = stages.start("genoslim-write", lambda: _each(take, done))
        done.fill(work(item) for item in made)  # unlike map, no StopIteration ends it quietly
        last.join()
    except _Stopped:
        pass
    finally:
        stages.end()
    if stages.error is not None:
        raise stages.error


def _each(take: Callable[[_B], None], items: Iterable[_B]) -> None:
    for item in items:
        take(item)
