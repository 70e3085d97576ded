"""Report when the storage or server of a log becomes unreachable, and when it is back."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator_cli.core.base.errors import UnavailableError
from orchestrator_cli.core.live.reading.heartbeat import GiveUpPolicy, Notice, OnNotice


class Reachability:
    """Reports each change once. `give_up` says how long an outage may last."""

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

    def note_reached(self) -> bool:
        """Note a response; return True where it is the first one after none came."""
        self._reached_at = self._clock()
        is_back, self._is_away = self._is_away, False
        if is_back:
            self._tell(Notice.REACHED_AGAIN, 0)
        return is_back

    def note_unreachable(self, error: UnavailableError) -> None:
        """Note that none came. Raises the error where that has lasted for too long."""
        seconds = self.seconds_away
        if seconds > self._give_up.lost_after_seconds and not self._give_up.waits_forever:
            raise error
        if not self._is_away:
            self._is_away = True
            self._tell(Notice.UNREACHABLE, seconds)
