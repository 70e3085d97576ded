"""The logs that are shown, as blocks of what is shown of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

from orchestrator_cli.cli.app import App
from orchestrator_cli.core.base.errors import NotFoundError
from orchestrator_cli.core.executions.logs.finding import (
    StoredLogs,
    find_log,
    list_logs,
    open_log_with_prefix,
    tail_offset,
)
from orchestrator_cli.core.executions.record.waiting import retry_if_new
from orchestrator_cli.core.transfer.download.range_reader import iter_object_verified, iter_range

if TYPE_CHECKING:
    from orchestrator_cli.cli.commands.logs.live import LiveLogs
    from orchestrator_cli.cli.commands.logs.log_filter import LogFilter
    from orchestrator_cli.cli.commands.logs.served import ServedLogs
    from orchestrator_cli.core.gateway.client.logs.log_server import LogServer
    from orchestrator_cli.core.live.reading.heartbeat import Patience
    from orchestrator_cli.core.live.reading.reader import LiveChunk
    from orchestrator_cli.core.s3.bucket.reader import ObjectReader
    from orchestrator_cli.core.s3.types import ObjectMetadata
    from orchestrator_cli.library.source import ExecutionSource

Blocks = Iterator[bytes | memoryview]


class LogRenderer:
    """One log after the other or, with `patience`, all of them as they are written.

    `server` reads those that are still being written; None where their objects can be read.
    """

    def __init__(
        self,
        app: App,
        source: ExecutionSource,
        execution_id: str,
        patience: Patience | None,
        with_prefix: bool,
    ) -> None:
        """Take an execution; `names` says later which of its logs to show."""
        self.app = app
        self.source = source
        self.execution_id = execution_id
        self.patience = patience
        self.with_prefix = with_prefix
        self.names: tuple[str, ...] = ()
        self.server: LogServer | None = None

    @property
    def store(self) -> ObjectReader:
        """The objects that the logs are read from."""
        return self.source.objects

    @cached_property
    def live(self) -> LiveLogs | ServedLogs:
        """The logs that are still being written."""
        from orchestrator_cli.cli.commands.logs.live import LiveLogs
        from orchestrator_cli.core.live.reading.heartbeat import Patience

        patience = self.patience or Patience()
        if self.server is not None:
            from orchestrator_cli.cli.commands.logs.served import ServedLogs

            return ServedLogs(self.app, self.source, self.server, self.execution_id, patience)
        return LiveLogs(self.app, self.store, self.execution_id, patience)

    def list_stored(self) -> StoredLogs:
        """Return the logs that are stored. Raises NotFoundError."""
        read = partial(list_logs, self.store, self.execution_id, self.source.read_record)
        if self.patience is None:
            return read()
        # One that is followed may be in the making.
        return retry_if_new(read, self.execution_id, self.app.now(), self.store.retry.wait)

    def size_bytes(self) -> int:
        """Return how long they are together."""
        return sum(map(self._size_of, self.names))

    def _size_of(self, name: str) -> int:
        try:
            return find_log(self.store, self.execution_id, name).size_bytes
        except NotFoundError:
            return self.live.names().get(name.removesuffix(".log"), 0)

    def render(self, log_filter: LogFilter) -> Blocks:
        """Yield the output for all logs."""
        if self.patience is None or len(self.names) == 1:
            for name in self.names:
                yield from self._render_one(name, log_filter)
            return
        yield from self._render_together(log_filter)

    def _render_together(self, log_filter: LogFilter) -> Iterator[bytes]:
        """Yield the output of all logs as it comes; an error of one does not end the others."""
        from orchestrator_cli.core.base.merging import merge

        failure: Exception | None = None
        # Made before there are threads that would each make one.
        _ = self.live
        # Blocks are good until the next one only.
        sources = [partial(map, bytes, self._render_one(name, log_filter)) for name in self.names]
        for item in merge(sources, self.store.retry.stop.child()):
            if isinstance(item, Exception):
                failure = failure or item
            else:
                yield item
        if failure is not None:
            raise failure

    def _render_one(self, name: str, log_filter: LogFilter) -> Blocks:
        width = max(map(len, self.names))
        prefix = f"{name:<{width}} | " if self.with_prefix else ""
        shown, blocks = self._open(name, log_filter)
        yield from shown.render(blocks, prefix)
        log_filter.has_match = log_filter.has_match or shown.has_match

    def _open(self, name: str, log_filter: LogFilter) -> tuple[LogFilter, Blocks]:
        """Return the bytes to show of a log, and the filter that shows them."""
        try:
            return replace(log_filter), self._open_stored(name, log_filter)
        except NotFoundError as error:
            if error.is_fatal:
                raise
            found = self._open_live(name, log_filter)
            if found is None:
                raise
            number, chunks = found
            last = log_filter.last if self.patience is None and log_filter.needs_all_lines else None
            shown = replace(log_filter, last=last, first_number=number)
            return shown, (chunk.data for chunk in chunks)

    def _open_live(
        self, name: str, log_filter: LogFilter
    ) -> tuple[int, Iterator[LiveChunk]] | None:
        """Return the number of the first line of a live log, and its bytes; None without one."""
        if self.patience is not None:
            if not self.live.may_come(name):
                return None
            return self.live.follow(name, log_filter.last)
        return self.live.snapshot(name, None if log_filter.needs_all_lines else log_filter.last)

    def _open_stored(self, name: str, log_filter: LogFilter) -> Blocks:
        """Return the bytes of a log that is stored. Raises NotFoundError."""
        if log_filter.last is not None and not log_filter.needs_all_lines:
            log = find_log(self.store, self.execution_id, name)
            return self._explained(log, self._read_end(log, log_filter.last))
        log, first = open_log_with_prefix(self.store, self.execution_id, name)
        return self._explained(log, iter_object_verified(self.store, log, first))

    def _read_end(self, log: ObjectMetadata, lines: int) -> Iterator[memoryview]:
        start = tail_offset(self.store, log.key, log.size_bytes, lines)
        yield from iter_range(self.store, log.key, start, log.size_bytes)

    def _explained(self, log: ObjectMetadata, blocks: Iterator[memoryview]) -> Blocks:
        with self.source.explain_archived(log.key):
            yield from blocks
