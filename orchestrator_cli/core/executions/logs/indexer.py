"""Compute the index of a log from its bytes."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from orchestrator_cli.core.executions.logs.index import (
    MAX_ERROR_LINES,
    POINT_BYTES,
    TAIL_BYTES,
    LogIndex,
)
from orchestrator_cli.core.executions.logs.line_pattern import LinePattern
from orchestrator_cli.core.executions.logs.search import MAX_LINE_BYTES

# What is looked at twice stays in the processor's cache.
_STEP_BYTES = 64 * 1024
# Words by which programs say that something went wrong; "0 errors" says that nothing did. It is
# one expression, as RE2 looks at each byte once for it, and once for each of several.
ERROR_PATTERN = (
    r"\b(?:ERROR|FATAL|FAILED|FAILURE|PANIC|CRITICAL|Traceback|Failed|Fatal|Panic|"
    r"[A-Za-z]*(?:Error|Exception))\b|\b(?:error|fatal|panic):|[Ss]egmentation fault"
)
# No letter of it is outside of ASCII: so it does not matter what such bytes stand for.
_AS_ASCII = bytes(range(128)) + b"?" * 128


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
