"""The engine that all transfers of one command share: connection, loop, threads, memory limit."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cached_property, partial
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from orchestrator_cli.core.base.cancellation import SIGNAL_POLL_SECONDS, bind_token
from orchestrator_cli.core.base.errors import InterruptedByUser, OrchestratorError
from orchestrator_cli.core.base.memory_limiter import BufferPool, MemoryLimiter
from orchestrator_cli.core.http.curl.loop import CurlLoop
from orchestrator_cli.core.http.transport import Cancelled, Task
from orchestrator_cli.core.s3.checksum import READ_SIZE
from orchestrator_cli.core.s3.connection.connection import Connection
from orchestrator_cli.core.s3.operations.request import Operation
from orchestrator_cli.core.s3.part_plan import BASE_PART_BYTES
from orchestrator_cli.core.s3.types import UploadResult
from orchestrator_cli.core.transfer.part_threads import PartThreads

T = TypeVar("T")

# A connection with TLS holds 100 KiB: so many leave a command under 100 MiB.
MAX_IN_FLIGHT = 512
# Six base parts. With the clients and the interpreter a command then stays under 100 MiB.
IN_FLIGHT_BYTES = 6 * BASE_PART_BYTES
# A part gives back its memory once it is sent; so many parts may be sent or wait for a response.
_PART_WORKERS = 16
# A large file takes several round trips before its first part and after its last.
_LARGE_FILES = 8
_READERS = 2
# Small requests beside the transfer of large files: two for each file at once. Two more read the
# record of the execution and write the mark.
_REQUESTS = 2 * _LARGE_FILES + 2


class UploadObserver(Protocol):
    """Observes the outcome of each file, as for metrics."""

    def uploaded(self, result: UploadResult, seconds: float | None) -> None:
        """Note a result; `seconds` is None for a pipe, whose writer sets the pace."""
        ...

    def failed(self, error: OrchestratorError) -> None:
        """Note an error that ended the whole run."""
        ...


class IgnoringObserver:
    """Observes nothing."""

    def uploaded(self, result: UploadResult, seconds: float | None) -> None:
        """Ignore it."""

    def failed(self, error: OrchestratorError) -> None:
        """Ignore it."""


class TransferEngine:
    """Moves the files of one command. A context manager: leaving it by an exception stops all.

    Operations of one or a few small requests run on one loop in the calling thread, many at a
    time; the parts of large files in a few threads. What it stops is its own work: the connection
    can be used again at once.

    Operations add to `held_bytes` what they hold in memory: above the limit no other one begins.
    `concurrency` is the most requests in flight; how many there are depends on what that brings.
    `on_bytes` is called, from several threads, with the bytes just sent or received, `on_spared`
    with those that an earlier run has moved. Bytes that are sent need not arrive: `on_stored` is
    called where S3 has just said that it has some.
    """

    def __init__(
        self,
        connection: Connection,
        concurrency: int = MAX_IN_FLIGHT,
        on_bytes: Callable[[int], None] = lambda size_bytes: None,
        memory: MemoryLimiter | None = None,
        observer: UploadObserver | None = None,
        on_spared: Callable[[int], None] = lambda size_bytes: None,
        on_stored: Callable[[], None] = lambda: None,
    ) -> None:
        self.connection = connection
        self.on_bytes = on_bytes
        self.on_spared = on_spared
        self.on_stored = on_stored
        self.observer = observer or IgnoringObserver()
        self.buffers = BufferPool(BASE_PART_BYTES)
        # For parts that are only hashed: the first of each file is, beside all that `parts` limits.
        self.read_buffers = BufferPool(READ_SIZE)
        self._concurrency = concurrency
        self.held_bytes = 0
        self._unfinished_runs: list[Generator[object]] = []
        # A token of its own: after a failure the connection serves the next transfers.
        self._stop = connection.retry.stop.child()
        workers = min(_PART_WORKERS, concurrency)
        self.parts = PartThreads(workers, memory or MemoryLimiter(IN_FLIGHT_BYTES), self._stop)
        bind = partial(bind_token, self._stop)
        self._files = ThreadPoolExecutor(min(_LARGE_FILES, concurrency), "file", bind)
        self._readers = ThreadPoolExecutor(_READERS, "read", bind)
        self._requests = ThreadPoolExecutor(min(_REQUESTS, concurrency), "request", bind)

    @cached_property
    def _loop(self) -> CurlLoop:
        return self.connection.loop(self._concurrency, self._stop)

    def run(self, operations: Iterable[Operation[T]]) -> Iterator[T]:
        """Yield what each operation returns, as it ends; they are taken as they can begin.

        What one raises ends all. Raises InterruptedByUser when the work should stop.
        """
        results = self._loop.run(self._tasks(operations), self._may_begin)
        try:
            yield from results
        except Cancelled as error:
            raise InterruptedByUser("interrupted") from error

    def run_until(self, work: Future[Any], operations: Iterable[Operation[object]]) -> None:
        """Begin operations until work of another thread has ended; then they go on in `run`.

        Only the first one begins unless the server is far away: each opens one of the connections
        that `run` will need, and that takes several round trips then.
        """
        loop = self._loop
        begun = itertools.count()
        tasks = itertools.chain([_wait_for(work)], self._tasks(operations))
        results = loop.run(tasks, lambda: not next(begun) or loop.is_far)
        self._unfinished_runs.append(results)
        try:
            while not work.done():
                next(results)
        except Cancelled as error:
            raise InterruptedByUser("interrupted") from error

    def _tasks(self, operations: Iterable[Operation[T]]) -> Iterator[Task[T]]:
        return (self.connection.task(one, self._loop.throttled) for one in operations)

    def _may_begin(self) -> bool:
        return self.held_bytes < IN_FLIGHT_BYTES

    def run_file(self, work: Callable[[], T]) -> Future[T]:
        """Do the whole transfer of a large file in a thread, a few at a time; it uses `parts`.

        An operation yields the future to wait for it while others go on.
        """
        return self._submit(self._files, work)

    def run_read(self, work: Callable[[], T]) -> Future[T]:
        """Read or hash more than a little in a thread, for an operation that yields the future."""
        return self._submit(self._readers, work)

    def run_request(self, work: Callable[[], T]) -> Future[T]:
        """Send a small request or two in a thread, while the transfer of a large file goes on."""
        future = self._submit(self._requests, work)
        if self._concurrency == 1:
            self.has_ended(future)
        return future

    def has_ended(self, work: Future[Any], seconds: float | None = None) -> bool:
        """Wait for work of another thread, for so long at most; return True once it has ended."""
        if seconds is not None:
            return not wait([work], seconds).not_done
        while wait([work], SIGNAL_POLL_SECONDS).not_done:
            pass
        return True

    def wait(self, work: Future[T]) -> T:
        """Wait for work of another thread, and return or raise what it does."""
        self.has_ended(work)
        return work.result()

    def _submit(self, executor: ThreadPoolExecutor, work: Callable[[], T]) -> Future[T]:
        if self._stop.is_set():
            raise InterruptedByUser("interrupted")
        return executor.submit(work)

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
        for executor in (self._files, self._readers):
            executor.shutdown(wait=error is None, cancel_futures=error is not None)
        self.parts.shutdown(cancel=error is not None)
        # Nobody waits for these small requests any more. After a failure, not even for a look-up
        # of credentials, which cannot be stopped.
        self._stop.set()
        self._requests.shutdown(wait=error is None, cancel_futures=True)
        for results in self._unfinished_runs:
            results.close()
        if "_loop" in self.__dict__:
            self._loop.close()


def _wait_for(work: Future[T]) -> Task[T]:
    result: T = yield work
    return result
