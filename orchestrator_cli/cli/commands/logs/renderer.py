"""The logs that are shown, as blocks of what is shown of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from orchestrator_cli.core.base.errors import NotFoundError
from orchestrator_cli.core.executions.logs.finding import find_log, open_log_with_prefix
from orchestrator_cli.core.transfer.download.log_tail import read_last_lines
from orchestrator_cli.core.transfer.download.range_reader import iter_object_verified

if TYPE_CHECKING:
    from orchestrator_cli.cli.commands.logs.execution_logs import ExecutionLogs
    from orchestrator_cli.cli.commands.logs.live import NumberedChunks
    from orchestrator_cli.cli.commands.logs.log_filter import LogFilter
    from orchestrator_cli.core.s3.types import ObjectMetadata

Blocks = Iterator[bytes | memoryview]


class LogRenderer:
    """One log after the other or, where they are followed, all of them as they are written."""

    def __init__(self, logs: ExecutionLogs, names: tuple[str, ...], *, with_prefix: bool) -> None:
        self._logs = logs
        self._names = names
        self._with_prefix = with_prefix

    def size_bytes(self) -> int:
        """Return how long they are together."""
        return sum(map(self._logs.size_of, self._names))

    def render(self, log_filter: LogFilter) -> Blocks:
        """Yield the output for all logs."""
        if not self._logs.is_following or len(self._names) == 1:
            for name in self._names:
                yield from self._render_one(name, log_filter)
            return
        yield from self._render_together(log_filter)

    def _render_together(self, log_filter: LogFilter) -> Iterator[bytes]:
        """Yield the output of all logs as it comes; an error of one does not end the others."""
        from orchestrator_cli.core.base.merging import merge

        failure: Exception | None = None
        # Made before there are threads that would each make one.
        _ = self._logs.live
        # Blocks are good until the next one only.
        sources = [partial(map, bytes, self._render_one(name, log_filter)) for name in self._names]
        for item in merge(sources, self._logs.store.retry.stop.child()):
            if isinstance(item, Exception):
                failure = failure or item
            else:
                yield item
        if failure is not None:
            raise failure

    def _render_one(self, name: str, log_filter: LogFilter) -> Blocks:
        width = max(map(len, self._names))
        prefix = f"{name:<{width}} | " if self._with_prefix else ""
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
            is_cut_here = not self._logs.is_following and log_filter.needs_all_lines
            last = log_filter.last if is_cut_here else None
            shown = replace(log_filter, last=last, first_number=number)
            return shown, (chunk.data for chunk in chunks)

    def _open_live(self, name: str, log_filter: LogFilter) -> NumberedChunks | None:
        """Return the number of the first line of a live log, and its bytes; None without one."""
        live, last = self._logs.live, log_filter.last
        if self._logs.is_following:
            return live.follow(name, last)
        return live.snapshot(name, None if log_filter.needs_all_lines else last)

    def _open_stored(self, name: str, log_filter: LogFilter) -> Blocks:
        """Return the bytes of a log that is stored. Raises NotFoundError."""
        store, execution_id = self._logs.store, self._logs.execution_id
        if log_filter.last is not None and not log_filter.needs_all_lines:
            log = find_log(store, execution_id, name)
            return self._explained(log, read_last_lines(store, log, log_filter.last))
        log, first = open_log_with_prefix(store, execution_id, name)
        return self._explained(log, iter_object_verified(store, log, first))

    def _explained(self, log: ObjectMetadata, blocks: Iterator[memoryview]) -> Blocks:
        with self._logs.source.explain_archived(log.key):
            yield from blocks
