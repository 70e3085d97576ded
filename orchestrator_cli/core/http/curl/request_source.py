"""Feed libcurl the body of a request piece by piece, within the rate limit."""

from __future__ import annotations

from orchestrator_cli.core.http.transport import Body, BodyReader, RateLimit

# How much one reservation takes under a rate limit.
_RATE_SLICE_BYTES = 16 * 1024


class RequestSource:
    """Reads the bodies of requests, one after the other."""

    def __init__(self, rate_limit: RateLimit | None) -> None:
        self.size_bytes = 0
        self._rate_limit = rate_limit
        self._memory = memoryview(b"")
        self._reader: BodyReader | None = None
        self._position = 0
        self._granted_bytes = 0

    def open(self, body: Body) -> None:
        """Begin with a body."""
        self._granted_bytes = 0
        if isinstance(body, bytes | bytearray | memoryview):
            self._memory = memoryview(body).cast("B")
            self.size_bytes = len(self._memory)
            self._position = 0
        else:
            self._reader = body
            self.size_bytes = body.size_bytes
            self.rewind()

    def close(self) -> None:
        """Drop the body."""
        self._memory = memoryview(b"")
        self._reader = None

    def rewind(self) -> None:
        """Begin the body once more."""
        self._position = 0
        if self._reader is not None:
            self._reader.rewind()

    def read(self, size: int) -> bytes | memoryview | float:
        """Return the next bytes, or the seconds to wait before there may be any.

        Raises what the body raises, and ValueError where it is not as long as it says.
        """
        size = min(size, self.size_bytes - self._position)
        if self._rate_limit is not None and size:
            if not self._granted_bytes:
                self._granted_bytes = min(size, _RATE_SLICE_BYTES)
                seconds = self._rate_limit.reserve(self._granted_bytes)
                if seconds > 0:
                    return float(seconds)
            size = min(size, self._granted_bytes)
        piece = self._next(size)
        self._granted_bytes = max(0, self._granted_bytes - len(piece))
        self._position += len(piece)
        return piece

    def _next(self, size: int) -> bytes | memoryview:
        if self._reader is None:
            return self._memory[self._position : self._position + size]
        if not size:
            return b""
        piece = self._reader.read(size)
        if not 0 < len(piece) <= size:
            raise ValueError("a request body of another size than it says")
        return piece
