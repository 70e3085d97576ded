"""Threads that hash, send and compare the parts of large files, with bounded memory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from orchestrator_cli.core.base.cancellation import SIGNAL_POLL_SECONDS, CancelToken, bind_token
from orchestrator_cli.core.base.errors import InterruptedByUser
from orchestrator_cli.core.base.memory_limiter import MemoryLimiter, MemoryReservation

Item = TypeVar("Item")
T = TypeVar("T")

_MAX_WAITING = 256


class FutureGroup(Generic[T]):
    """Futures of one purpose: the first failure is the failure of all.

    One that is cancelled before it began, here or by the end of the threads, counts as a failure:
    `concurrent.futures.wait` would wait for it forever.
    """

    def __init__(self) -> None:
        self._futures: list[Future[T]] = []
        self._ended: SimpleQueue[Future[T]] = SimpleQueue()
        self._left = 0

    def add(self, future: Future[T]) -> None:
        """Add a future."""
        self._left += 1
        self._futures.append(future)
        future.add_done_callback(self._ended.put)

    def check(self) -> None:
        """Raise the first failure so far, if there is one."""
        with contextlib.suppress(Empty):
            while True:
                self._settle(self._ended.get_nowait())

    def wait_for_room(self, most: int) -> None:
        """Wait until fewer than so many are left. Raises the first failure, if there is one."""
        self.check()
        while self._left >= most:
            self._settle(_take(self._ended))

    def results(self) -> list[T]:
        """Wait and return the results in order. Raises the first failure as soon as it happens."""
        while self._left:
            self._settle(_take(self._ended))
        return [future.result() for future in self._futures]

    def cancel(self) -> None:
        """Cancel the futures that have not begun."""
        for future in self._futures:
            future.cancel()

    def wait(self) -> None:
        """Wait until all have ended, one way or the other."""
        while self._left:
            self._left -= 1
            _take(self._ended)

    def _settle(self, ended: Future[T]) -> None:
        self._left -= 1
        ended.result()


def _take(ended: SimpleQueue[Future[T]]) -> Future[T]:
    while True:
        with contextlib.suppress(Empty):
            return ended.get(timeout=SIGNAL_POLL_SECONDS)


class PartThreads:
    """A pool of at most `workers` threads. Work begins once its bytes fit into memory.

    A thread gives back its memory once a part is sent, and then waits for the response: so there
    are more of them than parts in memory.
    """

    def __init__(self, workers: int, memory: MemoryLimiter, stop: CancelToken) -> None:
        self._memory = memory
        self._stop = stop
        self._executor = ThreadPoolExecutor(workers, "part", partial(bind_token, stop))

    def submit(self, size_bytes: int, work: Callable[[MemoryReservation], T]) -> Future[T]:
        """Run work in a thread once its bytes fit into memory; blocks until they do."""
        if self._stop.is_set():
            raise InterruptedByUser("interrupted")
        reservation = MemoryReservation(self._memory, size_bytes)
        try:
            future = self._executor.submit(work, reservation)
        except BaseException:
            reservation.release()
            raise
        future.add_done_callback(lambda _: reservation.release())
        return future

    def map(
        self,
        items: Iterable[Item],
        memory: Callable[[Item], int],
        work: Callable[[Item, MemoryReservation], T],
    ) -> list[T]:
        """Work on items and return the results in order; the first failure ends it.

        `memory` returns how many bytes an item holds while it is worked on; work may give them back
        before it ends. Must not be called from one of these threads. After a failure, items that
        have begun may still be worked on.
        """
        group: FutureGroup[T] = FutureGroup()
        try:
            for item in items:
                group.add(self.submit(memory(item), partial(work, item)))
                group.check()
            return group.results()
        except BaseException:
            group.cancel()
            raise

    def as_completed(self, futures: Iterable[Future[T]]) -> Iterator[T]:
        """Yield results as they end, with a bounded number of futures waiting.

        What has ended is taken before the next future is asked for, so a failure that concerns all
        is noticed at once.
        """
        ended: SimpleQueue[Future[T]] = SimpleQueue()
        waiting = 0
        for future in futures:
            future.add_done_callback(ended.put)
            waiting += 1
            while waiting and (waiting >= _MAX_WAITING or not ended.empty()):
                yield _take(ended).result()
                waiting -= 1
        for _ in range(waiting):
            yield _take(ended).result()

    def shutdown(self, *, cancel: bool) -> None:
        """End the threads: at once with `cancel`, else when their work is done."""
        self._executor.shutdown(wait=not cancel, cancel_futures=cancel)
