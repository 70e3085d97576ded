"""What the transfers of one command share: store, threads, memory budget, progress."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Generic, Self, TypeVar

from orchestrator_cli.core.base.cancellation import SIGNAL_POLL_SECONDS, bind_token
from orchestrator_cli.core.base.errors import InterruptedByUser
from orchestrator_cli.core.base.growth import MOST_THREADS, GrowingExecutor, threads_to_begin_with
from orchestrator_cli.core.base.memory_limiter import BufferPool, MemoryLimiter, MemoryReservation
from orchestrator_cli.core.s3.multipart import MultipartUploads
from orchestrator_cli.core.s3.part_plan import BASE_PART_BYTES
from orchestrator_cli.core.s3.types import UploadResult
from orchestrator_cli.core.s3.writer import ArtifactStore

Item = TypeVar("Item")
T = TypeVar("T")

# Does the upload of one file; whether its duration is ours, and not that of a pipe's writer.
Observe = Callable[[Callable[[], UploadResult], bool], UploadResult]

# Eight base parts. With the clients and the interpreter a command then stays under 160 MiB.
IN_FLIGHT_BYTES = 8 * BASE_PART_BYTES
_MAX_WAITING = 256
_GROUP_FILES = 8
# Files up to here are moved in less time than it takes to hand them to another thread.
GROUPED_BYTES = 64 * 1024
# A large file takes several answers before its first part and after its last.
_LARGE_FILES = 8


@dataclass
class Ended(Generic[T]):
    """What became of a group; `error` is why those after the results were not begun."""

    results: list[T] = field(default_factory=list)
    error: Exception | None = None

    @classmethod
    def of(cls, group: list[Item], work: Callable[[Item], T]) -> Ended[T]:
        """Work on one item after another, until one fails in a way that concerns all."""
        ended = cls()
        try:
            for item in group:
                ended.results.append(work(item))
        except Exception as error:  # noqa: BLE001 - raised once the results before it are counted
            ended.error = error
        return ended


class Batch(Generic[T]):
    """Futures of one purpose: the first failure is the failure of all.

    One that is dropped before it began, here or by the end of the threads, counts as a failure:
    `concurrent.futures.wait` would wait for it forever.
    """

    def __init__(self) -> None:
        self._futures: list[Future[T]] = []
        self._ended: SimpleQueue[Future[T]] = SimpleQueue()
        self._left = 0

    def add(self, future: Future[T]) -> None:
        """Take a future in."""
        self._left += 1
        self._futures.append(future)
        future.add_done_callback(self._ended.put)

    def check(self) -> None:
        """Raise the first failure, if there is one by now."""
        with contextlib.suppress(Empty):
            while True:
                self._settle(self._ended.get_nowait())

    def results(self) -> list[T]:
        """Wait and return the results in order. Raises the first failure as soon as it happens."""
        while self._left:
            self._settle(_take(self._ended))
        return [future.result() for future in self._futures]

    def drop(self) -> None:
        """Drop what has not begun."""
        for future in self._futures:
            future.cancel()

    def join(self) -> None:
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


@dataclass
class TransferEngine:
    """Threads and budget of one command. A context manager: leaving by an exception stops all.

    What it stops is its own work: the store can be used again at once.

    `concurrency` is the most requests in flight; how many there are depends on what that brings.
    `on_bytes` is called from several threads with the bytes just stored, found or read;
    `observe` from several threads to do the upload of one file.
    """

    store: ArtifactStore
    concurrency: int = MOST_THREADS
    on_bytes: Callable[[int], None] = lambda size_bytes: None
    budget: MemoryLimiter = field(default_factory=lambda: MemoryLimiter(IN_FLIGHT_BYTES))
    buffers: BufferPool = field(default_factory=lambda: BufferPool(BASE_PART_BYTES))
    observe: Observe = lambda work, timed: work()

    def __post_init__(self) -> None:
        # Made at once, so that two threads never make two; their threads start when needed.
        # Their stop is their own: after a failure the store serves the next transfers.
        self._stop = self.store.retry.stop.follower()
        initializer = partial(bind_token, self._stop)
        self._executor = GrowingExecutor(
            self.concurrency,
            "transfer",
            initializer,
            threads_to_begin_with(),
            self.store.answer_seconds,
        )
        self._large_lane = ThreadPoolExecutor(
            min(_LARGE_FILES, self.concurrency), "large-file", initializer
        )

    @cached_property
    def uploads(self) -> MultipartUploads:
        """The multipart calls; made when the first large file asks."""
        return MultipartUploads(self.store)

    def submit(self, size_bytes: int, work: Callable[[], T]) -> Future[T]:
        """Run work in a thread once its bytes fit into the budget; blocks until they do."""
        return self._submit(size_bytes, lambda _: work())

    def _submit(self, size_bytes: int, work: Callable[[MemoryReservation], T]) -> Future[T]:
        if self._stop.is_set():
            raise InterruptedByUser("interrupted")
        lease = MemoryReservation(self.budget, size_bytes)
        try:
            future = self._executor.submit_counted(partial(work, lease))
        except BaseException:
            lease.release()
            raise
        future.add_done_callback(lambda _: lease.release())
        return future

    def run_all(
        self, items: Iterable[Item], memory: Callable[[Item], int], work: Callable[[Item], T]
    ) -> list[T]:
        """Work on items in threads and return the answers in order; the first failure ends it.

        `memory` says how many bytes an item holds while it is worked on. Must not be called from
        one of these threads. After a failure, items that have begun may still be worked on.
        """
        return self.run_leased(items, memory, lambda item, _: work(item))

    def run_leased(
        self,
        items: Iterable[Item],
        memory: Callable[[Item], int],
        work: Callable[[Item, MemoryReservation], T],
    ) -> list[T]:
        """Do what `run_all` does with work that may give back its bytes before it ends."""
        batch: Batch[T] = Batch()
        try:
            for item in items:
                batch.add(self._submit(memory(item), partial(work, item)))
                batch.check()
            return batch.results()
        except BaseException:
            batch.drop()
            raise

    def completed(self, futures: Iterable[Future[T]]) -> Iterator[T]:
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

    def finished(self, futures: Iterable[Future[Ended[T]]]) -> Iterator[T]:
        """Yield the results of groups as they end; raises what ended one."""
        for ended in self.completed(futures):
            yield from ended.results
            if ended.error is not None:
                raise ended.error

    @property
    def group_size(self) -> int:
        """How many small files one thread should take at once.

        Where this process is what bounds, handing over each on its own costs as much as sending
        it; where answers are waited for, it would make them wait for each other.
        """
        return 1 if self._executor.waits else _GROUP_FILES

    def groups(self, items: Iterable[Item], small: Callable[[Item], bool]) -> Iterator[list[Item]]:
        """Yield what one thread takes at once: some small items, or another one alone."""
        group: list[Item] = []
        for item in items:
            if not small(item):
                yield [item]
                continue
            group.append(item)
            if len(group) >= self.group_size:
                yield group
                group = []
        if group:
            yield group

    def submit_large(self, work: Callable[[], T]) -> Future[T]:
        """Run work that itself uses `submit` or `run_all`; a few at a time.

        Their parts share the threads and the budget: one large file can fill both.
        """
        return self._large_lane.submit(work)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._stop.set()
        for executor in (self._large_lane, self._executor):
            executor.shutdown(wait=error is None, cancel_futures=error is not None)
