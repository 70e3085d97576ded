"""Limit the rate at which bytes are sent, so that a bench's link stays usable."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class RateLimiter:
    """Limits how many bytes all threads together move in a second."""

    def __init__(self, bytes_per_second: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.bytes_per_second = bytes_per_second
        self._clock = clock
        self._free_at = clock()
        self._lock = threading.Lock()

    def reserve(self, size_bytes: int, /) -> float:
        """Return how many seconds to wait before so many bytes may be sent; they are taken.

        The first bytes do not wait, and a pause saves nothing for a burst.
        """
        with self._lock:
            now = self._clock()
            start = max(now, self._free_at)
            self._free_at = start + size_bytes / self.bytes_per_second
        return start - now
