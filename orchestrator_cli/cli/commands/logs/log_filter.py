"""What is shown of a log: all of it, the lines that match, with numbers, with a prefix."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

# What searches is imported where something is searched: most logs are printed as they are.
if TYPE_CHECKING:
    from orchestrator_cli.core.executions.logs.line_pattern import LinePattern
    from orchestrator_cli.core.executions.logs.search import Context, LogLine

Blocks = Iterable[bytes | memoryview]
_GROUP_BORDER = b"--\n"


@dataclass(eq=False, repr=False)
class LogFilter:
    """Turns the bytes of a log into the output that the options ask for.

    `last` is how many lines of what is found are shown, and `first_number` the number of the first
    line that is there. `has_match` says afterwards whether any line of any log matched.
    """

    pattern: LinePattern | None = None
    context: Context | None = None
    count: bool = False
    numbers: bool = False
    last: int | None = None
    without_ansi: bool = False
    first_number: int = 1
    has_match: bool = False

    @property
    def needs_all_lines(self) -> bool:
        """Whether the log is read from its beginning even where only its end is shown."""
        return self.pattern is not None or self.numbers

    def render(self, blocks: Blocks, prefix: str = "") -> Iterator[bytes | memoryview]:
        """Yield the output for one log; each line begins with the prefix."""
        shown: Blocks = blocks
        if self.pattern is not None and self.count:
            shown = self._count(blocks, self.pattern)
        elif self.needs_all_lines:
            shown = self._lines(blocks)
        if self.without_ansi:
            from orchestrator_cli.core.executions.logs.ansi import strip_ansi

            shown = strip_ansi(shown)
        if prefix:
            shown = _prefixed(shown, prefix.encode())
        yield from shown

    def _count(self, blocks: Blocks, pattern: LinePattern) -> Iterator[bytes]:
        from orchestrator_cli.core.executions.logs.search import count_matches

        count = count_matches(blocks, pattern)
        self.has_match = self.has_match or count > 0
        yield b"%d\n" % count

    def _lines(self, blocks: Blocks) -> Iterator[bytes]:
        from orchestrator_cli.core.executions.logs.line_pattern import LinePattern
        from orchestrator_cli.core.executions.logs.search import Context, search_log

        pattern = self.pattern or LinePattern([""])
        context = self.context or Context()
        first_number = self.first_number if self.numbers else None
        found = self._noting_matches(search_log(blocks, pattern, context, first_number))
        if self.last is not None:
            end = deque(chain.from_iterable(found), maxlen=self.last)
            if end:
                end[0] = end[0]._replace(follows_gap=False)
            found = iter([list(end)])
        for lines in found:
            yield b"".join(map(self._line, lines))

    def _noting_matches(self, found: Iterator[list[LogLine]]) -> Iterator[list[LogLine]]:
        for lines in found:
            self.has_match = True
            yield lines

    def _line(self, line: LogLine) -> bytes:
        border = _GROUP_BORDER if line.follows_gap else b""
        number = b"%d%c" % (line.number, b":" if line.is_match else b"-") if self.numbers else b""
        return border + number + line.text + (b"" if line.text.endswith(b"\n") else b"\n")


def _prefixed(blocks: Blocks, prefix: bytes) -> Iterator[bytes]:
    from orchestrator_cli.core.executions.logs.search import whole_lines

    for block in whole_lines(blocks):
        lines = block.removesuffix(b"\n")
        yield prefix + lines.replace(b"\n", b"\n" + prefix) + b"\n"
