"""Note when the bytes of a stream arrived, which only its first reader can see."""

from __future__ import annotations

import time
from collections.abc import Callable

from orchestrator_cli.core.base.quantities import MIB
from orchestrator_cli.core.transfer.upload.parts.stream_parts import BinaryStream


class Arrivals:
    """Notes when each mebibyte of a stream began to arrive, in milliseconds since 1970.

    Where the stream is read anew from its beginning, what was noted before stays.
    """

    def __init__(self, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self.times_ms: list[int] = []
        self._now_ms = now_ms

    def watch(self, stream: BinaryStream) -> BinaryStream:
        """Wrap a stream that is read from its beginning, so that its bytes are noted."""
        return _WatchedStream(stream, self)

    def note(self, size_bytes: int) -> None:
        """Note that so many bytes have arrived by now."""
        missing = -(-size_bytes // MIB) - len(self.times_ms)
        if missing > 0:
            self.times_ms += [self._now_ms()] * missing


class _WatchedStream:
    def __init__(self, stream: BinaryStream, arrivals: Arrivals) -> None:
        self._stream = stream
        # A buffered stream waits until a buffer is full, unless it is told to read once.
        self._read = getattr(stream, "readinto1", stream.readinto)
        self._arrivals = arrivals
        self._size_bytes = 0

    def readinto(self, buffer: memoryview, /) -> int | None:
        size: int | None = self._read(buffer)
        if size:
            self._size_bytes += size
            self._arrivals.note(self._size_bytes)
        return size

    def fileno(self) -> int:
        return self._stream.fileno()
