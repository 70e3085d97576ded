"""Find where the last lines of a live log begin."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator_cli.core.live.reading.listing import ListedSegment, iter_segments
from orchestrator_cli.core.live.reading.reader import LiveReader
from orchestrator_cli.core.live.state import LogPosition
from orchestrator_cli.core.s3.bucket.reader import ObjectReader

# Where nothing tells how long a log's lines are.
_LINE_BYTES = 120
# Most segments are smaller: one of them is listed then.
_LEAST_BYTES = 256 * 1024
_FARTHER = 8


def join_last_lines(
    store: ObjectReader, execution_id: str, log: str, lines: int, position: LogPosition | None
) -> LiveReader:
    """Return a reader that begins so many lines before the end of what is there.

    `position` is the heartbeat's, which tells about where the end is. A last line without a newline
    counts. Mostly this takes one listing and two segments.
    """
    reader = LiveReader(store, execution_id, log)
    near = position or LogPosition()
    likely = max(1, lines) * _line_bytes(near)
    wanted = max(_LEAST_BYTES, 2 * likely)
    while True:
        start = max(0, near.offset - wanted)
        listed = list(iter_segments(store, execution_id, log, start))
        if _begin_at(reader, listed, lines, likely):
            return reader
        if start == 0:
            reader.begin(listed, 0)
            return reader
        wanted *= _FARTHER


def _begin_at(
    reader: LiveReader, listed: list[ListedSegment], lines: int, likely_bytes: int
) -> bool:
    """Begin at the last lines. False where they begin before all that is listed, if anywhere."""
    last = next((one for one in reversed(listed) if one.size_bytes), None)
    if last is None or lines <= 0:
        reader.begin(listed, listed[-1].end if listed else 0)
        return True
    found = reader.read_segment(last.offset)
    if found is None:
        return False
    segment, data = found
    newlines = segment.line + data.count(b"\n") + (not data.endswith(b"\n")) - lines
    for number in _backwards(listed, likely_bytes):
        found = reader.read_segment(listed[number].offset)
        # One that has just so many newlines before it may begin inside of a line.
        if found is not None and found[0].line < newlines:
            reader.begin(listed[number:], listed[number].offset, newlines - found[0].line)
            return True
    return False


def _backwards(listed: list[ListedSegment], back: int) -> Iterator[int]:
    """Yield the numbers of segments to try, so many bytes before the end, then twice as far."""
    number = len(listed) - 1
    while True:
        while number and listed[-1].end - listed[number].offset < back:
            number -= 1
        yield number
        if number == 0:
            return
        number, back = number - 1, back * 2


def _line_bytes(position: LogPosition) -> int:
    return position.offset // position.line + 1 if position.line else _LINE_BYTES
