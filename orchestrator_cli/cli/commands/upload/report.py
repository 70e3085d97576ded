"""Print the result of each file of an `upload`, and its totals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator_cli.cli.report.job_summary import summarize_failures
from orchestrator_cli.core.base.text import printable

if TYPE_CHECKING:
    from orchestrator_cli.cli.app import App
    from orchestrator_cli.core.s3.types import UploadResult
    from orchestrator_cli.core.transfer.upload.uploader import UploadSummary


def report_result(app: App, result: UploadResult, as_json: bool) -> None:
    """Print the result of a file."""
    outcome = _outcome(result)
    if as_json:
        app.output.record(_record(result, outcome))
    if outcome == "skipped":
        app.messages.warn(f"skipped {printable(result.source)}: {result.skip_reason}")
    elif result.error is not None:
        from orchestrator_cli.cli.output import human_error

        source = f"{printable(result.source)}: "
        app.messages.failure(source + human_error(result.error).removeprefix(source))
    else:
        app.messages.detail(f"{outcome}: {printable(result.path)}")


def _outcome(result: UploadResult) -> str:
    if result.outcome is not None:
        return str(result.outcome)
    return "failed" if result.error else "skipped"


def _record(result: UploadResult, outcome: str | None) -> dict[str, Any]:
    from orchestrator_cli.cli.output import json_name

    error = result.error
    return {
        "source": json_name(result.source),
        "path": result.path,
        "key": result.key,
        "size_bytes": result.size_bytes,
        "outcome": outcome,
        "resumed_bytes": result.resumed_bytes,
        "sent_bytes": result.sent_bytes,
        "checksum": str(result.checksum) if result.checksum else None,
        "error": error.message if error else result.skip_reason,
        "exit_code": error.exit_code if error else 0,
        "retry_may_help": error is not None and error.retry_may_help,
    }


def show_destination(app: App, result: UploadResult, as_json: bool) -> None:
    """Print where a file would go."""
    from orchestrator_cli.core.executions.content_type import content_type_of
    from orchestrator_cli.core.s3.types import PutOutcome

    if result.key is None or result.error is not None:
        report_result(app, result, as_json)
    elif as_json:
        content_type = content_type_of(result.path or "")
        outcome = str(result.outcome) if result.outcome else None
        app.output.record({**_record(result, outcome), "content_type": content_type})
    else:
        stored = " (identical)" if result.outcome is PutOutcome.IDENTICAL else ""
        app.output.line(f"{printable(result.source)} -> {printable(result.key)}{stored}")


def report_end(app: App, summary: UploadSummary, execution_id: str, if_no_files: str) -> None:
    """Print the totals. Raises the failure of the whole upload."""
    from orchestrator_cli.cli.output import human_count, human_size
    from orchestrator_cli.core.base.errors import NotFoundError

    error = summary.error()
    summarize_failures(app, summary)
    if error is not None:
        raise error
    if not summary.stored:
        if if_no_files == "error":
            raise NotFoundError(
                "no files found", hint="--if-no-files-found warn makes that a success"
            )
        if if_no_files == "warn":
            app.messages.warn("no files found")
        return
    resumed = f", {human_size(summary.resumed_bytes)} resumed" if summary.resumed_bytes else ""
    sent = f"; {human_size(summary.sent_bytes)} sent{resumed}" if not summary.is_preview else ""
    app.messages.note(
        f"{'would upload' if summary.is_preview else 'uploaded'} to {execution_id}: "
        f"{human_count(summary.stored, 'file')}, {human_size(summary.stored_bytes)}: "
        f"{summary.created:,} created, {summary.identical:,} identical{sent}"
    )
    if not summary.is_preview:
        app.pages.note(execution_id)
