"""Lines and escape sequences of logs, as bytes: a log need not be text in any encoding."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator

# A line longer than this is searched in pieces, so that memory stays bounded.
MAX_LINE_BYTES = 16 * 1024 * 1024

# The longest string or run that is recognised; it bounds what is held back at a block's end.
_MOST = 4096

# ECMA-48: control sequences, strings (OSC, DCS, …) to their terminator, escapes of two bytes and
# more. An ESC that begins none of them goes alone, so that what is left cannot become a sequence.
_ESCAPE = re.compile(
    rb"\x1b(?:\[[0-?]{0,%d}[ -/]{0,%d}[@-~]"
    rb"|[\]PX^_][^\x07\x1b]{0,%d}(?:\x07|\x1b\\)"
    rb"|[ -/]{0,%d}[0-~])?" % (_MOST, _MOST, _MOST, _MOST)
)
# The same as far as the end of the data, where more could follow.
_UNFINISHED = re.compile(
    rb"\x1b(?:\[[0-?]{0,%d}[ -/]{0,%d}"
    rb"|[\]PX^_][^\x07\x1b]{0,%d}\x1b?"
    rb"|[ -/]{0,%d})\Z" % (_MOST, _MOST, _MOST, _MOST)
)
_LONGEST_UNFINISHED = 2 * _MOST + 2


def strip_escapes(blocks: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """Yield the bytes without escape sequences, also where one is cut by a block's end."""
    held = b""
    for block in blocks:
        data = held + bytes(block)
        cut = _unfinished_escape(data)
        held = data[cut:]
        yield _ESCAPE.sub(b"", data[:cut])
    if held:
        yield _ESCAPE.sub(b"", held)


def _unfinished_escape(data: bytes) -> int:
    """Return where an escape sequence begins that the data may not hold whole, or its length."""
    match = _UNFINISHED.search(data, max(0, len(data) - _LONGEST_UNFINISHED))
    return match.start() if match else len(data)


class LineReader:
    """The lines of a log; the newline belongs to its line, the last may have none."""

    def __init__(self, blocks: Iterable[bytes | memoryview]) -> None:
        self._blocks = blocks

    def __iter__(self) -> Iterator[bytes]:
        rest = bytearray()
        for block in self._blocks:
            rest += block
            end = rest.rfind(b"\n") + 1
            if end == 0 and len(rest) > MAX_LINE_BYTES:
                end = len(rest)
            yield from _split(bytes(rest[:end]))
            del rest[:end]
        if rest:
            yield bytes(rest)

    def matching(self, pattern: re.Pattern[bytes], last: int | None = None) -> Iterator[bytes]:
        """Yield the lines that match; only the last of them where `last` is given."""
        found = (line for line in self if pattern.search(line))
        return found if last is None else iter(deque(found, maxlen=last))


def _split(data: bytes) -> Iterator[bytes]:
    # Not splitlines: it also splits at a lone carriage return, as progress bars write.
    start = 0
    while start < len(data):
        end = data.find(b"\n", start) + 1 or len(data)
        yield data[start:end]
        start = end
