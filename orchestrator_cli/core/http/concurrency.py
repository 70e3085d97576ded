"""How many requests to have in flight, and how fast to begin them once a server says slow down."""

from __future__ import annotations

import math
import resource
import time
from collections import deque
from collections.abc import Callable

# What a request costs this process. So many go into the time that one takes to be answered.
_REQUEST_SECONDS = 0.0003
_FIRST_IN_FLIGHT = 16
_WINDOW_SECONDS = 0.05
# A process that uses less of one core than this is waiting for responses.
_BUSY = 0.5
# More in flight that bring less than this bring nothing: the link, or the server, is what bounds.
_WORTH = 1.15
# A server answers some requests sooner than most. More than this many times as many as fit into its
# quickest answer are only more connections to open, which a busy machine pays for dearly.
_SPREAD = 4

# Over how long it is counted what a server lets through before the pace is changed, how many
# responses that needs, and how far back it is looked for what it lets through on the whole.
_PACE_SECONDS = 0.25
_MAX_PACE_SECONDS = 1.0
_PACE_RESPONSES = 5
_HISTORY_SECONDS = 2.0
# As with TCP: who asks for more is refused, and so cut, more often, until all have as much.
_CUT = 0.85
_GROWTH = 6.0
_MIN_RATE = 10.0

_DESCRIPTORS_KEPT = 64
# A connection, the file that is sent or written, and one to spare.
_DESCRIPTORS_EACH = 3


