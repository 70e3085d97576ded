"""Watch the heartbeat of an execution's writer, and whether it can be read; report changes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from orchestrator_cli.core.base.errors import UnavailableError
from orchestrator_cli.core.executions.keys import live_segment_key
from orchestrator_cli.core.live.reading.listing import list_segments
from orchestrator_cli.core.live.state import (
    LOST_AFTER_SECONDS,
    Liveness,
    LogPosition,
    StoredState,
    liveness_after,
    read_state,
)
from orchestrator_cli.core.s3.bucket.reader import ObjectReader
from orchestrator_cli.core.s3.operations.read import get_object

# How long a heartbeat that was read is shared with others that watch the execution.
_FRESH_SECONDS = 2.0


class Notice(StrEnum):
    """An event that a follower of a log may report."""

    SILENT = "silent"
    LOST = "lost"
    ALIVE_AGAIN = "alive_again"
    UNREACHABLE = "unreachable"
    REACHED_AGAIN = "reached_again"


# It is given the notice, and for how many seconds it has been so.
OnNotice = Callable[[Notice, float], None]


@dataclass(frozen=True, slots=True)
class GiveUpPolicy:
    """When a writer that shows no sign of life is given up; not at all where `waits_forever`."""

    lost_after_seconds: float = LOST_AFTER_SECONDS
    waits_forever: bool = False


@dataclass(frozen=True, slots=True)
class SignOfLife:
    """What was last seen of a writer. `has_ended`: it has said that all of its logs have ended."""

    liveness: Liveness
    silent_seconds: float
    has_ended: bool


class Heartbeat:
    """The heartbeat of one execution's writer. Safe to share between threads."""

    def __init__(self, store: ObjectReader, execution_id: str) -> None:
        self._store = store
        self._execution_id = execution_id
        self._clock = store.retry.clock
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._last: StoredState | None = None

    def read(self) -> StoredState | None:
        """Return what the writer last said; None where it has said nothing."""
        with self._lock:
            if self._clock() - self._read_at > _FRESH_SECONDS:
                self._last = self._store.run(read_state(self._execution_id))
                self._read_at = self._clock()
            return self._last

    def sign_of_life(self, lost_after_seconds: float = LOST_AFTER_SECONDS) -> SignOfLife | None:
        """Return what was last seen of the writer; None where it has said nothing."""
        stored = self.read()
        if stored is None:
            return None
        silent_seconds = stored.age_seconds
        if liveness_after(silent_seconds, lost_after_seconds) is not Liveness.ALIVE:
            silent_seconds = self.silent_seconds(stored.state.logs)
        now = liveness_after(silent_seconds, lost_after_seconds)
        return SignOfLife(now, silent_seconds, stored.state.ended)

    def silent_seconds(self, logs: Iterable[str]) -> float:
        """Return how long ago the writer was there, by S3's clock.

        The last segments of its logs may be newer than what it last said.
        """
        stored = self.read()
        positions = {} if stored is None else stored.state.logs
        ages = [] if stored is None else [stored.age_seconds]
        for log in logs:
            offset = positions.get(log, LogPosition()).offset
            segments = list_segments(self._store, self._execution_id, log, offset)
            if segments:
                key = live_segment_key(self._execution_id, log, segments[-1].offset)
                ages.append(self._store.run(get_object(key)).age_seconds or 0.0)
        return min(ages, default=0.0)


class LivenessWatch:
    """Tells each change of a writer's liveness once. `give_up` says when it is lost."""

    def __init__(self, heartbeat: Heartbeat, give_up: GiveUpPolicy, on_notice: OnNotice) -> None:
        self._heartbeat = heartbeat
        self.give_up = give_up
        self.tell = on_notice
        self._last = Liveness.ALIVE

    def look(self, quiet_seconds: float) -> SignOfLife:
        """Return how things stand now.

        Where there is no heartbeat, the writer is judged by how long nothing has come.
        """
        lost_after_seconds = self.give_up.lost_after_seconds
        seen = self._heartbeat.sign_of_life(lost_after_seconds)
        if seen is None:
            now = liveness_after(quiet_seconds, lost_after_seconds)
            seen = SignOfLife(now, quiet_seconds, has_ended=False)
        self.note(seen.liveness, seen.silent_seconds)
        return seen

    def note(self, now: Liveness, silent_seconds: float = 0.0) -> None:
        """Tell the liveness where it is another than before.

        That the writer is lost is no news to whoever gives it up then.
        """
        if now is self._last:
            return
        self._last = now
        if now is Liveness.LOST and not self.give_up.waits_forever:
            return
        notices = {Liveness.SILENT: Notice.SILENT, Liveness.LOST: Notice.LOST}
        self.tell(notices.get(now, Notice.ALIVE_AGAIN), silent_seconds)


class Reachability:
    """Tells once that the storage or the server of a log is away, and once that it is back.

    `give_up` says how long an outage may last.
    """

    def __init__(self, clock: Callable[[], float], give_up: GiveUpPolicy, tell: OnNotice) -> None:
        self._clock = clock
        self._give_up = give_up
        self._tell = tell
        self._reached_at = clock()
        self._is_away = False

    @property
    def seconds_away(self) -> float:
        """The seconds since the last response."""
        return self._clock() - self._reached_at

    def note_reached(self) -> None:
        """Note a response."""
        self._reached_at = self._clock()
        if self._is_away:
            self._is_away = False
            self._tell(Notice.REACHED_AGAIN, 0)

    def note_unreachable(self, error: UnavailableError) -> None:
        """Note that none came. Raises the error where that has lasted for too long."""
        seconds = self.seconds_away
        if seconds > self._give_up.lost_after_seconds and not self._give_up.waits_forever:
            raise error
        if not self._is_away:
            self._is_away = True
            self._tell(Notice.UNREACHABLE, seconds)
