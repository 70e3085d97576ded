"""The library's blocking work in a bounded number of threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class BusyError(Exception):
    """As much work waits as may wait."""


class Workers:
    """Threads, and a limit on what waits for them. A request that gave up holds its place."""

    def __init__(self, threads: int, waiting: int) -> None:
        self._threads = ThreadPoolExecutor(threads, "api")
        self._places = threads + waiting
        self._under_way: set[Future[Any]] = set()

    async def run(self, work: Callable[[], T]) -> T:
        """Run work in a thread. Raises BusyError at once where too much waits."""
        if self._places <= 0:
            raise BusyError
        self._places -= 1
        loop = asyncio.get_running_loop()
        future = self._threads.submit(work)
        self._under_way.add(future)
        future.add_done_callback(lambda _: self._free(loop))
        future.add_done_callback(self._under_way.discard)
        return await asyncio.wrap_future(future)

    def _free(self, loop: asyncio.AbstractEventLoop) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._release)

    def _release(self) -> None:
        self._places += 1

    @property
    def busy(self) -> bool:
        """Whether work is under way, though nobody may wait for it any more."""
        return any(not future.done() for future in self._under_way)

    def close(self) -> None:
        """Drop what has not begun."""
        self._threads.shutdown(wait=False, cancel_futures=True)
