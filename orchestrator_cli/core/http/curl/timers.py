"""Timers of one thread."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator


class Timers:
    """Tags that expire, each after its own time."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, object]] = []
        self._added = 0

    @property
    def next_at(self) -> float | None:
        """When the next one expires, by the monotonic clock; None where there is none."""
        return self._heap[0][0] if self._heap else None

    def add(self, tag: object, seconds: float) -> None:
        """Let a tag expire after so many seconds; those of the same time expire in this order."""
        self._added += 1
        heapq.heappush(self._heap, (time.monotonic() + seconds, self._added, tag))

    def remove(self, tag: object) -> None:
        """Forget the timers of a tag."""
        self._heap = [timer for timer in self._heap if timer[2] is not tag]
        heapq.heapify(self._heap)

    def pop_expired(self) -> Iterator[object]:
        """Yield the tags whose time has come, the earliest first."""
        now = time.monotonic()
        while self._heap and self._heap[0][0] <= now:
            yield heapq.heappop(self._heap)[2]

    def clear(self) -> None:
        """Forget all."""
        self._heap.clear()
