"""Escape sequences in logs, as bytes: a log need not be text in any encoding."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

# The longest string or run that is recognised; it bounds what is held back at a block's end.
_MOST = 4096

# ECMA-48: control sequences, strings (OSC, DCS, …) to their terminator, escapes of two bytes and
# more; each ends on the line where it begins. An ESC that begins none of them goes alone, so that
# what is left cannot become a sequence.
ESCAPE = re.compile(
    rb"\x1b(?:\[[0-?]{0,%d}[ -/]{0,%d}[@-~]"
    rb"|[\]PX^_][^\x07\x1b\n]{0,%d}(?:\x07|\x1b\\)"
    rb"|[ -/]{0,%d}[0-~])?" % (_MOST, _MOST, _MOST, _MOST)
)
# The same as far as the end of the data, where more could follow.
_UNFINISHED = re.compile(
    rb"\x1b(?:\[[0-?]{0,%d}[ -/]{0,%d}"
    rb"|[\]PX^_][^\x07\x1b\n]{0,%d}\x1b?"
    rb"|[ -/]{0,%d})\Z" % (_MOST, _MOST, _MOST, _MOST)
)
_LONGEST_UNFINISHED = 2 * _MOST + 2


def strip_ansi(blocks: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """Yield the bytes without escape sequences, also where one is cut by a block's end."""
    held = b""
    for block in blocks:
        data = held + bytes(block)
        cut = _unfinished_escape(data)
        held = data[cut:]
        yield ESCAPE.sub(b"", data[:cut])
    if held:
        yield ESCAPE.sub(b"", held)


def _unfinished_escape(data: bytes) -> int:
    """Return where an escape sequence begins that the data may not hold whole, or its length."""
    match = _UNFINISHED.search(data, max(0, len(data) - _LONGEST_UNFINISHED))
    return match.start() if match else len(data)
