"""Decide how many requests to have in flight, and how fast to start them under throttling."""

from __future__ import annotations

import contextlib
import math
import resource
import time
from collections import deque
from collections.abc import Callable

# The CPU time that a request costs this process, which bounds how many fit into one response time.
_REQUEST_SECONDS = 0.0002
# What a response of a server that is near seems to take while this process is busy with others.
_NEAR_SECONDS = 0.005
_FIRST_IN_FLIGHT = 16
_WINDOW_SECONDS = 0.05
# A process that uses less of one core than this is waiting for responses.
_BUSY = 0.5
# A larger limit has to raise the throughput by this factor; else the link or the server is the
# bottleneck.
_WORTH = 1.15
# The quickest response is quicker than most, so the limit may exceed what fits into it, up to one
# request for each of these. More would only open connections: expensive on a busy machine.
_SPREAD_SECONDS = 0.000075
# A connection costs as much as several requests. More are worth it only where a response takes
# longer than this, which is not this machine's doing.
_USUAL_MOST = 256
_SLOW_SECONDS = 0.15

# The pace is changed once per interval, between these two, that has at least so many responses. The
# rate at which the server admits requests is measured over the history.
_PACE_SECONDS = 0.25
_MAX_PACE_SECONDS = 1.0
_PACE_RESPONSES = 5
_HISTORY_SECONDS = 2.0
# Multiplicative decrease, as in TCP: clients that send more are cut more often, until all have the
# same share.
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


def raise_open_file_limit(requests: int) -> None:
    """Let this process open what so many requests need, as far as the system allows it to."""
    wanted = requests * _DESCRIPTORS_EACH + _DESCRIPTORS_KEPT
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY:
        wanted = min(wanted, most)
    if allowed != resource.RLIM_INFINITY and allowed < wanted:
        # Some systems have a limit besides that they do not tell.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


class ConcurrencyController:
    """Decides how many requests to have in flight. Not shared between threads.

    It begins with few, or with as many as fit into a response time known from before. The quickest
    response so far, or the wait for the first one, gives the number that fits into that time.
    From there the number doubles while throughput grows and the process is not busy. A throttled
    response halves it; it then grows by one at a time, and requests begin no faster than the server
    has admitted them lately.
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
        enough = max(_FIRST_IN_FLIGHT, _fitting(known_seconds))
        self.limit = max(1, min(enough, max_in_flight))
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
        """True once there was a response."""
        return self._fastest < math.inf

    def on_no_response(self, seconds: float) -> None:
        """Note that the first request was sent so long ago and has no response yet."""
        self._set_limit(max(self.limit, _fitting(seconds)))

    def on_response(self, seconds: float) -> None:
        """Note the duration of a response that was not throttled."""
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
        """Note the duration of a response that was throttled."""
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
        has_use = self.limit < self._fastest_lately / _SPREAD_SECONDS
        if has_use and not is_busy and rate > _WORTH * self._best_rate:
            self._best_rate = rate
            self._set_limit(max(self.limit, min(2 * self.limit, _USUAL_MOST)))
        self._ended = 0
        self._fastest_lately = math.inf
        self._window_began = now, cpu

    def _set_limit(self, limit: int) -> None:
        self.limit = max(1, min(limit, self.max_in_flight))


def _fitting(seconds: float) -> int:
    """Return how many requests fit into the time of a response."""
    fitting = int((seconds - _NEAR_SECONDS) / _REQUEST_SECONDS)
    beyond = int((seconds - _SLOW_SECONDS) / _REQUEST_SECONDS)
    return max(min(fitting, _USUAL_MOST), beyond)


class Pace:
    """The rate at which requests begin once a server has said slow down.

    It grows, faster and faster, while nothing is refused. A refusal cuts it by a little or, where
    more than half is refused, to the rate that the server has admitted lately.
    """

    def __init__(self, admitted: int, since: float, answer_seconds: float, now: float) -> None:
        """`admitted` is how many the server has let through `since` then."""
        self.rate = max(_MIN_RATE, admitted / max(now - since, _WINDOW_SECONDS))
        # Responses to requests that began before the cut tell nothing about the new rate.
        self._lag_seconds = answer_seconds
        self._next_at = now
        self._began = now + answer_seconds
        self._admitted = self._refused = self._growths = 0
        # Whether the rate that the server admits is still being searched for.
        self._doubles = True
        # The end of each interval and the requests admitted in it; the first began at `since`.
        self._history = deque([(now, admitted)])
        self._history_began = since

    def start_delay(self, now: float) -> float:
        """Return how many seconds to wait before the next request begins; 0: none, it counts."""
        if now < self._next_at:
            return self._next_at - now
        # Unused time is not saved up, except for the delay of a timer.
        self._next_at = max(self._next_at, now - _PACE_SECONDS) + 1 / self.rate
        return 0.0

    def on_response(self, now: float) -> None:
        """Note a response that was not throttled."""
        self._admitted += now >= self._began
        self._consider(now)

    def on_throttled(self, now: float) -> bool:
        """Note a response that was throttled; return True if the rate was cut."""
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
