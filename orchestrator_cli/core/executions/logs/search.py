"""Search a log as its bytes pass by: matching lines with their context, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from orchestrator_cli.core.executions.logs.line_pattern import LinePattern

# A line that is longer is searched and printed in pieces, so that memory stays bounded.
MAX_LINE_BYTES = 8 * 1024 * 1024
# What is searched at once: enough for one call of RE2 to pay, little enough for the cache.
BLOCK_BYTES = 1024 * 1024
# What is held back of the lines before, for context.
_MAX_HELD_BYTES = MAX_LINE_BYTES
_NEWLINE_STEP_BYTES = 64 * 1024


class LogLine(NamedTuple):
    """A line of a log as it is stored, or a piece of a very long one.

    `offset_bytes` is where it begins in the log, and `number` counts lines from 1; it is 0 where
    numbers were not asked for. `is_match` is False for context. `follows_gap` says that there are
    lines between this one and the one before, where context was asked for.
    """

    offset_bytes: int
    number: int
    text: bytes
    is_match: bool = True
    follows_gap: bool = False


class Context(NamedTuple):
    """How many lines are shown before and after each one that matches."""

    before: int = 0
    after: int = 0


_NO_CONTEXT = Context()


def search_log(
    blocks: Iterable[bytes | memoryview],
    pattern: LinePattern,
    context: Context = _NO_CONTEXT,
    first_number: int | None = None,
) -> Iterator[list[LogLine]]:
    """Yield what each block has of lines that match, and of their context, in order.

    Blocks may be of any size. Lines are numbered where the first one's number is given, which takes
    longer. A line over MAX_LINE_BYTES is searched in pieces, and a match that reaches from one
    piece into the next is not found.
    """
    if first_number is not None or context != _NO_CONTEXT:
        cursor = _LineCursor(context, first_number)
        found = (cursor.read(block, pattern.spans(block)) for block in whole_lines(blocks))
        yield from filter(None, found)
        return
    offset = 0
    for block in whole_lines(blocks):
        lines = [LogLine(offset + at, 0, block[at:end]) for at, end in pattern.spans(block)]
        if lines:
            yield lines
        offset += len(block)


def count_matches(blocks: Iterable[bytes | memoryview], pattern: LinePattern) -> int:
    """Return how many lines match."""
    return sum(1 for block in whole_lines(blocks) for _ in pattern.spans(block))


def whole_lines(blocks: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """Yield the same bytes in blocks that end where a line does; the last one may not.

    A line over MAX_LINE_BYTES is cut. Who owns a block may use it again once the next is asked
    for.
    """
    held = bytearray()
    for block in blocks:
        view = memoryview(block)
        for start in range(0, len(view), BLOCK_BYTES):
            piece = view[start : start + BLOCK_BYTES]
            end = _last_line_end(piece)
            if end == 0 and len(held) + len(piece) > MAX_LINE_BYTES:
                end = len(piece)
            if end:
                yield b"".join((held, piece[:end]))
                held = bytearray()
            held += piece[end:]
    if held:
        yield bytes(held)


def _last_line_end(view: memoryview) -> int:
    """Return where the last whole line of a block ends; 0 where there is none."""
    end = len(view)
    while end:
        start = max(0, end - _NEWLINE_STEP_BYTES)
        found = bytes(view[start:end]).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


class _LineCursor:
    """Makes lines with numbers and context of the spans that match, block after block.

    Positions are in `_data`: the end of the block before, as far as it may be context, and the
    block that is read. Up to `_shown` all is shown that will be; it may be before `_data`.
    """

    def __init__(self, context: Context, first_number: int | None) -> None:
        self._context = context
        self._numbered = first_number is not None
        self._data = b""
        self._offset = 0
        self._number = first_number or 0
        self._counted = 0
        self._shown = 0
        self._after_left = 0
        self._lines: list[LogLine] = []
        self._any = False

    def read(self, block: bytes, spans: Iterable[tuple[int, int]]) -> list[LogLine]:
        """Return the lines to show of the next block."""
        held = self._hold_back()
        self._data = held + block if held else block
        self._lines = []
        for start, end in spans:
            self._add_after(len(held) + start)
            self._add_match(len(held) + start, len(held) + end)
        self._add_after(len(self._data))
        return self._lines

    def _add_match(self, start: int, end: int) -> None:
        at = max(self._shown, _start_of_last_lines(self._data, start, self._context.before))
        while at < start:
            at = self._add(at, self._line_end(at, start), is_match=False)
        self._add(start, end, is_match=True)
        self._after_left = self._context.after

    def _add_after(self, limit: int) -> None:
        """Add context after the match before, which ends where the next match begins."""
        while self._after_left and self._shown < limit:
            self._add(self._shown, self._line_end(self._shown, limit), is_match=False)
            self._after_left -= 1

    def _add(self, start: int, end: int, is_match: bool) -> int:
        gap = self._any and start > self._shown and self._context != _NO_CONTEXT
        number = self._number_at(start) if self._numbered else 0
        text = self._data[start:end]
        self._lines.append(LogLine(self._offset + start, number, text, is_match, gap))
        self._any = True
        self._shown = end
        return end

    def _line_end(self, start: int, limit: int) -> int:
        return self._data.find(b"\n", start, limit) + 1 or limit

    def _number_at(self, position: int) -> int:
        self._number += self._data.count(b"\n", self._counted, position)
        self._counted = position
        return self._number

    def _hold_back(self) -> bytes:
        """Go on after the data that was read, and return the lines of it that may be context."""
        end = len(self._data)
        start = _start_of_last_lines(self._data, end, self._context.before)
        if self._numbered:
            self._number_at(end)
            self._number -= self._data.count(b"\n", start, end)
            self._counted = 0
        self._offset += start
        self._shown -= start
        return self._data[start:]


def _start_of_last_lines(data: bytes, end: int, count: int) -> int:
    """Return where the last `count` lines before `end` begin, if they are not too long to hold."""
    start, least = end, max(0, end - _MAX_HELD_BYTES)
    for _ in range(count):
        found = data.rfind(b"\n", least, max(least, start - 1)) + 1
        if found == 0 and least:
            return start
        start = found
        if start == 0:
            break
    return start
