"""Logs that are still being written, through a server; see `LiveLogs`."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator_cli.cli.app import App
from orchestrator_cli.cli.commands.logs.live import (
    NOTICES,
    note_expired,
    wait_for_names,
    with_line_number,
)
from orchestrator_cli.core.executions.logs.finding import DEFAULT_ORDER, log_name
from orchestrator_cli.core.executions.placement import log_storage_path
from orchestrator_cli.core.gateway.client.logs.log_follower import ServedLogFollower
from orchestrator_cli.core.gateway.client.logs.log_server import LogServer
from orchestrator_cli.core.gateway.client.logs.served_log import ServedLog
from orchestrator_cli.core.live.reading.heartbeat import Notice, Patience
from orchestrator_cli.core.live.reading.reader import LiveChunk
from orchestrator_cli.core.live.state import Liveness
from orchestrator_cli.library.source import ExecutionSource


class ServedLogs:
    """The logs of one execution, of which a server reads the four that have a name."""

    def __init__(
        self,
        app: App,
        source: ExecutionSource,
        server: LogServer,
        execution_id: str,
        patience: Patience,
    ) -> None:
        self._app = app
        self._source = source
        self._server = server
        self._execution_id = execution_id
        self._patience = patience
        self._has_noted = False

    def names(self) -> dict[str, int]:
        """Return how long each is by its name; {} where there is none to be read."""
        sizes = {name: self._log(name).size_bytes() for name in DEFAULT_ORDER}
        return {name: size for name, size in sizes.items() if size is not None}

    def wait_for_names(self) -> dict[str, int]:
        """Return the names once there are any; {} where there are none for too long."""
        retry = self._source.objects.retry
        return wait_for_names(self.names, retry, self._patience, self._is_running)

    def may_come(self, name: str) -> bool:
        """Return True if a log that is not stored is being written, or may be yet."""
        log = _log_of(name)
        return log is not None and (self._log(log).size_bytes() is not None or self._is_running())

    def note_running(self) -> None:
        """Say, once, whether the execution is running, its writer lost, or the log not stored."""
        if self._has_noted:
            return
        self._has_noted = True
        metadata, liveness = self._source.read(self._execution_id)
        what = "is still running" if metadata.status == "running" else "has ended without this log"
        if liveness in (Liveness.SILENT, Liveness.LOST):
            what = (
                "has shown no sign of life for a while"
                if liveness == Liveness.SILENT
                else "is lost"
            )
        self._app.messages.note(f"{self._execution_id} {what}; this is what is stored of it so far")

    def snapshot(self, name: str, lines: int | None) -> tuple[int, Iterator[LiveChunk]] | None:
        """Return the log as it is now, or its last lines; None where there is no such log."""
        known = _log_of(name)
        log = self._log(known) if known else None
        size_bytes = log.size_bytes() if log else None
        if log is None or size_bytes is None:
            return None
        self.note_running()
        start = 0 if lines is None else log.tail_offset(size_bytes, lines)
        chunks = log.read_between(start, size_bytes)
        return with_line_number(note_expired(self._app, name, lines, chunks))

    def follow(self, name: str, lines: int | None) -> tuple[int, Iterator[LiveChunk]]:
        """Return a log from its beginning or its last lines on, to its end once that has come."""
        log = self._log(_log_of(name) or name)
        start = 0 if lines is None else log.tail_offset(log.size_bytes() or 0, lines)
        follower = ServedLogFollower(log, start, self._patience, self._on_notice, self._is_running)
        return with_line_number(note_expired(self._app, name, lines, follower.chunks()))

    def _log(self, name: str) -> ServedLog:
        return ServedLog(self._server, self._source.objects, self._execution_id, name)

    def _is_running(self) -> bool:
        return self._source.read_record(self._execution_id).get("status") == "running"

    def _on_notice(self, notice: Notice, seconds: float) -> None:
        text = NOTICES[notice]
        self._app.messages.note(
            text.format(seconds=seconds, id=self._execution_id, server="the server")
        )


def _log_of(name: str) -> str | None:
    return log_name(log_storage_path(name) or "") or None
