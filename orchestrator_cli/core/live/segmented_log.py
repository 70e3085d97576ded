"""Cut a growing log into segments: how much is stored, and what the next segment holds."""

from __future__ import annotations

from typing import Protocol

from orchestrator_cli.core.base.errors import IntegrityError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.live.segment import MAX_SEGMENT_BYTES, Segment, size_of_next
from orchestrator_cli.core.live.state import LogPosition
from orchestrator_cli.core.s3.checksum import sha256


class GrowingBytes(Protocol):
    """The bytes of a log that somebody else is writing."""

    @property
    def size_bytes(self) -> int:
        """How much of the log is there."""

    def read_at(self, offset_bytes: int, size_bytes: int) -> bytes:
        """Return bytes of the log that are there."""

    def release(self, offset_bytes: int) -> None:
        """Forget what comes before an offset: it is not read again."""


class SegmentedLog:
    """A log on its way to S3. It is looked at once an interval; times are ms since 1970."""

    def __init__(self, name: str, source: GrowingBytes) -> None:
        self.name = name
        self.position = LogPosition()
        self._source = source
        # How much was there at the last look, and at the one before.
        self._seen = 0
        self._aged = 0
        self._looked_ms = 0
        self._first_ms = 0
        self._before_ms = 0

    def look(self, now_ms: int) -> None:
        """See how far the log has grown."""
        self._before_ms = self._looked_ms or now_ms
        if self._seen <= self.position.offset:
            # What is new has arrived since the look before this one.
            self._first_ms = self._before_ms
        self._aged, self._seen = self._seen, self._source.size_bytes
        self._looked_ms = now_ms

    def is_shorter_than_stored(self) -> bool:
        """Return whether more is stored than was there at the last look."""
        return self._seen < self.position.offset

    def next_segment(
        self, writer: str, most_bytes: int = MAX_SEGMENT_BYTES, *, final: bool = False
    ) -> tuple[Segment, bytes] | None:
        """Return what to store next; None where it should wait. The last one waits for nothing."""
        offset = self.position.offset
        data = self._read(offset, min(self._seen - offset, most_bytes))
        size = len(data) if final else size_of_next(data, self._aged - offset, most_bytes)
        if size == 0:
            return None
        data = data[:size]
        segment = Segment(
            offset,
            size,
            sha256(data).hex(),
            self.position.line,
            self._first_ms,
            self._looked_ms,
            writer,
        )
        return segment, data

    def end_marker(self, writer: str) -> Segment:
        """Return the segment without bytes that says that the log ends where it is stored to."""
        now, line = self._looked_ms, self.position.line
        return Segment(self.position.offset, 0, sha256(b"").hex(), line, now, now, writer)

    def holds(self, segment: Segment) -> bool | None:
        """Return whether a stored segment has our bytes; None where we have fewer as yet."""
        if self._source.size_bytes < segment.end:
            return None
        data = self._read(segment.offset, segment.size_bytes)
        return sha256(data).hex() == segment.sha256

    def advance(self, segment: Segment, data: bytes | None = None) -> None:
        """Go on after a segment that is stored; after the end marker there is nothing."""
        if data is None:
            data = self._read(segment.offset, segment.size_bytes)
        line = self.position.line + data.count(b"\n")
        self.position = LogPosition(segment.end, line, segment.is_end, self.position.unknown)
        self._first_ms = self._before_ms
        self._source.release(segment.end)

    def _read(self, offset: int, size_bytes: int) -> bytes:
        data = self._source.read_at(offset, size_bytes) if size_bytes > 0 else b""
        if len(data) < size_bytes:
            raise IntegrityError(f"{printable(self.name)} has become shorter")
        return data
