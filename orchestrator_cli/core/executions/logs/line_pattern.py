"""Find the lines of a block that match a pattern, by RE2: in linear time, whatever the pattern.

A pattern sees text: UTF-8, without escape sequences and line endings. A line that is not valid
UTF-8 is searched as it is, and as Latin-1 as well.
"""

from __future__ import annotations

import codecs
import heapq
import re
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.logs.ansi import ESCAPE

# re2 has no types.
_Search = Any

# The memory for RE2's states of one pattern; beyond it RE2 starts over or gets slower.
_MAX_MEMORY_BYTES = 32 * 1024 * 1024
_MAX_FAST_ALTERNATIVES = 6
_STEP_BYTES = 1024 * 1024
# What RE2 finds by a vector search, at ten times the speed of its automaton: two characters that
# stand for themselves.
_LITERAL_START = re.compile(r"[^\\\[\](){}*+?^$|.]{2}(?![*?{])")
# Patterns that are matched line by line, since \A and \z would match only once in a block.
_ABOUT_WHOLE_TEXT = re.compile(r"\\[AzC]|\(\?[a-zA-Z]*-[a-zA-Z]*m")
_TOKEN = re.compile(r"\\Q.*?(?:\\E|\Z)|\\.|\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]|.", re.DOTALL)


class LinePattern:
    """One or more patterns; a line matches where any of them is found in it.

    As grep has it, each line of a pattern is a pattern. Raises UsageError for what RE2 does not
    understand, such as backreferences and look-around.
    """

    def __init__(
        self, patterns: Sequence[str], ignore_case: bool = False, literal: bool = False
    ) -> None:
        texts = [text for pattern in patterns for text in _without_surrogates(pattern).split("\n")]
        for text in texts:
            _compile(text, ignore_case, literal)
        self._by_line = not literal and any(map(_ABOUT_WHOLE_TEXT.search, texts))
        parts = texts if literal else [part for text in texts for part in split_alternatives(text)]
        self._searches = [_compile(part, ignore_case, literal) for part in parts]

    def spans(self, block: bytes) -> Iterator[tuple[int, int]]:
        """Yield where each line that matches begins and ends, its newline included, in order.

        The block must begin and end where lines do.
        """
        if not block:
            return
        plain = _plain(block)
        if plain is block and _is_utf8(block):
            yield from self._spans(block)
            return
        numbers = set(self._line_numbers(plain))
        if not _is_utf8(plain):
            numbers.update(self._line_numbers(_decode_latin1_lines(plain)))
        if numbers:
            ends = [0, *accumulate(len(line) + 1 for line in block.split(b"\n"))]
            for number in sorted(numbers):
                yield ends[number], min(ends[number + 1], len(block))

    def _line_numbers(self, text: bytes) -> Iterator[int]:
        number = position = 0
        for start, _ in self._spans(text):
            number += text.count(b"\n", position, start)
            position = start
            yield number

    def _spans(self, text: bytes) -> Iterator[tuple[int, int]]:
        if self._by_line:
            yield from self._spans_by_line(text)
        elif len(self._searches) == 1:
            yield from _matching_spans(self._searches[0], text)
        else:
            last = -1
            each = [_matching_spans(search, text) for search in self._searches]
            for span in heapq.merge(*each):
                if span[0] != last:
                    yield span
                last = span[0]

    def _spans_by_line(self, text: bytes) -> Iterator[tuple[int, int]]:
        start = 0
        while start < len(text):
            end = text.find(b"\n", start) + 1 or len(text)
            line = text[start:end].removesuffix(b"\n")
            if any(search.search(line) for search in self._searches):
                yield start, end
            start = end


def split_alternatives(pattern: str) -> list[str]:
    """Return the alternatives of `a|b`, where each can be searched for faster than all at once.

    That is where each begins with characters that stand for themselves; else the whole pattern.
    """
    parts, depth = [""], 0
    for token in _TOKEN.findall(pattern):
        depth += {"(": 1, ")": -1}.get(token, 0)
        if token == "|" and depth == 0:
            parts.append("")
        else:
            parts[-1] += token
    fast = all(map(_LITERAL_START.match, parts)) and "(?" not in pattern
    return parts if fast and len(parts) <= _MAX_FAST_ALTERNATIVES else [pattern]


def _compile(pattern: str, ignore_case: bool, literal: bool) -> _Search:
    # Here, because a command that searches nothing need not load it.
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEMORY_BYTES
    options.case_sensitive = not ignore_case
    # No part of a match is asked for, and none reaches from one line into the next.
    options.never_capture = True
    options.never_nl = True
    text = re2.escape(pattern) if literal else _close_quote(pattern)
    try:
        re2.compile(text, options)
        # The rest of the line belongs to the match, so that the next one is on another line.
        return re2.compile(f"(?m)(?:{text}).*", options)
    except re2.error as error:
        reason = error.args[0] if error.args else b""
        words = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise UsageError(
            f"not a regular expression that RE2 knows: {printable(pattern)[:200]}: "
            f"{printable(words)[:200]}",
            hint="RE2 has neither backreferences nor look-around, and searches in linear time; "
            "-F takes the pattern as it is",
        ) from error


def _close_quote(pattern: str) -> str:
    r"""Return the pattern with its last \Q ended, so that something can follow it."""
    *_, last = "", *_TOKEN.findall(pattern)
    return pattern + r"\E" if last.startswith(r"\Q") and not last.endswith(r"\E") else pattern


def _without_surrogates(pattern: str) -> str:
    """Return the pattern as text; bytes that are not UTF-8 are taken for Latin-1."""
    try:
        pattern.encode()
    except UnicodeEncodeError:
        return pattern.encode("utf-8", "surrogateescape").decode("latin-1")
    return pattern


def _matching_spans(search: _Search, text: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each line begins and ends in which the expression is found."""
    # A newline at the end of the text begins no further line.
    searched = memoryview(text)[: len(text) - text.endswith(b"\n")]
    line_end = 0
    for match in search.finditer(searched):
        start, end = match.span()
        if start >= line_end:
            newline = text.find(b"\n", end)
            line_end = (len(text) if newline < 0 else newline) + 1
            yield text.rfind(b"\n", 0, start) + 1, min(line_end, len(text))


def _plain(block: bytes) -> bytes:
    """Return the text without escape sequences and carriage returns at the end of lines."""
    if b"\x1b" in block:
        block = ESCAPE.sub(b"", block)
    # One character is looked for ten times as fast as two.
    return block.replace(b"\r\n", b"\n") if b"\r" in block else block


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        # In steps, because text takes up to four times the memory of its bytes.
        for start in range(0, len(data), _STEP_BYTES):
            decoder.decode(data[start : start + _STEP_BYTES])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _decode_latin1_lines(text: bytes) -> bytes:
    """Return the text as UTF-8: lines that are not are taken for Latin-1."""
    lines = text.split(b"\n")
    return b"\n".join(line if _is_utf8(line) else line.decode("latin-1").encode() for line in lines)
