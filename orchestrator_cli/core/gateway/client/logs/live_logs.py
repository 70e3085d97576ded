"""Logs that are still being written, through a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from orchestrator_cli.core.executions.logs.finding import log_name
from orchestrator_cli.core.executions.logs.names import DEFAULT_ORDER
from orchestrator_cli.core.executions.placement import log_storage_path
from orchestrator_cli.core.executions.record.status_probe import is_running
from orchestrator_cli.core.gateway.client.logs.log_follower import ServedLogFollower
from orchestrator_cli.core.gateway.client.logs.served_log import ServedLog
from orchestrator_cli.core.live.reading.heartbeat import GiveUpPolicy, OnNotice
from orchestrator_cli.core.live.reading.live_logs import WriterState, wait_for_names
from orchestrator_cli.core.live.reading.reader import LiveChunk
from orchestrator_cli.core.s3.bucket.reader import ObjectReader


class ServedLiveLogs:
    """The logs of one execution, of which a server reads those that have a name.

    It stands in for `BucketLiveLogs`. `read_record` reads the execution's record, in which a server
    says whether the writer is there.
    """

    server = "the server"

    def __init__(
        self,
        objects: ObjectReader,
        execution_id: str,
        read_record: Callable[[], dict[str, Any]],
        give_up: GiveUpPolicy,
        on_notice: OnNotice,
    ) -> None:
        self._objects = objects
        self._log = partial(ServedLog, objects, execution_id)
        self._read_record = read_record
        self._give_up = give_up
        self._on_notice = on_notice

    def names(self) -> dict[str, int]:
        """Return how long each is by its name; {} where there is none to be read."""
        sizes = {name: self._log(name).size_bytes() for name in DEFAULT_ORDER}
        return {name: size for name, size in sizes.items() if size is not None}

    def wait_for_names(self) -> dict[str, int]:
        """Return the names once there are any; {} where there are none for too long."""
        return wait_for_names(self.names, self._objects.retry, self._give_up, self._is_running)

    def may_come(self, name: str) -> bool:
        """Return True if a log that is not stored is being written, or may be yet."""
        log = _log_of(name)
        return log is not None and (self._log(log).size_bytes() is not None or self._is_running())

    def writer_state(self) -> WriterState:
        """Return how the execution and its writer stand."""
        record = self._read_record()
        return WriterState(is_running(record), record.get("liveness"), None)

    def snapshot(self, name: str, lines: int | None) -> Iterator[LiveChunk] | None:
        """Return the log as it is now, or its last lines; None where there is no such log."""
        known = _log_of(name)
        log = self._log(known) if known else None
        size_bytes = log.size_bytes() if log else None
        if log is None or size_bytes is None:
            return None
        start = 0 if lines is None else log.tail_offset(size_bytes, lines)
        return log.read_between(start, size_bytes)

    def follow(self, name: str, lines: int | None) -> Iterator[LiveChunk]:
        """Return a log from its beginning or its last lines on, to its end once that has come."""
        log = self._log(_log_of(name) or name)
        start = 0 if lines is None else log.tail_offset(log.size_bytes() or 0, lines)
        return ServedLogFollower(
            log, start, self._give_up, self._on_notice, self._is_running
        ).chunks()

    def _is_running(self) -> bool:
        return is_running(self._read_record())


def _log_of(name: str) -> str | None:
    return log_name(log_storage_path(name) or "") or None