def open_file_limit() -> int:
    """Return how many requests can have the files and sockets that they need."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return 1 << 20
    return max(1, (allowed - _DESCRIPTORS_KEPT) // _DESCRIPTORS_EACH)


class ConcurrencyController:
    """Decides how many requests to have in flight. Not shared between threads.

    It begins with few, or with as many as fit into the time of a response that is known. How long
    the quickest of these takes, and before there is a response how long it has been waited for,
    says how many fit into that time; then the number doubles while
    that brings more responses a second and the process is not busy. When a server says slow down,
    it is halved and grows by one at a time, and requests begin no faster than the server has let
    them through lately.
    """

    def __init__(
        self,
        max_in_flight: int,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.process_time,
        known_seconds: float = 0.0,
    ) -> None:
        """`known_seconds` is what a response has taken before; 0 where there was none."""
        self.max_in_flight = max_in_flight
        enough = int(known_seconds / _REQUEST_SECONDS)
        self.limit = max(1, min(max(_FIRST_IN_FLIGHT, enough), max_in_flight))
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._fastest = math.inf
        self._fastest_lately = math.inf
        self._first_left = self.limit
        self._ended = 0
        self._window_began = clock(), cpu_clock()
        self._best_rate = 0.0
        self._pace: Pace | None = None

    def start_delay(self) -> float:
        """Return how many seconds to wait before the next request begins; 0: none, it counts."""
        return 0.0 if self._pace is None else self._pace.start_delay(self._clock())

    @property
    def has_response(self) -> bool:
        """Whether there was a response yet."""
        return self._fastest < math.inf

    def on_no_response(self, seconds: float) -> None:
        """Take note that the first request was sent so long ago and has no response yet."""
        self._set_limit(max(self.limit, int(seconds / _REQUEST_SECONDS)))

    def on_response(self, seconds: float) -> None:
        """Take note of a response that took so long, and that did not say slow down."""
        now = self._clock()
        self._fastest = min(self._fastest, seconds)
        self._fastest_lately = min(self._fastest_lately, seconds)
        self._ended += 1
        if self._pace is None:
            self._first_left -= 1
            if self._first_left == 0:
                self.on_no_response(self._fastest)
            self._consider_growth(now)
            return
        self._pace.on_response(now)
        if self._ended >= self.limit:
            self._ended = 0
            self._set_limit(self.limit + 1)

    def on_throttled(self, seconds: float) -> None:
        """Take note of a response that took so long, and that said slow down."""
        now = self._clock()
        self._fastest = min(self._fastest, seconds)
        if self._pace is None:
            began, _ = self._window_began
            self._pace = Pace(self._ended, began, min(self._fastest, _MAX_PACE_SECONDS), now)
            self._halve()
        elif self._pace.on_throttled(now):
            self._halve()

    def _halve(self) -> None:
        self._ended = 0
        rate = self._pace.rate if self._pace is not None else 0.0
        enough = math.ceil(2 * rate * min(self._fastest, 1.0)) + 1
        self._set_limit(max(self.limit // 2, enough))

    def _consider_growth(self, now: float) -> None:
        """Double the number once each in flight has been answered, where that brought something."""
        began, cpu_began = self._window_began
        if now - began < _WINDOW_SECONDS or self._ended < self.limit:
            return
        cpu = self._cpu_clock()
        rate = self._ended / (now - began)
        is_busy = cpu - cpu_began >= _BUSY * (now - began)
        has_use = self.limit < _SPREAD * self._fastest_lately / _REQUEST_SECONDS
        if has_use and not is_busy and rate > _WORTH * self._best_rate:
            self._best_rate = rate
            self._set_limit(2 * self.limit)
        self._ended = 0
        self._fastest_lately = math.inf
        self._window_began = now, cpu

    def _set_limit(self, limit: int) -> None:
        self.limit = max(1, min(limit, self.max_in_flight))


class Pace:
    """The rate at which requests begin once a server has said slow down.

    While nothing is refused it grows, faster and faster. What is refused cuts it: by a little, or,
    where more than half is refused, to what the server has let through of late.
    """

    def __init__(self, admitted: int, since: float, answer_seconds: float, now: float) -> None:
        """`admitted` is how many the server has let through `since` then."""
        self.rate = max(_MIN_RATE, admitted / max(now - since, _WINDOW_SECONDS))
        # Responses to what began before the rate was cut say nothing of it.
        self._lag_seconds = answer_seconds
        self._next_at = now
        self._began = now + answer_seconds
        self._admitted = self._refused = self._growths = 0
        # Whether it is still to be found out how much there is.
        self._doubles = True
        # When each stretch ended and how many were let through in it; the first began at `since`.
        self._history = deque([(now, admitted)])
        self._history_began = since

    def start_delay(self, now: float) -> float:
        """Return how many seconds to wait before the next request begins; 0: none, it counts."""
        if now < self._next_at:
            return self._next_at - now
        # What was not used is lost, but for what a timer may be late.
        self._next_at = max(self._next_at, now - _PACE_SECONDS) + 1 / self.rate
        return 0.0

    def on_response(self, now: float) -> None:
        """Take note of a response that did not say slow down."""
        self._admitted += now >= self._began
        self._consider(now)

    def on_throttled(self, now: float) -> bool:
        """Take note of one that did; return whether the rate was cut."""
        self._refused += now >= self._began
        return self._consider(now)

    def _consider(self, now: float) -> bool:
        seconds = now - self._began
        responses = self._admitted + self._refused
        if seconds < _PACE_SECONDS or (responses < _PACE_RESPONSES and seconds < _MAX_PACE_SECONDS):
            return False
        is_cut = self._refused > 0
        admitted_rate = self._admitted_rate(now)
        if is_cut:
            most = admitted_rate if 2 * self._refused > responses else self.rate
            self.rate = max(_MIN_RATE, _CUT * min(self.rate, most))
            self._growths = 0
            self._doubles = self.rate == _MIN_RATE
        elif responses > self.rate * seconds / 2:
            self._growths += 1
            more = _GROWTH * self._growths * seconds / _PACE_SECONDS
            self.rate += max(more, self.rate) if self._doubles else more
        self._began = now + (self._lag_seconds if is_cut else 0)
        self._admitted = self._refused = 0
        return is_cut

    def _admitted_rate(self, now: float) -> float:
        self._history.append((now, self._admitted))
        while len(self._history) > 1 and self._history[0][0] <= now - _HISTORY_SECONDS:
            self._history_began, _ = self._history.popleft()
        return sum(count for _, count in self._history) / (now - self._history_began)
