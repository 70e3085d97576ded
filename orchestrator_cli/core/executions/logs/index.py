"""What is computed from a log once, so that a part of it is found without reading it all."""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from orchestrator_cli.core.base.foreign_json import parse_json
from orchestrator_cli.core.executions.logs.line_pattern import LinePattern
from orchestrator_cli.core.executions.logs.search import MAX_LINE_BYTES
from orchestrator_cli.core.s3.part_plan import MIB

INDEX_VERSION = 1
POINT_BYTES = MIB
MAX_ERROR_LINES = 1000
TAIL_BYTES = 64 * 1024
INDEX_TYPE = "application/gzip"
TAIL_TYPE = "text/plain; charset=utf-8"
# What is looked at twice stays in the processor's cache.
_STEP_BYTES = 64 * 1024
# What a point or a line takes at most in the text of an index.
_ENTRY_BYTES = 64
# Words by which programs say that something went wrong; "0 errors" says that nothing did. It is
# one expression, as RE2 looks at each byte once for it, and once for each of several.
ERROR_PATTERN = (
    r"\b(?:ERROR|FATAL|FAILED|FAILURE|PANIC|CRITICAL|Traceback|Failed|Fatal|Panic|"
    r"[A-Za-z]*(?:Error|Exception))\b|\b(?:error|fatal|panic):|[Ss]egmentation fault"
)
# No letter of it is outside of ASCII: so it does not matter what such bytes stand for.
_AS_ASCII = bytes(range(128)) + b"?" * 128


@dataclass(frozen=True, slots=True)
class LogIndex:
    """Where lines are in one log, which is known by its size and ETag (without quotes).

    `points` are (offset in bytes, newlines before it), a mebibyte apart; `errors` are (offset,
    newlines before it) of lines that tell of an error, the first thousand of them. Behind the
    first `searched_bytes` nobody has looked for errors.
    """

    size_bytes: int
    etag: str
    line_count: int
    points: list[tuple[int, int]] = field(default_factory=list)
    errors: list[tuple[int, int]] = field(default_factory=list)
    searched_bytes: int = 0

    def point_before(self, offset: int) -> tuple[int, int]:
        """Return the last point at or before an offset."""
        at = bisect_right(self.points, offset, key=lambda point: point[0])
        return self.points[at - 1] if at else (0, 0)

    def point_before_line(self, line: int) -> tuple[int, int]:
        """Return the last point before the newline behind which a line begins."""
        at = bisect_left(self.points, line, key=lambda point: point[1])
        return self.points[at - 1] if at else (0, 0)

    def to_bytes(self) -> bytes:
        """Return the index as it is stored: JSON, packed."""
        record = {
            "version": INDEX_VERSION,
            "size_bytes": self.size_bytes,
            "etag": self.etag,
            "line_count": self.line_count,
            "points": [{"offset": offset, "line": line} for offset, line in self.points],
            "errors": [{"offset": offset, "line": line} for offset, line in self.errors],
            "searched_bytes": self.searched_bytes,
        }
        return gzip.compress(json.dumps(record, separators=(",", ":")).encode(), mtime=0)


