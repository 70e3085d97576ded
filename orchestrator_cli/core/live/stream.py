"""A log that is read from a stream which cannot be read twice, such as standard input."""

from __future__ import annotations

import threading

from orchestrator_cli.core.live.writer import LiveWriter
from orchestrator_cli.core.transfer.upload.parts.stream_parts import BinaryStream

# What is read while S3 takes nothing is in the final log only, from here on.
_MOST_WAITING_BYTES = 64 * 1024 * 1024
# How long the stream's end waits for the last segments, so that a reader sees them first.
_MOMENT_SECONDS = 1.0


class WaitingBytes:
    """The bytes of a log that are not stored live yet. One thread appends, another one reads.

    Where too many wait it takes no more: the live log ends there, and the final one has the rest.
    """

    def __init__(self, most_bytes: int = _MOST_WAITING_BYTES) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._data = bytearray()
        self._first = 0
        self._is_full = False

    @property
    def size_bytes(self) -> int:
        """How much of the log was there."""
        with self._lock:
            return self._first + len(self._data)

    def append(self, data: memoryview) -> None:
        """Add what follows, unless too much waits."""
        with self._lock:
            self._is_full = self._is_full or len(self._data) + len(data) > self._most_bytes
            if not self._is_full:
                self._data += data

    def read_at(self, offset_bytes: int, size_bytes: int) -> bytes:
        """Return bytes that wait."""
        with self._lock:
            start = offset_bytes - self._first
            return bytes(memoryview(self._data)[start : start + size_bytes]) if start >= 0 else b""

    def release(self, offset_bytes: int) -> None:
        """Forget what comes before an offset."""
        with self._lock:
            del self._data[: max(0, offset_bytes - self._first)]
            self._first = max(self._first, offset_bytes)


class LiveStream:
    """A stream that is also written live as it is read. Close it; it leaves the stream open.

    A stream that is left before its end has no end marker.
    """

    def __init__(self, stream: BinaryStream, waiting: WaitingBytes, writer: LiveWriter) -> None:
        self._stream = stream
        self._waiting = waiting
        self._writer = writer
        self._ended = threading.Event()
        self._left = False
        self._thread = threading.Thread(target=self._follow, name="live", daemon=True)

    def start(self) -> None:
        """Begin to write. Raises RuntimeError where this machine allows no more threads."""
        self._thread.start()

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill a buffer as the stream does."""
        size = self._stream.readinto(buffer)
        if size:
            self._waiting.append(buffer[:size])
        elif size == 0:
            self._ended.set()
            self._thread.join(_MOMENT_SECONDS)
        return size

    def fileno(self) -> int:
        """Return the descriptor to wait for where nothing is there yet."""
        return self._stream.fileno()

    def close(self) -> None:
        """Wait a moment for pending segments; those that take longer are left."""
        self._left = not self._ended.is_set()
        self._ended.set()
        self._thread.join(_MOMENT_SECONDS)

    def _follow(self) -> None:
        self._writer.follow(self._ended, is_left=lambda: self._left)
