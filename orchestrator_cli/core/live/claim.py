"""Claim the live logs of an execution for one writer at a time; stored bytes never change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from orchestrator_cli.core.base.errors import ConflictError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.live.segment import Segment
from orchestrator_cli.core.live.segmented_log import SegmentedLog
from orchestrator_cli.core.live.state import SILENT_AFTER_SECONDS, LiveState, StoredState
from orchestrator_cli.core.live.store import LiveStore

_WRITE_ATTEMPTS = 5


class LiveConflictError(ConflictError):
    """Another writer is at work, or what is stored of a log is not ours."""


class LiveClaim:
    """The right of one writer to the live logs of an execution, and its heartbeat.

    Whoever takes over from another one, or begins again, compares what is stored with its own bytes
    before it stores more: see `settle`.
    """

    def __init__(self, store: LiveStore, state: LiveState) -> None:
        self._store = store
        self._state = state
        self._etag: str | None = None
        self._took_over = False
        self._unsettled: set[str] = set()
        self._found: dict[str, Segment] = {}

    @property
    def held(self) -> bool:
        """Whether the heartbeat is ours."""
        return self._etag is not None

    @property
    def writer(self) -> str:
        """Our name in segments: the writer and its epoch."""
        return self._state.writer

    # --- the heartbeat -----------------------------------------------------------------------

    def take(self, logs: Sequence[SegmentedLog], interval_seconds: float) -> None:
        """Write the first heartbeat. Raises LiveConflictError where another one is fresh."""
        found = self._store.read_state()
        if found is None:
            self._state = self._current(logs, interval_seconds)
            self._write(self._state, None)
            return
        own = found.state.writer == self.writer
        is_free = found.state.ended or found.age_seconds > SILENT_AFTER_SECONDS
        if not own and not is_free:
            raise LiveConflictError(
                f"process {found.state.pid} on {printable(found.state.host)} writes them; its last "
                f"sign of life is {found.age_seconds:.0f} s old"
            )
        for log in logs:
            if own and log.name in found.state.logs:
                log.position = found.state.logs[log.name]
        kept = {name: one for name, one in found.state.logs.items() if own or one.ended}
        self._state = replace(
            self._state, epoch=found.state.epoch + 1, logs=kept, unknown=found.state.unknown
        )
        self._unsettled = {log.name for log in logs}
        self._took_over = True
        self._write(self._current(logs, interval_seconds), found.etag)

    def renew(self, logs: Sequence[SegmentedLog], interval_seconds: float) -> None:
        """Write a heartbeat. Raises LiveConflictError where another writer has taken over."""
        self._write(self._current(logs, interval_seconds), self._etag)

    def _current(self, logs: Sequence[SegmentedLog], interval_seconds: float) -> LiveState:
        positions = {**self._state.logs, **{log.name: log.position for log in logs}}
        return replace(self._state, interval_seconds=interval_seconds, logs=positions)

    def _write(self, state: LiveState, etag: str | None) -> None:
        for _ in range(_WRITE_ATTEMPTS):
            try:
                self._etag = self._store.write_state(state, etag)
            except ConflictError as error:
                if error.retryable:
                    raise
                found = self._find_own(state)
                etag = found.etag if found is not None else None
                if found is not None and found.state == state:
                    self._etag = etag
                    return
            else:
                return
        raise LiveConflictError("the heartbeat changes all the time", retryable=True)

    def _find_own(self, state: LiveState) -> StoredState | None:
        """Return our own heartbeat, whose response was lost.

        Raises LiveConflictError for another.
        """
        found = self._store.read_state()
        if found is not None and (found.state.writer, found.state.epoch) != (
            state.writer,
            state.epoch,
        ):
            raise LiveConflictError("another writer has taken over")
        return found

    # --- what others have stored -------------------------------------------------------------

    def is_settled(self, log: SegmentedLog) -> bool:
        """Return whether all that is stored of a log was compared with ours."""
        return log.name not in self._unsettled

    def settle(self, log: SegmentedLog) -> None:
        """Compare the stored part of a log with ours, as far as we have it.

        Raises LiveConflictError where it is not the same.
        """
        while not self.is_settled(log):
            found = self._found.pop(log.name, None)
            if found is None and not log.position.ended:
                found = self._store.find_segment(log.name, log.position.offset)
            if found is None:
                self._unsettled.discard(log.name)
                return
            self.accept(log, found)
            if log.name in self._found:
                return

    def accept(self, log: SegmentedLog, stored: Segment) -> None:
        """Go on after a segment that was stored before. Raises LiveConflictError."""
        if stored.writer != self.writer and not self._took_over:
            raise LiveConflictError(f"another writer has stored a segment of {log.name}")
        same = log.holds(stored)
        if same is None:
            self._unsettled.add(log.name)
            self._found[log.name] = stored
        elif same:
            log.advance(stored)
        else:
            raise LiveConflictError(
                f"other bytes are stored of {log.name}, from byte {stored.offset:,} on"
            )
