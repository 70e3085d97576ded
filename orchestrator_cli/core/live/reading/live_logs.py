"""The logs of one execution that are still being written: what there is of them, and what comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import NamedTuple

from orchestrator_cli.core.base.errors import AccessError, NotFoundError
from orchestrator_cli.core.base.retry import RetryPolicy
from orchestrator_cli.core.executions.keys import live_log_path
from orchestrator_cli.core.executions.placement import log_storage_path
from orchestrator_cli.core.executions.record.status_probe import may_be_running
from orchestrator_cli.core.executions.record.waiting import retry_if_new
from orchestrator_cli.core.live.reading.follower import LogFollower, poll_seconds
from orchestrator_cli.core.live.reading.heartbeat import (
    GiveUpPolicy,
    Heartbeat,
    LivenessWatch,
    OnNotice,
)
from orchestrator_cli.core.live.reading.listing import list_live_logs
from orchestrator_cli.core.live.reading.reader import LiveChunk, LiveReader
from orchestrator_cli.core.live.reading.tail import join_last_lines
from orchestrator_cli.core.live.state import StoredState
from orchestrator_cli.core.s3.bucket.reader import ObjectReader


class WriterState(NamedTuple):
    """Whether an execution is running, and its writer `alive`, `silent` or `lost`.

    `silent_seconds` is how long ago the writer gave the last sign of life. What nothing tells is
    None.
    """

    is_running: bool
    liveness: str | None
    silent_seconds: float | None


class BucketLiveLogs:
    """The logs of one execution that are still being written, in a bucket.

    `server` is who is asked, as a user is told.
    """

    server = "S3"

    def __init__(
        self,
        store: ObjectReader,
        execution_id: str,
        now: datetime,
        give_up: GiveUpPolicy,
        on_notice: OnNotice,
    ) -> None:
        self._store = store
        self._execution_id = execution_id
        self._now = now
        self._heartbeat = Heartbeat(store, execution_id)
        self._watch = LivenessWatch(self._heartbeat, give_up, on_notice)

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
        return wait_for_names(self.names, self._store.retry, self._watch.give_up)

    def may_come(self, name: str) -> bool:
        """Return True if a log that is not stored is being written, or may be yet."""
        if _live_log_of(name) is None:
            return False
        if self._state() is not None:
            return True
        read = partial(may_be_running, self._store, self._execution_id)
        try:
            return retry_if_new(read, self._execution_id, self._now, self._store.retry.wait)
        except NotFoundError:
            return False

    def writer_state(self) -> WriterState:
        """Return how the execution and its writer stand."""
        seen = self._heartbeat.sign_of_life() if self._state() is not None else None
        is_running = may_be_running(self._store, self._execution_id)
        if seen is None:
            return WriterState(is_running, None, None)
        return WriterState(is_running, seen.liveness, seen.silent_seconds)

    def snapshot(self, name: str, lines: int | None) -> Iterator[LiveChunk] | None:
        """Return the log as it is now, or its last lines; None where there is no such log."""
        log = _live_log_of(name)
        if log is None or not self._is_live(log):
            return None
        return self._join(log, lines).read_new()

    def follow(self, name: str, lines: int | None) -> Iterator[LiveChunk]:
        """Return a log from its beginning or its last lines on, to its end once that has come."""
        log = _live_log_of(name) or name
        reader = self._join(log, lines)
        return LogFollower(self._store, self._execution_id, log, reader, self._watch).chunks()

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


def _live_log_of(name: str) -> str | None:
    """Return the name of a log while it is live; None where there is no such live log."""
    path = log_storage_path(name)
    log = path.removeprefix("logs/") if path else name
    return log if live_log_path(log) is not None else None


def wait_for_names(
    names: Callable[[], dict[str, int]],
    retry: RetryPolicy,
    give_up: GiveUpPolicy,
    may_come: Callable[[], bool] = lambda: True,
) -> dict[str, int]:
    """Return the names once there are any; {} where none may come, or none for too long."""
    began_at = retry.clock()
    while not (found := names()) and may_come():
        waited_seconds = retry.clock() - began_at
        if waited_seconds > give_up.lost_after_seconds and not give_up.waits_forever:
            break
        retry.wait(poll_seconds(waited_seconds))
    return found
