"""Read and process many logs at once, with a bounded part of each in memory."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from functools import partial
from typing import Generic, NoReturn, Protocol, TypeVar

from orchestrator_cli.core.base.cancellation import bind_token, current_token
from orchestrator_cli.core.base.errors import OrchestratorError, UnavailableError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.s3.bucket.reader import ObjectReader
from orchestrator_cli.core.s3.operations.read import get_object
from orchestrator_cli.core.s3.operations.request import Operation
from orchestrator_cli.core.s3.part_plan import MIB
from orchestrator_cli.core.s3.types import ObjectSummary


class StoredLog(Protocol):
    """A log of an execution, as a listing has it."""

    @property
    def stored(self) -> ObjectSummary:
        """The object that it is."""
        ...


Item = TypeVar("Item", bound=StoredLog)
Part = TypeVar("Part")

READ_BYTES = MIB
# So many are held in memory at once as the loop has in flight.
_SMALL_BYTES = 96 * 1024
_LARGE_LOGS_AT_ONCE = 32
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
    store: ObjectReader,
    logs: Iterable[Item],
    work: Callable[[Item, Iterable[bytes | memoryview]], Iterator[Part]],
) -> Generator[tuple[Item, Iterator[Part]], None, None]:
    """Yield each log with the parts that work makes of its bytes, in order.

    Small logs are fetched many at once on one loop. Of larger ones several are worked on in
    threads, and one part is made ahead. The parts of a log must be taken before the next log; what
    reading it raises of OrchestratorError is raised there.
    """
    from concurrent.futures import ThreadPoolExecutor

    cancelled = threading.Event()
    bind = partial(bind_token, current_token())
    executor = ThreadPoolExecutor(_LARGE_LOGS_AT_ONCE, "logs", bind)

    def begin(log: Item) -> Operation[tuple[Item, Iterator[Part]]]:
        if log.stored.size_bytes <= _SMALL_BYTES:
            try:
                stored = yield from get_object(log.stored.key)
            except OrchestratorError as error:
                return log, map(_raise, [error])
            return log, work(log, [stored.content])
        parts: _Parts[Part] = _Parts(cancelled)
        executor.submit(parts.make, lambda: work(log, read_log(store, log.stored)))
        return log, parts.take()

    try:
        yield from store.map_operations(map(begin, logs))
    finally:
        cancelled.set()
        executor.shutdown(wait=False, cancel_futures=True)


def _raise(error: OrchestratorError) -> NoReturn:
    raise error


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
