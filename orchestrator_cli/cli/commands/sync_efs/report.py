"""Print what `sync-efs` does with each file and in each pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator_cli.cli.app import App

if TYPE_CHECKING:
    from orchestrator_cli.core.efs.events import SyncEvent, SyncSummary


class SyncReporter:
    """Prints events and totals; a watch does not repeat itself about a file."""

    _MOST = 10_000

    def __init__(self, app: App, as_json: bool) -> None:
        self._app = app
        self._as_json = as_json
        self._printed: set[tuple[str, str]] = set()

    def event(self, event: SyncEvent) -> None:
        """Print the result of a file."""
        from orchestrator_cli.core.base.text import printable

        why = event.error.message if event.error else event.detail
        if why is not None and self._is_old(event.source, why):
            return
        if self._as_json:
            self._app.output.record(_record(event))
        source = printable(event.source)
        if event.error is not None:
            self._app.messages.failure(f"{source}: {event.error.message}")
        elif event.detail is not None:
            self._app.messages.warn(f"skipped {source}: {event.detail}")
        else:
            self._app.messages.detail(f"{event.state}: {source}")

    def summary(self, summary: SyncSummary) -> None:
        """Print the totals of a pass, if it did anything or is the only one."""
        from dataclasses import asdict

        from orchestrator_cli.cli.output import human_count, human_size

        if self._as_json:
            self._app.output.record({"pass": asdict(summary)})
            return
        text = (
            f"synced {human_count(summary.executions, 'execution')}: "
            f"{summary.created:,} created, {summary.identical + summary.stored:,} stored before, "
            f"{human_size(summary.sent_bytes)} sent; {summary.deleted:,} deleted, "
            f"{human_size(summary.deleted_bytes)} freed"
        )
        waiting = f"; {summary.settling:,} still being written" if summary.settling else ""
        if not self._is_old("", text + waiting):
            self._app.messages.note(text + waiting)

    def trouble(self, error: Any) -> None:
        """Print why a pass could not be made; the same only once until one succeeds."""
        self._app.messages.warn(f"{error}; trying again")

    def _is_old(self, source: str, why: str) -> bool:
        if (source, why) in self._printed:
            return True
        if len(self._printed) >= self._MOST:
            self._printed.clear()
        self._printed.add((source, why))
        return False


def _record(event: SyncEvent) -> dict[str, Any]:
    from orchestrator_cli.cli.output import json_name

    execution = event.execution
    error = event.error
    return {
        "bench_id": execution.bench_id if execution else None,
        "execution_id": execution.execution_id if execution else None,
        "source": json_name(event.source),
        "path": event.path,
        "size_bytes": event.size_bytes,
        "sent_bytes": event.sent_bytes,
        "outcome": str(event.state),
        "error": error.message if error else event.detail,
        "exit_code": error.exit_code if error else 0,
    }
