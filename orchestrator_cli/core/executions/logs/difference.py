"""Find where two logs begin to differ, ignoring times, ids and the like."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice, zip_longest
from typing import NamedTuple

from orchestrator_cli.core.executions.logs.ansi import ESCAPE
from orchestrator_cli.core.executions.logs.search import whole_lines

# Of very long lines only the beginning is compared.
_MAX_LINE_BYTES = 4096
_LINES_BEFORE, _LINES_AFTER = 5, 15
# Times, ids, addresses, paths and durations, which differ in every run.
_VARYING = re.compile(
    rb"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"
    rb"|\b\d\d:\d\d:\d\d(?:[.,]\d+)?\b"
    rb"|\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"
    rb"|\b[0-7][0-9A-HJKMNP-TV-Z]{25}\b"
    rb"|\b0x[0-9a-fA-F]+\b"
    rb"|\b(?=[0-9a-f]*\d)[0-9a-f]{7,64}\b"
    rb"|(?<![\w.])(?:/[\w.+~@-]+){2,}"
    rb"|\b\d+(?:[.,]\d+)? ?(?:ns|us|\xc2\xb5s|ms|s|sec|seconds|m|min|minutes|h)(?!\w)"
    rb"|(?<=pid[ =:])\d+|(?<=port[ =:])\d+"
)


class LineOfTwo(NamedTuple):
    """A line as it is in each of two logs, or None where a log has ended. Numbers are from 1."""

    number: int
    first: str | None
    second: str | None
    differs: bool


class LogDifference(NamedTuple):
    """The first lines that differ, with some before them; none where the logs tell the same.

    `complete` is False where only the beginning was compared.
    """

    lines: list[LineOfTwo]
    compared_lines: int
    complete: bool


def compare_logs(
    first: Iterable[bytes | memoryview],
    second: Iterable[bytes | memoryview],
    max_lines: int,
) -> LogDifference:
    """Compare two logs line by line until they differ."""
    held: deque[LineOfTwo] = deque(maxlen=_LINES_BEFORE)
    pairs = zip_longest(_lines(first), _lines(second))
    number = 0
    for number, pair in enumerate(islice(pairs, max_lines), 1):
        line = _compare(number, *pair)
        if line.differs:
            rest = enumerate(islice(pairs, _LINES_AFTER), number + 1)
            following = [_compare(at, *pair_after) for at, pair_after in rest]
            return LogDifference([*held, line, *following], number, complete=True)
        held.append(line)
    return LogDifference([], number, complete=next(pairs, None) is None)


def without_varying(line: bytes) -> bytes:
    """Return a line without times, ids and the like, which differ in every run."""
    return b" ".join(_VARYING.sub(b"*", ESCAPE.sub(b"", line)).split())


def _compare(number: int, first: bytes | None, second: bytes | None) -> LineOfTwo:
    same = first == second or (
        first is not None
        and second is not None
        and without_varying(first) == without_varying(second)
    )
    return LineOfTwo(number, _text(first), _text(second), not same)


def _text(line: bytes | None) -> str | None:
    return None if line is None else ESCAPE.sub(b"", line).decode("utf-8", "replace")


def _lines(blocks: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    for block in whole_lines(blocks):
        for line in block.splitlines():
            yield line[:_MAX_LINE_BYTES]