def max_index_bytes(log_size_bytes: int) -> int:
    """Return how large the index of a log can be: anybody may have stored another one."""
    return _ENTRY_BYTES * (MAX_ERROR_LINES + log_size_bytes // POINT_BYTES + 16)


def parse_index(content: bytes, log_size_bytes: int, etag: str) -> LogIndex | None:
    """Return a stored index, or None for what is none of this version or of this log."""
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        plain = unpacker.decompress(content, max_index_bytes(log_size_bytes))
        record = parse_json(plain)
        known = record["version"], record["size_bytes"], record["etag"]
        if known != (INDEX_VERSION, log_size_bytes, etag) or not unpacker.eof:
            return None
        count = _checked(record["line_count"], log_size_bytes)
        points, errors = (_pairs(record[name], log_size_bytes) for name in ("points", "errors"))
        searched = _checked(record.get("searched_bytes", log_size_bytes), log_size_bytes)
        return LogIndex(log_size_bytes, etag, count, points, errors, searched)
    except (zlib.error, ValueError, KeyError, TypeError):
        return None


def index_log(blocks: Iterable[bytes | memoryview], etag: str) -> LogIndex:
    """Compute the index of a log from its bytes."""
    indexer = LogIndexer()
    for block in blocks:
        indexer.add(bytes(block))
    return indexer.finish(etag)


class LogIndexer:
    """Computes the index of a log from its bytes, which pass by once, and keeps the last ones.

    With `most_searched_bytes`, errors are looked for about so far and no further.
    """

    def __init__(self, most_searched_bytes: int | None = None) -> None:
        self.tail = b""
        self.size_bytes = 0
        self._lines = 0
        self._points: list[tuple[int, int]] = []
        self._errors: list[tuple[int, int]] = []
        self._pattern = LinePattern([ERROR_PATTERN])
        self._most_searched = sys.maxsize if most_searched_bytes is None else most_searched_bytes
        # What is behind the last newline, and where it and its line begin.
        self._held = bytearray()
        self._searched = 0, 0

    def add(self, block: bytes | bytearray, size_bytes: int | None = None) -> None:
        """Take the next bytes: the block, or the first so many bytes of a buffer."""
        size = len(block) if size_bytes is None else size_bytes
        self.tail = (self.tail + block[max(0, size - TAIL_BYTES) : size])[-TAIL_BYTES:]
        for at in range(0, size, _STEP_BYTES):
            end = min(size, at + _STEP_BYTES)
            self._count(block, at, end)
            if len(self._errors) < MAX_ERROR_LINES and self._searched[0] < self._most_searched:
                self._add_lines(bytes(block[at:end]))

    def finish(self, etag: str) -> LogIndex:
        """Return the index of what has passed by, the content that the ETag stands for."""
        if self._searched[0] + len(self._held) == self.size_bytes:
            # It was searched to its end.
            self._search(bytes(self._held))
            self._held.clear()
        errors, searched = self._errors[:MAX_ERROR_LINES], self._searched[0]
        return LogIndex(self.size_bytes, etag, self._lines, self._points, errors, searched)

    def _count(self, block: bytes | bytearray, at: int, end: int) -> None:
        while at < end:
            if self.size_bytes % POINT_BYTES == 0:
                self._points.append((self.size_bytes, self._lines))
            stop = min(end, at + POINT_BYTES - self.size_bytes % POINT_BYTES)
            self._lines += block.count(b"\n", at, stop)
            self.size_bytes += stop - at
            at = stop

    def _add_lines(self, block: bytes) -> None:
        end = block.rfind(b"\n") + 1
        if end == 0 and len(self._held) + len(block) > MAX_LINE_BYTES:
            end = len(block)
        if end:
            self._search(bytes(self._held) + block[:end])
            self._held.clear()
        self._held += block[end:]

    def _search(self, lines: bytes) -> None:
        offset, line = self._searched
        counted = 0
        text = lines if lines.isascii() else lines.translate(_AS_ASCII)
        for start, _ in self._pattern.spans(text):
            line += lines.count(b"\n", counted, start)
            counted = start
            self._errors.append((offset + start, line))
        self._searched = offset + len(lines), line + lines.count(b"\n", counted)


def _pairs(entries: list[dict[str, Any]], most: int) -> list[tuple[int, int]]:
    pairs = [(_checked(one["offset"], most), _checked(one["line"], most)) for one in entries]
    if pairs != sorted(pairs):
        raise ValueError("they are not in order")
    return pairs


def _checked(number: Any, most: int) -> int:
    if type(number) is not int or not 0 <= number <= most:
        raise ValueError("not a place in the log")
    return number
