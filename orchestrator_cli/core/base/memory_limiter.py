"""Limit the bytes that are in memory at once, and reuse the buffers that hold them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from orchestrator_cli.core.base.cancellation import SIGNAL_POLL_SECONDS


class MemoryLimiter:
    """Limits the bytes that are in memory at once.

    `acquire` blocks until enough are free. A request for more than there are in all is admitted
    when nothing else is held.
    """

    def __init__(self, total_bytes: int, changed: threading.Condition | None = None) -> None:
        """Begin with all of them free; `changed` is told when some become so."""
        self.total_bytes = total_bytes
        self._free = total_bytes
        self._changed = changed or threading.Condition()

    def acquire(self, size_bytes: int) -> int:
        """Wait for so many bytes; return how many to release."""
        size = min(size_bytes, self.total_bytes)
        with self._changed:
            while not self._changed.wait_for(lambda: self._free >= size, SIGNAL_POLL_SECONDS):
                pass
            self._free -= size
        return size

    def release(self, size_bytes: int) -> None:
        """Give back what `acquire` returned."""
        with self._changed:
            self._free += size_bytes
            self._changed.notify_all()


class MemoryReservation:
    """The bytes of a MemoryLimiter that one piece of work holds, and may release before its end.

    Not shared between threads that use it at the same time.
    """

    def __init__(self, budget: MemoryLimiter, size_bytes: int) -> None:
        """Wait for so many bytes."""
        self._budget = budget
        self._size_bytes = size_bytes
        self._held = budget.acquire(size_bytes)

    def release(self) -> None:
        """Give the bytes back, unless that was done."""
        held, self._held = self._held, 0
        if held:
            self._budget.release(held)

    def reacquire(self) -> None:
        """Wait for the bytes once more, unless they are held."""
        if not self._held:
            self._held = self._budget.acquire(self._size_bytes)


class BufferPool:
    """Buffers of one size that are used again and again. Safe to share between threads.

    Memory that is freed by one thread and taken by another piles up in the allocator: with many
    threads eight buffers of 8 MiB take 200 MiB.
    """

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._free: list[bytearray] = []

    def get(self) -> bytearray:
        """Return a buffer, which still has the content of its last use."""
        try:
            return self._free.pop()
        except IndexError:
            return bytearray(self._size_bytes)

    @contextlib.contextmanager
    def lent(self) -> Iterator[bytearray]:
        """Lend a buffer until the block ends."""
        buffer = self.get()
        try:
            yield buffer
        finally:
            self.put(buffer)

    def put(self, buffer: bytearray) -> None:
        """Return a buffer to the pool once nobody uses it any more."""
        self._free.append(buffer)

    def clear(self) -> None:
        """Give the memory of the buffers back that nobody uses."""
        self._free.clear()
