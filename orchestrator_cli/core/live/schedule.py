"""Schedule how often a writer of live logs looks at its logs."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

# Seconds since the start, and the interval until then: the longer a log runs, the longer it is.
INTERVALS_SECONDS = ((60.0, 1.0), (600.0, 2.0), (float("inf"), 5.0))
_JITTER = 0.2


def describe_intervals() -> str:
    """Return the intervals as the help says them."""
    *first, (_, last) = INTERVALS_SECONDS
    steps = [f"every {interval:g} s up to {until / 60:g} min" for until, interval in first]
    return f"{', '.join(steps)}, then every {last:g} s"


@dataclass(frozen=True, slots=True)
class LiveSchedule:
    """The waits in seconds; `fixed_seconds` None: the longer the log, the longer the waits.

    `uniform` draws a random number between two. With it a fleet that started at one moment does
    not write at one moment.
    """

    fixed_seconds: float | None = None
    uniform: Callable[[float, float], float] = random.uniform

    def interval_seconds(self, elapsed_seconds: float) -> float:
        """Return what is waited on average so long after the start."""
        if self.fixed_seconds is not None:
            return self.fixed_seconds
        return next(interval for until, interval in INTERVALS_SECONDS if elapsed_seconds < until)

    def next_wait_seconds(self, elapsed_seconds: float) -> float:
        """Return what to wait now. What somebody has asked for is never shortened."""
        shortest = 1.0 if self.fixed_seconds is not None else 1 - _JITTER
        longest = 1 + _JITTER / 2 if self.fixed_seconds is not None else 1 + _JITTER
        return self.interval_seconds(elapsed_seconds) * self.uniform(shortest, longest)
