"""Compute the index of a log from its bytes, or from its parts in whatever order they are read."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence

from orchestrator_cli.core.executions.logs.error_lines import ErrorLines, PartErrorLines
from orchestrator_cli.core.executions.logs.index import (
    MAX_ERROR_LINES,
    POINT_BYTES,
    TAIL_BYTES,
    LogIndex,
)

# Each step is read twice, so it has to fit into the processor's cache.
_STEP_BYTES = 64 * 1024
# To look for the ends of longer lines is faster than to compare each byte, as `count` does.
_LONG_LINE_BYTES = 80


def index_log(blocks: Iterable[bytes | memoryview], etag: str) -> LogIndex:
    """Compute the index of a log from its bytes."""
    indexer = LogIndexer()
    part = indexer.begin(0)
    for block in blocks:
        part.add(block)
    return indexer.finish(etag)


class PartIndexer:
    """Takes the bytes of one part of a log in order, and keeps the last ones.

    Lines are counted from the beginning of the part. Without `errors`, none are looked for.
    """

    def __init__(self, offset_bytes: int, errors: PartErrorLines | None) -> None:
        self.offset_bytes = self.end_bytes = offset_bytes
        self.line_count = 0
        self.points: list[tuple[int, int]] = []
        self.errors = errors
        self.tail: bytes | None = b""
        self._has_long_lines = False

    def add(self, block: bytes | memoryview) -> None:
        """Take the next bytes."""
        for at in range(0, len(block), _STEP_BYTES):
            step = bytes(block[at : at + _STEP_BYTES])
            self._count(step)
            if self.errors is not None:
                self.errors.add(step)
        if self.tail is not None:
            self.tail = (self.tail + bytes(block[-TAIL_BYTES:]))[-TAIL_BYTES:]

    def _count(self, step: bytes) -> None:
        while step:
            behind_point = self.end_bytes % POINT_BYTES
            if behind_point == 0:
                self.points.append((self.end_bytes, self.line_count))
            piece, step = step[: POINT_BYTES - behind_point], step[POINT_BYTES - behind_point :]
            self.line_count += self._newlines(piece)
            self.end_bytes += len(piece)

    def _newlines(self, piece: bytes) -> int:
        if self._has_long_lines:
            count = len(io.BytesIO(piece).readlines()) - (not piece.endswith(b"\n"))
        else:
            count = piece.count(b"\n")
        self._has_long_lines = count * _LONG_LINE_BYTES < len(piece)
        return count


class LogIndexer:
    """Computes the index of a log whose parts pass by once, in any order, in several threads.

    Errors are looked for about so far as is said and no further.
    """

    def __init__(self, most_searched_bytes: int = sys.maxsize) -> None:
        self._most_searched = most_searched_bytes
        self._lock = threading.Lock()
        self._parts: dict[int, PartIndexer] = {}
        # No others can hold the last bytes of the log.
        self._last: list[PartIndexer] = []

    def begin(self, offset_bytes: int) -> PartIndexer:
        """Return what takes the part at an offset, also where that is read once more."""
        errors = None
        if offset_bytes < self._most_searched:
            errors = PartErrorLines(offset_bytes, self._most_searched)
        part = PartIndexer(offset_bytes, errors)
        with self._lock:
            self._parts[offset_bytes] = part
            last = {one.offset_bytes: one for one in (*self._last, part)}
            self._last = sorted(last.values(), key=lambda one: one.offset_bytes)
            for one in self._last[:-2]:
                one.tail = None
            del self._last[:-2]
        return part

    @property
    def is_empty(self) -> bool:
        """Whether there was no part."""
        return not self._parts

    @property
    def tail(self) -> bytes:
        """The last bytes of the log."""
        return b"".join(part.tail or b"" for part in self._last)[-TAIL_BYTES:]

    def finish(self, etag: str, times_ms: Sequence[int] = ()) -> LogIndex:
        """Return the index of what has passed by, the content that the ETag stands for.

        It ends where a part is missing. `times_ms` is when each mebibyte of it began to arrive, as
        far as that was seen.
        """
        parts = list(self._in_order())
        points, count = [], 0
        for part in parts:
            points += [(offset, count + line) for offset, line in part.points]
            count += part.line_count
        size = parts[-1].end_bytes if parts else 0
        times = list(times_ms) if len(times_ms) == len(points) else []
        return LogIndex(size, etag, count, points, *_join_errors(parts), times)

    def _in_order(self) -> Iterator[PartIndexer]:
        part = self._parts.get(0)
        while part is not None:
            yield part
            part = self._parts.get(part.end_bytes) if part.end_bytes > part.offset_bytes else None


def _join_errors(parts: Iterable[PartIndexer]) -> tuple[list[tuple[int, int]], int]:
    """Return where lines tell of errors, and how far into the log they were looked for."""
    lines, count = ErrorLines(0), 0
    for part in parts:
        if part.errors is None or not part.errors.join(lines, count):
            break
        count += part.line_count
    else:
        lines.flush()
    found = lines.found
    if len(found) > MAX_ERROR_LINES:
        return found[:MAX_ERROR_LINES], found[MAX_ERROR_LINES][0]
    return found, lines.place[0]
