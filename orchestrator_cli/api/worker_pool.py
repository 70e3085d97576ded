"""A bounded pool of threads for the blocking calls of the library."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from orchestrator_cli.core.base.cancellation import CancelToken, bind_token

T = TypeVar("T")

# How many requests may wait for each that is worked on.
WAITING_A_THREAD = 4


class BusyError(Exception):
    """The pool is busy, and its queue is full."""


class BoundedWorkerPool:
    """A thread pool with a limit on queued work.

    Queued work whose caller was cancelled is dropped. Work that has begun runs to its end and
    counts until then.
    """

    def __init__(self, threads: int, waiting: int) -> None:
        self._threads = ThreadPoolExecutor(threads, "api")
        self._max_futures = threads + waiting
        self._lock = threading.Lock()
        self._futures: set[Future[Any]] = set()

    async def run(self, work: Callable[[], T]) -> T:
        """Run work in a thread. Raises BusyError at once if the queue is full."""
        return await asyncio.wrap_future(self._submit(work))

    async def run_read(self, work: Callable[[], T]) -> T:
        """Run work that is stopped before its next S3 request if the caller is cancelled."""
        stop = CancelToken()

        def read() -> T:
            bind_token(stop)
            try:
                return work()
            finally:
                bind_token(None)

        try:
            return await self.run(read)
        except asyncio.CancelledError:
            stop.set()
            raise

    def _submit(self, work: Callable[[], T]) -> Future[T]:
        with self._lock:
            if len(self._futures) >= self._max_futures:
                raise BusyError
            future = self._threads.submit(work)
            self._futures.add(future)
        future.add_done_callback(self._discard)
        return future

    def _discard(self, future: Future[Any]) -> None:
        with self._lock:
            self._futures.discard(future)

    @property
    def busy(self) -> bool:
        """True while work is queued or under way, even if its caller was cancelled."""
        return bool(self._futures)

    def close(self) -> None:
        """End the threads and drop queued work."""
        self._threads.shutdown(wait=False, cancel_futures=True)
