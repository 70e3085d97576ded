"""What a pass of `sync-efs` would do, as far as S3 need not be asked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from orchestrator_cli.cli.app import App
from orchestrator_cli.cli.commands.sync_efs.options import SyncOptions
from orchestrator_cli.cli.commands.sync_efs.report import SyncReporter

if TYPE_CHECKING:
    from orchestrator_cli.core.efs.tree import BenchExecution
    from orchestrator_cli.core.transfer.upload.plan import PlannedFile


def list_sizes(options: SyncOptions, now: datetime) -> Iterator[int]:
    """Yield the sizes of what a pass may store, as far as that is known without S3."""
    from orchestrator_cli.core.efs.events import SyncEvent
    from orchestrator_cli.core.efs.planner import plan_sync
    from orchestrator_cli.core.transfer.upload.plan import SkippedPath

    for found in options.list_executions():
        if not isinstance(found, SkippedPath):
            for item in plan_sync(found, options.rules(), now):
                if not isinstance(item, SyncEvent):
                    yield item.size_bytes


def print_plan(app: App, options: SyncOptions) -> None:
    """Print what would be stored, what would then be deleted, and the totals."""
    from orchestrator_cli.cli.output import human_count, human_size
    from orchestrator_cli.core.base.text import printable
    from orchestrator_cli.core.efs.events import SyncEvent, SyncSummary
    from orchestrator_cli.core.efs.planner import plan_sync
    from orchestrator_cli.core.transfer.upload.plan import SkippedPath

    reporter, rules = SyncReporter(app, options.as_json), options.rules()
    count, size_bytes, left = 0, 0, SyncSummary()
    for found in options.list_executions():
        if isinstance(found, SkippedPath):
            app.messages.warn(f"would skip {printable(found.source)}: {found.reason}")
            continue
        for item in plan_sync(found, rules, app.now()):
            if isinstance(item, SyncEvent):
                left.add(item)
                reporter.event(item)
            else:
                count, size_bytes = count + 1, size_bytes + item.size_bytes
                _print_file(app, options, found, item, rules.is_due(item, app.now()))
    files = f"{human_count(count, 'file')}, {human_size(size_bytes)}"
    settling = f"; {left.settling:,} still being written" if left.settling else ""
    app.messages.note(f"would store {files}, unless S3 has them{settling}")


def _print_file(
    app: App, options: SyncOptions, execution: BenchExecution, item: PlannedFile, due: bool
) -> None:
    from orchestrator_cli.cli.output import json_name
    from orchestrator_cli.core.base.text import printable

    if not options.as_json:
        then = ", then delete it here" if due else ""
        app.output.line(f"{printable(item.source)} -> {printable(item.key)}{then}")
        return
    app.output.record(
        {
            "bench_id": execution.bench_id,
            "execution_id": execution.execution_id,
            "source": json_name(item.source),
            "path": item.path,
            "key": item.key,
            "size_bytes": item.size_bytes,
            "would_delete": due,
        }
    )
