"""Read one live log from its segments, as far as they reach. It takes no right to write."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator_cli.core.base.errors import NotFoundError, suppress_unless_fatal
from orchestrator_cli.core.base.ordered_map import ordered_map
from orchestrator_cli.core.executions.keys import live_segment_key
from orchestrator_cli.core.live.reading.listing import ListedSegment, list_segments
from orchestrator_cli.core.live.segment import MAX_SEGMENT_BYTES, Segment
from orchestrator_cli.core.s3.bucket.reader import ObjectReader
from orchestrator_cli.core.s3.operations.read import get_object_with_head
from orchestrator_cli.core.s3.operations.request import Operation

# What is fetched ahead of segments that a listing has told of.
_AHEAD_BYTES = 24 * 1024 * 1024
_MOST_AHEAD = 32


@dataclass(frozen=True, slots=True)
class LiveChunk:
    """Some bytes of a log, where they begin, and how many newlines are before them.

    `time_ms` is when the segment that they are in began to arrive, in milliseconds since 1970.
    """

    offset: int
    data: bytes
    line: int
    time_ms: int | None = None

    @property
    def end(self) -> int:
        """The offset of what follows."""
        return self.offset + len(self.data)


class LiveReader:
    """Reads the segments of one log in order, each byte once.

    `offset` is that of the next byte. `has_ended` says that the log ends there.
    """

    def __init__(self, store: ObjectReader, execution_id: str, log: str) -> None:
        self._store = store
        self._execution_id = execution_id
        self._log = log
        self._listed: list[ListedSegment] = []
        self._next = 0
        self._newlines_to_skip = 0
        self._is_waited_for = False
        self.offset = 0
        self.has_ended = False

    def join(self, offset: int = 0, until: int | None = None) -> None:
        """Begin at an offset; at the first byte that is left where the beginning has expired.

        Whoever wants no more than what is before `until` need not list what follows it.
        """
        listed = list_segments(self._store, self._execution_id, self._log, offset, until)
        self.begin(listed, offset)

    def begin(self, listed: list[ListedSegment], offset: int, newlines_to_skip: int = 0) -> None:
        """Begin at an offset of segments that were listed, and after so many newlines there."""
        self._listed = [one for one in listed if one.end > offset or not one.size_bytes]
        self._next = self._listed[0].offset if self._listed else (listed[-1].end if listed else 0)
        self._newlines_to_skip = newlines_to_skip
        self.offset = max(offset, self._next)

    def read_new(self) -> Iterator[LiveChunk]:
        """Yield what has been written since the last time, and return where nothing more is.

        After a segment that was not there the last time, mostly nothing is as yet: that is left to
        the next time, which halves the requests of whoever asks again and again.
        """
        yield from self._read_listed()
        while not self.has_ended:
            found = self.read_segment(self._next)
            is_new, self._is_waited_for = self._is_waited_for, found is None
            if found is None:
                return
            yield from self._take(*found)
            if is_new and found[0].size_bytes < MAX_SEGMENT_BYTES:
                return

    def read_segment(self, offset: int) -> tuple[Segment, bytes] | None:
        """Return the segment that begins at an offset; None where there is none."""
        operation = read_segment(self._execution_id, self._log, offset)
        return self._store.run(operation)

    def _read_listed(self) -> Iterator[LiveChunk]:
        listed, self._listed = self._listed, []
        largest = max((one.size_bytes for one in listed), default=0)
        ahead = min(_MOST_AHEAD, max(2, _AHEAD_BYTES // max(largest, 1)))
        offsets = (one.offset for one in listed)
        for found in ordered_map(self.read_segment, offsets, ahead, ahead):
            if found is None:
                return
            yield from self._take(*found)

    def _take(self, segment: Segment, data: bytes) -> Iterator[LiveChunk]:
        self._next, self.has_ended = segment.end, segment.is_end
        start = max(0, self.offset - segment.offset)
        while self._newlines_to_skip and start < len(data):
            start = data.find(b"\n", start) + 1 or len(data)
            self._newlines_to_skip -= data.endswith(b"\n", 0, start)
        line = segment.line + data.count(b"\n", 0, start)
        chunk = LiveChunk(segment.offset + start, data[start:], line, segment.t0_ms)
        self.offset = max(self.offset, chunk.end)
        if chunk.data:
            yield chunk


def read_segment(
    execution_id: str, log: str, offset: int
) -> Operation[tuple[Segment, bytes] | None]:
    """Read the segment that begins at an offset; None where there is none. Raises IntegrityError.

    Its bytes are compared with their checksum.
    """
    key = live_segment_key(execution_id, log, offset)
    with suppress_unless_fatal(NotFoundError):
        head, data = yield from get_object_with_head(key, MAX_SEGMENT_BYTES)
        return Segment.from_head(offset, head), data
    return None
