"""A shared rate limit for what is sent, so that a bench's link stays usable."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable


class RateLimiter:
    """At most so many bytes a second over all threads, in slices of a tenth of a second."""

    def __init__(
        self,
        bytes_per_second: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.bytes_per_second = bytes_per_second
        self.slice_bytes = max(1024, bytes_per_second // 10)
        self._clock = clock
        self._sleep = sleep
        self._free_at = clock()
        self._lock = threading.Lock()

    def take(self, size_bytes: int) -> None:
        """Wait until so many bytes may be sent."""
        with self._lock:
            start = max(self._clock(), self._free_at)
            self._free_at = start + size_bytes / self.bytes_per_second
        delay = start - self._clock()
        if delay > 0:
            self._sleep(delay)


class ThrottledReader(io.BytesIO):
    """A request body whose reads wait for their turn. It can be rewound for a retry."""

    def __init__(self, data: bytes | bytearray | memoryview, pace: RateLimiter) -> None:
        super().__init__(data)
        self._pace = pace
        self._size = len(data)

    def __len__(self) -> int:
        return self._size

    def read(self, size: int | None = -1, /) -> bytes:
        """Return at most one slice, after waiting for it."""
        wanted = self._pace.slice_bytes if size is None or size < 0 else size
        data = super().read(min(wanted, self._pace.slice_bytes))
        self._pace.take(len(data))
        return data
