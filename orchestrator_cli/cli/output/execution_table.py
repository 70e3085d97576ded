"""The table of executions: a row each, with as many columns as there is room for."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from orchestrator_cli.cli.output.terminal import Output
from orchestrator_cli.cli.output.units import human_duration, human_size
from orchestrator_cli.core.base.text import printable

if TYPE_CHECKING:
    from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata

# Title, width (negative: aligned to the right), and which columns a narrow terminal keeps longest.
_COLUMNS = (
    ("EXECUTION", 26, 0),
    ("STARTED", 20, 2),
    ("RESULT", 7, 1),
    ("ARTIFACTS", 14, 5),
    ("FILES", 6, 6),
    ("SIZE", -10, 7),
    ("SUITE", 12, 3),
    ("DURATION", -8, 4),
    ("BENCH", 12, 8),
    ("LABELS", 20, 9),
)
_GAP = 2
# These are of any length; a terminal is shown what has room.
_FREE_TEXT = ("SUITE", "BENCH", "LABELS")


class ExecutionTable:
    """Prints executions as they come, under a header where that is a terminal."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._columns = _that_fit(
            shutil.get_terminal_size().columns if output.is_terminal else None
        )
        self._begun = False

    def row(self, item: ExecutionMetadata) -> None:
        """Print an execution."""
        if not self._begun and self._output.is_terminal:
            self._print([_COLUMNS[number][0] for number in self._columns])
        self._begun = True
        cells = self._cells(item)
        self._print([cells[number] for number in self._columns], str(item.result or item.status))

    def _print(self, cells: list[str], result: str | None = None) -> None:
        columns = [_COLUMNS[number] for number in self._columns]
        if self._output.is_terminal:
            cells = [
                _cut(cell, width) if title in _FREE_TEXT else cell
                for cell, (title, width, _) in zip(cells, columns, strict=True)
            ]
        self._output.row(cells, [width for _, width, _ in columns], result)

    def _cells(self, item: ExecutionMetadata) -> tuple[str, ...]:
        finished = item.result is not None
        lasted = item.ended_at - item.started_at if item.ended_at and item.started_at else None
        labels = ",".join(f"{key}={value}" for key, value in sorted(item.labels.items()))
        return (
            item.execution_id,
            self._output.time(item.started_at),
            str(item.result or item.status),
            str(item.artifact_status),
            f"{item.artifact_count:,}" if finished else "-",
            human_size(item.artifact_bytes) if finished else "-",
            printable(item.test_suite or "-"),
            human_duration(lasted),
            printable(item.bench_id or "-"),
            printable(labels or "-"),
        )


def _that_fit(room: int | None) -> list[int]:
    """Return the numbers of the columns that have room, those that matter most before others."""
    if room is None:
        return list(range(len(_COLUMNS)))
    chosen: list[int] = []
    for number in sorted(range(len(_COLUMNS)), key=lambda one: _COLUMNS[one][2]):
        room -= abs(_COLUMNS[number][1]) + (_GAP if chosen else 0)
        if room < 0 and chosen:
            break
        chosen.append(number)
    return sorted(chosen)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "\u2026"
