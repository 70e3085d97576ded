"""Read and work on many logs at once, a bounded part of each in memory."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from functools import partial
from typing import Generic, TypeVar

from orchestrator_cli.core.base.cancellation import bind_token, current_token
from orchestrator_cli.core.base.errors import UnavailableError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.s3.bucket.reader import ObjectReader
from orchestrator_cli.core.s3.part_plan import MIB
from orchestrator_cli.core.s3.types import ObjectSummary

Item = TypeVar("Item")
Part = TypeVar("Part")

READ_BYTES = MIB
# How long a thread that has to wait for its reader does not look whether it is still wanted.
_POLL_SECONDS = 0.2


def read_log(store: ObjectReader, log: ObjectSummary) -> Iterator[bytes | memoryview]:
    """Yield the bytes of a log in order, a mebibyte at a time; each is good until the next.

    A log of one such block is compared with its checksum.
    """
    if log.size_bytes <= READ_BYTES:
        yield store.get(log.key).content
        return
    buffer = bytearray(READ_BYTES)
    for offset in range(0, log.size_bytes, READ_BYTES):
        wanted = min(READ_BYTES, log.size_bytes - offset)
        block = store.get_range(log.key, offset, wanted, buffer)
        if len(block) != wanted:
            raise UnavailableError(f"read of {printable(log.key)}: the answer is incomplete")
        yield block


def work_in_order(
    items: Iterable[Item], work: Callable[[Item], Iterator[Part]], at_once: int
) -> Generator[tuple[Item, Iterator[Part]], None, None]:
    """Yield each item with the parts that work makes of it, in order; several are worked on.

    Of an item whose turn has not come, one part is made ahead. The parts of an item must be taken
    before the next item; what work raises of OrchestratorError is raised there.
    """
    from concurrent.futures import ThreadPoolExecutor

    cancelled = threading.Event()
    executor = ThreadPoolExecutor(at_once, "logs", partial(bind_token, current_token()))
    waiting: deque[tuple[Item, _Parts[Part]]] = deque()
    try:
        for item in items:
            parts: _Parts[Part] = _Parts(cancelled)
            executor.submit(parts.make, partial(work, item))
            waiting.append((item, parts))
            if len(waiting) > at_once:
                first, made = waiting.popleft()
                yield first, made.take()
        while waiting:
            first, made = waiting.popleft()
            yield first, made.take()
    finally:
        cancelled.set()
        executor.shutdown(wait=False, cancel_futures=True)


class _Parts(Generic[Part]):
    """The parts of one item, handed from the thread that makes them to the one that takes them."""

    def __init__(self, cancelled: threading.Event) -> None:
        self._cancelled = cancelled
        self._queue: queue.Queue[list[Part] | Exception] = queue.Queue(1)

    def make(self, work: Callable[[], Iterator[Part]]) -> None:
        try:
            with closing(work()) as parts:  # type: ignore[type-var]
                for part in parts:
                    if not self._put([part]):
                        return
            self._put([])
        except Exception as error:  # noqa: BLE001 - raised again where the parts are taken
            self._put(error)

    def _put(self, parts: list[Part] | Exception) -> bool:
        while not self._cancelled.is_set():
            try:
                self._queue.put(parts, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    def take(self) -> Iterator[Part]:
        while True:
            made = self._queue.get()
            if isinstance(made, Exception):
                raise made
            if not made:
                return
            yield made[0]
