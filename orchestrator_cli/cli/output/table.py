"""A table: laid out by rich to fit a terminal, tabs without padding in a pipe."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from orchestrator_cli.cli.configuration.environment import terminal_columns
from orchestrator_cli.cli.output.standard_output import RESULT_STYLES, Output

if TYPE_CHECKING:
    from rich.text import Text

_GAP = 2
_TRAILING = re.compile(r" +((?:\x1b\[0m)?) *$")
# How many rows are awaited before they are laid out; later ones get the same columns.
_ROWS_AT_ONCE = 50


class Column(NamedTuple):
    """A column, and how it gives way on a narrow terminal.

    Those of a higher `rank` are left out first; rank 0 is always shown. Text of any length may be
    `cut`, or wrapped inside the column, down to a width of `least`; a word that does not fit is
    left to the terminal to wrap, so that it can be copied. `width` is what a column has whose rows
    are shown as they come.
    """

    title: str
    right: bool = False
    rank: int = 0
    cut: bool = False
    wrap: bool = False
    least: int = 0
    width: int = 0
    links: bool = False


class _Row(NamedTuple):
    cells: tuple[str, ...]
    result: str | None
    link: str | None


class Table:
    """Prints rows; the longest table takes no more memory than its first rows.

    Cells from outside must be `printable` already.
    """

    def __init__(
        self,
        output: Output,
        columns: Sequence[Column],
        *,
        header: bool = True,
        live: bool = False,
        gap: int = _GAP,
    ) -> None:
        """A `live` table shows each row at once; all its columns but the last have a width."""
        self._output = output
        self._columns = columns
        self._header = header
        self._gap = gap
        self._rows_at_once = 1 if live else _ROWS_AT_ONCE
        self._waiting: list[_Row] = []
        # The number and the width of each column that is shown, once that is known.
        self._layout: list[tuple[int, int]] = []

    def row(self, *cells: str, result: str | None = None, link: str | None = None) -> None:
        """Add a row. `result` chooses a colour; `link` is where a cell leads that `links`."""
        if not self._output.is_terminal:
            self._output.line(self._output.styled("\t".join(cells), result))
            return
        self._waiting.append(_Row(cells, result, link))
        if len(self._waiting) >= self._rows_at_once:
            self.flush()

    def flush(self) -> None:
        """Print the rows that wait to be laid out."""
        if not self._waiting:
            return
        if not self._layout:
            room = terminal_columns()
            self._layout = self._fit(room)
            if self._header:
                self._print([_Row(tuple(column.title for column in self._columns), None, None)])
        self._print(self._waiting)
        self._waiting = []

    def _fit(self, room: int) -> list[tuple[int, int]]:
        wanted = [self._wanted_width(number) for number in range(len(self._columns))]
        shown = self._chosen(wanted, room)
        widths = {number: wanted[number] for number in shown}
        excess = sum(widths.values()) + self._gap * (len(shown) - 1) - room
        # What may be narrower gives way, the widest first.
        for number in sorted(shown, key=lambda one: -widths[one]):
            spare = widths[number] - self._least_width(number, wanted)
            given = max(0, min(excess, spare))
            widths[number] -= given
            excess -= given
        return list(widths.items())

    def _chosen(self, wanted: list[int], room: int) -> list[int]:
        """Return the numbers of the columns that have room, the most important first."""
        chosen: list[int] = []
        for number in sorted(range(len(wanted)), key=lambda one: self._columns[one].rank):
            room -= self._least_width(number, wanted) + (self._gap if chosen else 0)
            if room < 0 and self._columns[number].rank:
                break
            chosen.append(number)
        return sorted(chosen)

    def _wanted_width(self, number: int) -> int:
        from rich.cells import cell_len

        column = self._columns[number]
        title = len(column.title) if self._header else 0
        cells = max(cell_len(row.cells[number]) for row in self._waiting)
        return max(1, title, column.width, cells)

    def _least_width(self, number: int, wanted: list[int]) -> int:
        column = self._columns[number]
        if not (column.cut or column.wrap):
            return wanted[number]
        title = len(column.title) if self._header else 1
        return min(wanted[number], max(title, column.least))

    def _print(self, rows: Sequence[_Row]) -> None:
        for widths, alike in groupby(rows, self._widths):
            self._draw(list(alike), widths)

    def _widths(self, row: _Row) -> list[int]:
        """Return the widths of a row: a word that does not fit has the room it needs."""
        from rich.cells import cell_len

        widths = []
        for number, width in self._layout:
            words = row.cells[number].split() if self._columns[number].wrap else ()
            widths.append(max(width, *map(cell_len, words), 0))
        return widths

    def _draw(self, rows: Sequence[_Row], widths: Sequence[int]) -> None:
        from rich.table import Table as Grid

        grid = Grid(box=None, show_header=False, padding=(0, self._gap, 0, 0), pad_edge=False)
        for (number, _), width in zip(self._layout, widths, strict=True):
            column = self._columns[number]
            grid.add_column(
                width=width,
                no_wrap=not column.wrap,
                overflow="fold" if column.wrap else "ellipsis",
                justify="right" if column.right else "left",
            )
        for row in rows:
            grid.add_row(*self._styled(row))
        for line in self._output.draw(grid, sum(widths) + self._gap * len(widths)).splitlines():
            # Spaces that fill the last column, before or after the end of its colour.
            self._output.line(_TRAILING.sub(r"\1", line))

    def _styled(self, row: _Row) -> Iterator[Text]:
        from textwrap import fill

        from rich.style import Style
        from rich.text import Text

        color = RESULT_STYLES.get(row.result or "")
        for number, width in self._layout:
            style = Style.parse(color) if color else Style.null()
            if self._columns[number].links and row.link and self._output.can_link:
                style += Style(link=row.link)
            cell = row.cells[number]
            if self._columns[number].wrap:
                cell = fill(cell, width, break_long_words=False, break_on_hyphens=False)
            yield Text(cell, style)


@contextmanager
def table(
    output: Output, *columns: Column, header: bool = True, live: bool = False, gap: int = _GAP
) -> Iterator[Table]:
    """Yield a table; its rows are printed even if the block fails."""
    made = Table(output, columns, header=header, live=live, gap=gap)
    try:
        yield made
    finally:
        made.flush()
