"""The table of executions: a row each, with as many columns as there is room for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from orchestrator_cli.cli.output.colors_and_links import console_url
from orchestrator_cli.cli.output.standard_output import Output
from orchestrator_cli.cli.output.table import Column, Table
from orchestrator_cli.cli.output.units import human_duration, human_size
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.record.metadata import ArtifactStatus
from orchestrator_cli.core.live.state import Liveness

if TYPE_CHECKING:
    from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata

# What stands after the result of an execution that is not whole: ARTIFACTS seldom has room.
_MARKS = {ArtifactStatus.ARTIFACT_ERROR: " !", ArtifactStatus.PENDING: " …"}


class _Row(NamedTuple):
    item: ExecutionMetadata
    started: str
    result: str


# Each column, and what it shows of a row.
_COLUMNS: tuple[tuple[Column, Callable[[_Row], str]], ...] = (
    (Column("EXECUTION", links=True), lambda row: row.item.execution_id),
    (Column("STARTED", rank=2), lambda row: row.started),
    (Column("RESULT", rank=1), lambda row: row.result),
    (Column("ARTIFACTS", rank=5), lambda row: str(row.item.artifact_status)),
    (Column("FILES", right=True, rank=6), lambda row: _files(row.item)),
    (Column("SIZE", right=True, rank=7), lambda row: _size(row.item)),
    (Column("SUITE", rank=3, cut=True, least=12), lambda row: _text(row.item.test_suite)),
    (Column("DURATION", right=True, rank=4), lambda row: _duration(row.item)),
    (Column("BENCH", rank=8, cut=True, least=8), lambda row: _text(row.item.bench_id)),
    (Column("LABELS", rank=9, cut=True, least=12), lambda row: _labels(row.item)),
)


class ExecutionTable(Table):
    """Prints executions as they come, under a header where that is a terminal.

    `console_bucket` is the bucket that each leads to in AWS's console; None for no links.
    """

    def __init__(self, output: Output, console_bucket: str | None = None) -> None:
        super().__init__(output, [column for column, _ in _COLUMNS])
        self._output = output
        self._console_bucket = console_bucket

    def add(self, item: ExecutionMetadata, liveness: str | None = None) -> None:
        """Print an execution; `liveness` says whether the writer of a running one is there."""
        link = None
        if self._console_bucket is not None:
            from orchestrator_cli.core.executions.keys import execution_prefix

            link = console_url(self._console_bucket, execution_prefix(item.execution_id))
        result = result_word(item, liveness)
        mark = _mark(item) if self._output.is_terminal else ""
        row = _Row(item, self._output.time(item.started_at), result + mark)
        self.row(*(cell(row) for _, cell in _COLUMNS), result=result, link=link)


def result_word(item: ExecutionMetadata, liveness: str | None) -> str:
    """Return the result of an execution, or that it is running, or that its writer is lost."""
    is_lost = liveness == Liveness.LOST
    return str(item.result or (liveness if is_lost else item.status))


def _mark(item: ExecutionMetadata) -> str:
    # One that is running is pending anyway.
    is_expected = item.artifact_status is ArtifactStatus.PENDING and item.result is None
    return "" if is_expected else _MARKS.get(item.artifact_status, "")


# An execution has no file count and no size before it is finished.
def _files(item: ExecutionMetadata) -> str:
    return f"{item.artifact_count:,}" if item.result is not None else "-"


def _size(item: ExecutionMetadata) -> str:
    return human_size(item.artifact_bytes) if item.result is not None else "-"


def _duration(item: ExecutionMetadata) -> str:
    return human_duration(
        item.ended_at - item.started_at if item.ended_at and item.started_at else None
    )


def _labels(item: ExecutionMetadata) -> str:
    return _text(",".join(f"{key}={value}" for key, value in sorted(item.labels.items())))


def _text(text: str | None) -> str:
    return printable(text or "-")
