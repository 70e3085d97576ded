"""How many requests are worth having in flight.

Few where they are answered at once, since each passes Python's lock many times and more threads
only get in each other's way; more where most of the time is spent waiting.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

FIRST_THREADS = 4
MOST_THREADS = 256
_FACTOR = 4
_DESCRIPTORS_KEPT = 64
_DESCRIPTORS_EACH = 4
_WINDOW_SECONDS = 0.05
# A process that uses less of one core than this is waiting for answers.
_BUSY = 0.5
# More threads that bring less than this bring nothing: the link, or S3, is what bounds.
_WORTH = 1.15
# What a request costs this process. So many go into the time that one takes to be answered.
_REQUEST_SECONDS = 0.0004


@dataclass(frozen=True, slots=True)
class Sample:
    """Seconds of wall clock and of CPU, and requests that have ended, since the process began."""

    wall_seconds: float
    cpu_seconds: float
    ended: int


class Growth:
    """Decides how many threads to have, from samples. Not shared between threads.

    `waits` says whether the process spent the last stretch waiting rather than working.
    """

    def __init__(self, start: Sample, first: int = FIRST_THREADS, most: int = MOST_THREADS) -> None:
        self.threads = min(first, most)
        self.waits = True
        self._most = most
        self._begun = start
        self._rate = 0.0

    def expect(self, answer_seconds: float) -> int:
        """Return how many threads to begin with where an answer has taken so long."""
        wanted = int(answer_seconds / _REQUEST_SECONDS)
        self.waits = wanted > self.threads
        self.threads = max(self.threads, min(wanted, self._most))
        return self.threads

    def consider(self, now: Sample) -> int:
        """Return how many threads to have from now on; never fewer than before.

        It is decided when each thread has ended a request, not before.
        """
        wall = now.wall_seconds - self._begun.wall_seconds
        ended = now.ended - self._begun.ended
        if wall < _WINDOW_SECONDS or ended < self.threads:
            return self.threads
        self.waits = now.cpu_seconds - self._begun.cpu_seconds < _BUSY * wall
        if self.waits and ended / wall > _WORTH * self._rate:
            # What the last step brought is measured against the rate before it.
            self._rate = ended / wall
            self.threads = min(_FACTOR * self.threads, self._most)
        self._begun = now
        return self.threads


def threads_to_begin_with() -> int:
    """Return as many as there are cores, within 2 and 4.

    On two cores, four threads that are answered at once take a third more CPU than two, for
    passing Python's lock around.
    """
    return max(2, min(FIRST_THREADS, os.cpu_count() or 1))


def _threads_that_may_open_files() -> int:
    """Return how many threads can have two files and a connection each, and leave some over."""
    import resource

    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return MOST_THREADS
    return max(FIRST_THREADS, (allowed - _DESCRIPTORS_KEPT) // _DESCRIPTORS_EACH)


class GrowingExecutor(ThreadPoolExecutor):
    """Threads that become more while that helps, up to `most`.

    `answer_seconds` is asked once, when there is work: how long an answer takes, if that is known.
    """

    def __init__(
        self,
        most: int,
        name: str,
        initializer: Callable[[], object],
        first: int = FIRST_THREADS,
        answer_seconds: Callable[[], float | None] = lambda: None,
    ) -> None:
        most = min(most, _threads_that_may_open_files())
        super().__init__(min(first, most), name, initializer)
        self._answer_seconds: Callable[[], float | None] | None = answer_seconds
        self._measured = threading.Lock()
        self._ended = 0
        self._growth = Growth(self._sample(), first, most)

    @property
    def waits(self) -> bool:
        """Whether most of the time goes by waiting for answers; so it is taken to be at first."""
        return self._growth.waits

    def submit_counted(self, work: Callable[[], T]) -> Future[T]:
        """Run work in a thread; what it takes decides how many there should be."""
        if self._answer_seconds is not None:
            self._begin(self._answer_seconds())
        future = self.submit(work)
        future.add_done_callback(self._count)
        return future

    def _begin(self, answer_seconds: float | None) -> None:
        self._answer_seconds = None
        if answer_seconds is not None:
            # None has ended its work yet: the base starts them as they are needed.
            self._max_workers = self._growth.expect(answer_seconds)

    def _count(self, _: object) -> None:
        self._ended += 1
        # One looks; the others have work to do.
        if self._measured.acquire(blocking=False):
            try:
                self._grow(self._growth.consider(self._sample()))
            finally:
                self._measured.release()

    def _grow(self, threads: int) -> None:
        """Start threads up to this number.

        The base starts one when work is submitted and none is idle; but Python 3.11 counts a
        thread as idle for each piece of work that has ended, and starts none once some have.
        """
        # Held by who submits or shuts down: the next look grows then.
        if threads <= self._max_workers or not self._shutdown_lock.acquire(blocking=False):
            return
        try:
            if self._shutdown:
                # Who waits for the threads goes through them just now.
                return
            self._max_workers = threads
            while self._idle_semaphore.acquire(timeout=0):
                pass
            for _ in range(threads - len(self._threads)):
                self._adjust_thread_count()
        finally:
            self._shutdown_lock.release()

    def _sample(self) -> Sample:
        return Sample(time.monotonic(), time.process_time(), self._ended)
