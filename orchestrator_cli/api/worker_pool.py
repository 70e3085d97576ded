"""The library's blocking work in a bounded number of threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from orchestrator_cli.core.base.cancellation import CancelToken, bind_token

T = TypeVar("T")


class BusyError(Exception):
    """The pool is busy, and no more work may wait for it."""


class BoundedWorkerPool:
    """Threads, and a limit on what waits for them.

    Work that nobody waits for any more is dropped where it has not begun. What has begun keeps its
    place until it ends.
    """

    def __init__(self, threads: int, waiting: int) -> None:
        self._threads = ThreadPoolExecutor(threads, "api")
        self._most = threads + waiting
        self._lock = threading.Lock()
        self._under_way: set[Future[Any]] = set()

    async def run(self, work: Callable[[], T]) -> T:
        """Run work in a thread. Raises BusyError at once where too much waits."""
        return await asyncio.wrap_future(self._submit(work))

    async def run_read(self, work: Callable[[], T]) -> T:
        """Run work that may end between two of its requests once nobody waits for it."""
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
            if len(self._under_way) >= self._most:
                raise BusyError
            future = self._threads.submit(work)
            self._under_way.add(future)
        future.add_done_callback(self._forget)
        return future

    def _forget(self, future: Future[Any]) -> None:
        with self._lock:
            self._under_way.discard(future)

    @property
    def busy(self) -> bool:
        """True while work is under way, even if its requests have ended."""
        return bool(self._under_way)

    def close(self) -> None:
        """Drop queued work."""
        self._threads.shutdown(wait=False, cancel_futures=True)
