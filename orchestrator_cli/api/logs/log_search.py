"""A search through one log in steps, so that it can be stopped between them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from orchestrator_cli.api.cores import on_every_core
from orchestrator_cli.api.logs.final_log import FinalLog
from orchestrator_cli.api.logs.log_bytes import MAX_READ_BYTES, LogSource
from orchestrator_cli.core.base.quantities import MIB
from orchestrator_cli.core.executions.logs.ansi import ESCAPE
from orchestrator_cli.core.executions.logs.error_lines import ERROR_PATTERN
from orchestrator_cli.core.executions.logs.line_pattern import LinePattern
from orchestrator_cli.core.executions.logs.search import whole_lines
from orchestrator_cli.core.transfer.download.range_reader import iter_range

# A step without hits ends after this much, to report progress.
_STEP_BYTES = 16 * MIB
_MAX_TEXT_CHARACTERS = 400


class SearchMode(StrEnum):
    """What is searched for: a text, a regular expression (RE2), or lines that show an error."""

    TEXT = "text"
    REGEX = "regex"
    ERRORS = "errors"


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """What to search for, from which offset, and how many lines to find at most."""

    text: str
    mode: SearchMode
    start: int
    limit: int
    ignore_case: bool = True

    def pattern(self) -> LinePattern:
        """Return the pattern that matches lines. Raises UsageError if it is not valid."""
        if self.mode is SearchMode.ERRORS:
            return LinePattern([ERROR_PATTERN])
        return LinePattern([self.text], self.ignore_case, literal=self.mode is SearchMode.TEXT)


class LogSearch:
    """Yields the records of one search: hits, progress, and at last whether it is complete.

    Hits have line numbers only if the search begins at the first byte of the log.
    """

    def __init__(self, log: LogSource, query: SearchQuery) -> None:
        self._pattern = query.pattern()
        first = log.read(query.start, 0)
        self._size = first.size_bytes
        self._offset = first.offset
        self._line: int | None = 0 if first.offset == 0 else None
        self._blocks = whole_lines(_blocks(log, first.offset, self._size))
        self._left = query.limit

    def step(self) -> list[dict[str, Any]]:
        """Return the next records; an empty list after the last one."""
        if self._left < 0:
            return []
        with on_every_core():
            return self._step()

    def _step(self) -> list[dict[str, Any]]:
        records: list[dict[str, Any]] = []
        first = self._offset
        for block in self._blocks:
            records += self._hits(block)
            if self._left == 0:
                return [*records, self._end(complete=False)]
            if records or self._offset - first >= _STEP_BYTES:
                return [*records, {"read": self._offset, "size": self._size}]
        return [*records, self._end(complete=True)]

    def close(self) -> None:
        """Stop reading."""
        # A generator cannot be closed while a thread still runs a step; that ends by itself.
        with contextlib.suppress(ValueError):
            self._blocks.close()  # type: ignore[attr-defined]

    def _end(self, complete: bool) -> dict[str, Any]:
        self._left = -1
        return {"complete": complete, "read": self._offset, "size": self._size}

    def _hits(self, block: bytes) -> Iterator[dict[str, Any]]:
        counted = 0
        for start, end in self._pattern.spans(block):
            if self._left == 0:
                return
            self._left -= 1
            hit = {"offset": self._offset + start, "end": self._offset + end}
            if self._line is not None:
                self._line += block.count(b"\n", counted, start)
                counted = start
                hit["line"] = self._line
            yield {**hit, "text": _plain_text(block[start:end])}
            if self._left == 0:
                self._offset += end
                return
        if self._line is not None:
            self._line += block.count(b"\n", counted)
        self._offset += len(block)


def _blocks(log: LogSource, start: int, size: int) -> Iterator[bytes | memoryview]:
    if isinstance(log, FinalLog):
        if start < size:
            yield from iter_range(log.store, log.head.key, start, size)
        return
    while start < size:
        part = log.read(start, MAX_READ_BYTES)
        if not part.data:
            return
        yield part.data
        start += len(part.data)


def _small_block_first(log: LogSource, start: int, size: int) -> Iterator[bytes | memoryview]:
    """Yield as `_blocks` does, but first a block as long as the points of an index are apart."""
    first = log.read(start, MAX_READ_BYTES).data
    yield first
    yield from _blocks(log, start + len(first), size)


def _plain_text(line: bytes) -> str:
    text = ESCAPE.sub(b"", line[: 4 * _MAX_TEXT_CHARACTERS]).decode("utf-8", "replace")
    return text.rstrip("\r\n")[:_MAX_TEXT_CHARACTERS]


def find_line(
    log: LogSource, line: int, point_before: Callable[[int], tuple[int, int]]
) -> int | None:
    """Return the offset of a line, numbered from 0; None if the log has fewer lines.

    `point_before` returns a known position at or before a line: (offset, newlines before it).
    """
    start, passed = point_before(line)
    size = log.read(start, 0).size_bytes
    if line == passed and start == 0:
        return 0
    for block in _small_block_first(log, start, size):
        content = bytes(block)
        count = content.count(b"\n")
        if passed + count < line:
            passed, start = passed + count, start + len(content)
            continue
        at = -1
        for _ in range(line - passed):
            at = content.index(b"\n", at + 1)
        found = start + at + 1
        return found if found < size else None
    return None
