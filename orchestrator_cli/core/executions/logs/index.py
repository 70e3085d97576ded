"""The index of a log, by which a part of it is found without reading it all."""

from __future__ import annotations

import zlib
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import Any

from orchestrator_cli.core.base.foreign_json import parse_json
from orchestrator_cli.core.base.quantities import MIB

INDEX_VERSION = 1
POINT_BYTES = MIB
MAX_ERROR_LINES = 1000
TAIL_BYTES = 64 * 1024
# The last moment that is written in four digits of a year.
_LATEST_MS = 253_402_300_799_999
# The most bytes that a point or a line takes in an index.
_ENTRY_BYTES = 80


@dataclass(frozen=True, slots=True)
class LogIndex:
    """Where lines are in one log, which is known by its size and ETag (without quotes).

    `points` are (offset in bytes, newlines before it), a mebibyte apart; `errors` are (offset,
    newlines before it) of lines that tell of an error, the first thousand of them. Beyond the
    first `searched_bytes` nobody has looked for errors. `times_ms` is when the byte at each point
    arrived, in milliseconds since 1970, or empty where nobody saw it arrive.
    """

    size_bytes: int
    etag: str
    line_count: int
    points: list[tuple[int, int]] = field(default_factory=list)
    errors: list[tuple[int, int]] = field(default_factory=list)
    searched_bytes: int = 0
    times_ms: list[int] = field(default_factory=list)

    def point_before(self, offset: int) -> tuple[int, int]:
        """Return the last point at or before an offset."""
        at = bisect_right(self.points, offset, key=lambda point: point[0])
        return self.points[at - 1] if at else (0, 0)

    def point_before_line(self, line: int) -> tuple[int, int]:
        """Return the last point before the newline after which a line begins."""
        at = bisect_left(self.points, line, key=lambda point: point[1])
        return self.points[at - 1] if at else (0, 0)

    def time_ms_before(self, offset: int) -> int | None:
        """Return when the last point at or before an offset arrived; None where nobody knows."""
        at = bisect_right(self.points, offset, key=lambda point: point[0])
        return self.times_ms[at - 1] if at and self.times_ms else None

    def to_bytes(self) -> bytes:
        """Return the index as it is stored: JSON, packed."""
        record = {
            "version": INDEX_VERSION,
            "size_bytes": self.size_bytes,
            "etag": self.etag,
            "line_count": self.line_count,
            "points": [
                {"offset": offset, "line": line} | time
                for (offset, line), time in zip(self.points, self._times(), strict=True)
            ],
            "errors": [{"offset": offset, "line": line} for offset, line in self.errors],
            "searched_bytes": self.searched_bytes,
        }
        import gzip
        import json

        return gzip.compress(json.dumps(record, separators=(",", ":")).encode(), mtime=0)

    def _times(self) -> list[dict[str, int]]:
        known: list[dict[str, int]] = [{"time_ms": time_ms} for time_ms in self.times_ms]
        return known or [{} for _ in self.points]


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
        times = _times_ms(record["points"])
        return LogIndex(log_size_bytes, etag, count, points, errors, searched, times)
    except (zlib.error, ValueError, KeyError, TypeError):
        return None


def _pairs(entries: list[dict[str, Any]], most: int) -> list[tuple[int, int]]:
    pairs = [(_checked(one["offset"], most), _checked(one["line"], most)) for one in entries]
    if pairs != sorted(pairs):
        raise ValueError("they are not in order")
    return pairs


def _times_ms(points: list[dict[str, Any]]) -> list[int]:
    """Return when points arrived; an index of an earlier version does not tell."""
    times = [_checked(one["time_ms"], _LATEST_MS) for one in points if "time_ms" in one]
    return times if len(times) == len(points) else []


def _checked(number: Any, most: int) -> int:
    if type(number) is not int or not 0 <= number <= most:
        raise ValueError("not a place in the log")
    return number
