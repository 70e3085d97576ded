"""Schedule how often a writer of live logs looks at its logs."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

_QUICK_UNTIL_SECONDS = 60.0
_BRISK_UNTIL_SECONDS = 600.0
_JITTER = 0.2


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
        if elapsed_seconds < _QUICK_UNTIL_SECONDS:
            return 1.0
        return 2.0 if elapsed_seconds < _BRISK_UNTIL_SECONDS else 5.0

    def next_wait_seconds(self, elapsed_seconds: float) -> float:
        """Return what to wait now. What somebody has asked for is never shortened."""
        shortest = 1.0 if self.fixed_seconds is not None else 1 - _JITTER
        longest = 1 + _JITTER / 2 if self.fixed_seconds is not None else 1 + _JITTER
        return self.interval_seconds(elapsed_seconds) * self.uniform(shortest, longest)
