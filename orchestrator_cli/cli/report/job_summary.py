"""The summary of an execution for a CI job: how it ended, and which files are not stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator_cli.cli.app import App
from orchestrator_cli.cli.output.units import human_duration, human_size

if TYPE_CHECKING:
    from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata
    from orchestrator_cli.core.transfer.upload.uploader import UploadSummary
    from orchestrator_cli.runner.run_record import RunEnd, RunOutcome
    from orchestrator_cli.runner.spool_log import SpooledRun

_EXECUTION = ("execution", "suite", "result", "duration", "files", "size")


def summarize_execution(app: App, item: ExecutionMetadata) -> None:
    """Add a finished execution, and its files that could not be stored."""
    lasted = item.ended_at - item.started_at if item.ended_at and item.started_at else None
    row = (
        item.execution_id,
        item.test_suite or "-",
        str(item.result),
        human_duration(lasted),
        f"{item.artifact_count:,}",
        human_size(item.artifact_bytes),
    )
    app.messages.summarize(_EXECUTION, [row], app.pages.url_or_warn(item.execution_id))
    failures = [(failure.path, failure.error) for failure in item.failures]
    app.messages.summarize(("not stored", "why"), failures)


def summarize_run(app: App, run: SpooledRun, end: RunEnd, outcome: RunOutcome) -> None:
    """Add a run: how its command ended, and whether its output is stored."""
    suite = run.start.declared.get("test_suite") or "-"
    stored = outcome.summary if outcome.stored else f"not all: {outcome.summary}"
    execution_id = run.start.execution_id
    row = (execution_id, suite, outcome.result or end.result, end.summary, stored)
    titles = ("execution", "suite", "result", "how it ended", "stored")
    app.messages.summarize(titles, [row], app.pages.url_or_warn(execution_id))


def summarize_failures(app: App, summary: UploadSummary) -> None:
    """Add the files that an upload could not store."""
    failures = [
        (failure.source, failure.error.message if failure.error else "")
        for failure in summary.failures
    ]
    app.messages.summarize(("not stored", "why"), failures)
