"""Logs that are still being written: what there is of them, and what comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from orchestrator_cli.cli.app import App
from orchestrator_cli.core.base.errors import AccessError, NotFoundError
from orchestrator_cli.core.base.retry import RetryPolicy
from orchestrator_cli.core.executions.keys import live_log_path
from orchestrator_cli.core.executions.placement import log_storage_path
from orchestrator_cli.core.executions.record.status_probe import may_be_running
from orchestrator_cli.core.executions.record.waiting import retry_if_new
from orchestrator_cli.core.live.reading.follower import LogFollower, poll_seconds
from orchestrator_cli.core.live.reading.heartbeat import Heartbeat, LivenessWatch, Notice, Patience
from orchestrator_cli.core.live.reading.listing import list_live_logs
from orchestrator_cli.core.live.reading.reader import LiveChunk, LiveReader
from orchestrator_cli.core.live.reading.tail import join_last_lines
from orchestrator_cli.core.live.state import Liveness, StoredState, liveness_after

if TYPE_CHECKING:
    from orchestrator_cli.core.s3.bucket.reader import ObjectReader

NOTICES = {
    Notice.SILENT: "no sign of life from the writer for {seconds:,.0f} s",
    Notice.LOST: "the writer is lost: no sign of life for {seconds:,.0f} s; "
    "`orchestrator salvage {id}` keeps what is there",
    Notice.ALIVE_AGAIN: "the writer is there again",
    Notice.UNREACHABLE: "{server} does not answer; trying again",
    Notice.REACHED_AGAIN: "{server} answers again",
}


def live_log_of(name: str) -> str | None:
    """Return the name of a log while it is live; None where there is no such live log."""
    path = log_storage_path(name)
    log = path.removeprefix("logs/") if path else name
    return log if live_log_path(log) is not None else None


class LiveLogs:
    """The live logs of one execution."""

    def __init__(
        self, app: App, store: ObjectReader, execution_id: str, patience: Patience
    ) -> None:
        self._app = app
        self._store = store
        self._execution_id = execution_id
        self._heartbeat = Heartbeat(store, execution_id)
        self._watch = LivenessWatch(self._heartbeat, patience, self._on_notice)
        self._has_noted = False

    def names(self) -> dict[str, int]:
        """Return how long each is, about, by its name; {} where there is none to be read."""
        stored = self._state()
        if stored is None:
            return {}
        return {
            log.removesuffix(".log") if live_log_path(log) != log else log: position.offset
            for log, position in stored.state.logs.items()
        }

    def wait_for_names(self) -> dict[str, int]:
        """Return the names once there are any; {} where there are none for too long."""
        return wait_for_names(self.names, self._store.retry, self._watch.patience)

    def may_come(self, name: str) -> bool:
        """Return True if a log that is not stored is being written, or may be yet."""
        if live_log_of(name) is None:
            return False
        if self._state() is not None:
            return True
        read = partial(may_be_running, self._store, self._execution_id)
        try:
            return retry_if_new(read, self._execution_id, self._app.now(), self._store.retry.wait)
        except NotFoundError:
            return False

    def note_running(self) -> None:
        """Say, once, whether the execution is running, its writer lost, or the log not stored."""
        if self._has_noted:
            return
        self._has_noted = True
        stored = self._state()
        what = "is still running"
        if stored is not None and liveness_after(stored.age_seconds) is not Liveness.ALIVE:
            what = f"has shown no sign of life for {stored.age_seconds:,.0f} s"
            if liveness_after(stored.age_seconds) is Liveness.LOST:
                what = f"is lost: it {what}"
        if not may_be_running(self._store, self._execution_id):
            what = "has ended without storing this log"
        self._app.messages.note(f"{self._execution_id} {what}; this is what is stored of it so far")

    def snapshot(self, name: str, lines: int | None) -> tuple[int, Iterator[LiveChunk]] | None:
        """Return the log as it is now, or its last lines; None where there is no such log."""
        log = live_log_of(name)
        if log is None or not self._is_live(log):
            return None
        self.note_running()
        chunks = self._join(log, lines).read_new()
        return with_line_number(note_expired(self._app, name, lines, chunks))

    def follow(self, name: str, lines: int | None) -> tuple[int, Iterator[LiveChunk]]:
        """Return a log from its beginning or its last lines on, to its end once that has come."""
        log = live_log_of(name) or name
        reader = self._join(log, lines)
        follower = LogFollower(self._store, self._execution_id, log, reader, self._watch)
        return with_line_number(note_expired(self._app, name, lines, follower.chunks()))

    def _join(self, log: str, lines: int | None) -> LiveReader:
        if lines is None:
            reader = LiveReader(self._store, self._execution_id, log)
            reader.join()
            return reader
        stored = self._state()
        position = stored.state.logs.get(log) if stored else None
        return join_last_lines(self._store, self._execution_id, log, lines, position)

    def _state(self) -> StoredState | None:
        try:
            return self._heartbeat.read()
        except AccessError:
            # Who may not read what is live may read what is stored.
            return None

    def _is_live(self, log: str) -> bool:
        stored = self._state()
        if stored is not None:
            return log in stored.state.logs
        try:
            return log in list_live_logs(self._store, self._execution_id)
        except (AccessError, NotFoundError):
            return False

    def _on_notice(self, notice: Notice, seconds: float) -> None:
        self._app.messages.note(
            NOTICES[notice].format(seconds=seconds, id=self._execution_id, server="S3")
        )


def wait_for_names(
    names: Callable[[], dict[str, int]],
    retry: RetryPolicy,
    patience: Patience,
    may_come: Callable[[], bool] = lambda: True,
) -> dict[str, int]:
    """Return the names once there are any; {} where none may come, or none for too long."""
    began_at = retry.clock()
    while not (found := names()) and may_come():
        waited_seconds = retry.clock() - began_at
        if waited_seconds > patience.lost_after_seconds and not patience.has_no_end:
            break
        retry.wait(poll_seconds(waited_seconds))
    return found


def note_expired(
    app: App, name: str, lines: int | None, chunks: Iterator[LiveChunk]
) -> Iterator[LiveChunk]:
    """Yield the chunks; where all lines were wanted, note how much of the log has expired."""
    first = next(chunks, None)
    if first is None:
        return
    if first.offset and lines is None:
        app.messages.note(f"{name}: the first {first.offset:,} bytes have expired")
    yield first
    yield from chunks


def with_line_number(chunks: Iterator[LiveChunk]) -> tuple[int, Iterator[LiveChunk]]:
    """Return the number of the first line that comes, once it is there, and the chunks."""
    first = next(chunks, None)
    if first is None:
        return 1, iter(())
    return first.line + 1, chain([first], chunks)
