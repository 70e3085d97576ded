"""The table of executions: a row each, with as many columns as there is room for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator_cli.cli.output.hyperlinks import console_url
from orchestrator_cli.cli.output.table import Column, Table
from orchestrator_cli.cli.output.terminal import Output
from orchestrator_cli.cli.output.units import human_duration, human_size
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.live.state import Liveness

if TYPE_CHECKING:
    from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata

_COLUMNS = (
    Column("EXECUTION", links=True),
    Column("STARTED", rank=2),
    Column("RESULT", rank=1),
    Column("ARTIFACTS", rank=5),
    Column("FILES", right=True, rank=6),
    Column("SIZE", right=True, rank=7),
    Column("SUITE", rank=3, cut=True, least=12),
    Column("DURATION", right=True, rank=4),
    Column("BENCH", rank=8, cut=True, least=8),
    Column("LABELS", rank=9, cut=True, least=12),
)


class ExecutionTable(Table):
    """Prints executions as they come, under a header where that is a terminal.

    `console_bucket` is the bucket that each leads to in AWS's console; None for no links.
    """

    def __init__(self, output: Output, console_bucket: str | None = None) -> None:
        super().__init__(output, _COLUMNS)
        self._output = output
        self._console_bucket = console_bucket

    def add(self, item: ExecutionMetadata, liveness: str | None = None) -> None:
        """Print an execution; `liveness` says whether the writer of a running one is there."""
        link = None
        if self._console_bucket is not None:
            from orchestrator_cli.core.executions.keys import execution_prefix

            link = console_url(self._console_bucket, execution_prefix(item.execution_id))
        result = result_word(item, liveness)
        self.row(*self._cells(item, result), result=result, link=link)

    def _cells(self, item: ExecutionMetadata, result: str) -> tuple[str, ...]:
        finished = item.result is not None
        lasted = item.ended_at - item.started_at if item.ended_at and item.started_at else None
        labels = ",".join(f"{key}={value}" for key, value in sorted(item.labels.items()))
        return (
            item.execution_id,
            self._output.time(item.started_at),
            result,
            str(item.artifact_status),
            f"{item.artifact_count:,}" if finished else "-",
            human_size(item.artifact_bytes) if finished else "-",
            printable(item.test_suite or "-"),
            human_duration(lasted),
            printable(item.bench_id or "-"),
            printable(labels or "-"),
        )


def result_word(item: ExecutionMetadata, liveness: str | None) -> str:
    """Return the result of an execution, or that it is running, or that its writer is lost."""
    is_lost = liveness == Liveness.LOST
    return str(item.result or (liveness if is_lost else item.status))
