"""Read and process many logs at once, with a bounded part of each in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from itertools import chain
from typing import TypeVar

from orchestrator_cli.core.base.cancellation import bind_token, current_token
from orchestrator_cli.core.base.errors import OrchestratorError
from orchestrator_cli.core.base.merging import Handover, raise_errors
from orchestrator_cli.core.base.quantities import MIB
from orchestrator_cli.core.s3.bucket.reader import ObjectReader
from orchestrator_cli.core.s3.compare import check_listed_size
from orchestrator_cli.core.s3.operations.read import get_object
from orchestrator_cli.core.s3.operations.request import Operation
from orchestrator_cli.core.s3.types import ObjectMetadata, ObjectSummary
from orchestrator_cli.core.transfer.download.range_reader import verify_blocks

Item = TypeVar("Item")
T = TypeVar("T")

READ_BYTES = MIB
# So many are held in memory at once as the loop has in flight.
_SMALL_BYTES = 96 * 1024
_LARGE_LOGS_AT_ONCE = 32


def read_log(store: ObjectReader, log: ObjectSummary) -> Iterator[bytes | memoryview]:
    """Yield the bytes of a log in order, a mebibyte at a time; each is good until the next.

    Raises IntegrityError at their end where they do not match its checksum.
    """
    if log.size_bytes <= READ_BYTES:
        yield store.get(log.key).content
        return
    head, first = store.get_prefix(log.key, READ_BYTES)
    check_listed_size(head, log.size_bytes)
    yield from verify_blocks(store, head, chain([first], _read_rest(store, head, first)))


def _read_rest(
    store: ObjectReader, head: ObjectMetadata, first: memoryview
) -> Iterator[memoryview]:
    """Yield what follows the first block."""
    buffer, whole_bytes = bytearray(READ_BYTES), head.size_bytes
    for offset in range(len(first), whole_bytes, READ_BYTES):
        wanted = min(READ_BYTES, whole_bytes - offset)
        yield store.get_range(head.key, offset, wanted, buffer, whole_bytes)


def work_in_order(
    store: ObjectReader,
    logs: Iterable[tuple[Item, ObjectSummary]],
    work: Callable[[Iterable[bytes | memoryview]], Iterator[T]],
) -> Generator[tuple[Item, Iterator[T]], None, None]:
    """Yield what comes with each log, and the parts that work makes of its bytes, in order.

    Small logs are fetched many at once on one loop. Of larger ones several are worked on in
    threads, and one part is made ahead. The parts of a log must be taken before the next log; what
    reading it raises of OrchestratorError is raised there.
    """
    from concurrent.futures import ThreadPoolExecutor

    cancelled = threading.Event()
    bind = partial(bind_token, current_token())
    executor = ThreadPoolExecutor(_LARGE_LOGS_AT_ONCE, "logs", bind)

    def begin(item: tuple[Item, ObjectSummary]) -> Operation[tuple[Item, Iterator[T]]]:
        name, log = item
        if log.size_bytes <= _SMALL_BYTES:
            try:
                stored = yield from get_object(log.key)
            except OrchestratorError as error:
                return name, raise_errors([error])
            return name, work([stored.content])
        parts: Handover[T] = Handover(cancelled, 1)
        executor.submit(parts.run, lambda: work(read_log(store, log)))
        return name, raise_errors(parts.take())

    try:
        yield from store.map_operations(map(begin, logs))
    finally:
        cancelled.set()
        executor.shutdown(wait=False, cancel_futures=True)
