"""The options of `sync-efs`, and what a pass would do by them, as far as S3 need not be asked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from orchestrator_cli.cli.app import App
from orchestrator_cli.cli.commands.sync_efs.report import SyncReporter

if TYPE_CHECKING:
    from orchestrator_cli.core.efs.rules import SyncRules
    from orchestrator_cli.core.efs.tree import BenchExecution
    from orchestrator_cli.core.transfer.upload.plan import PlannedFile, SkippedPath


class SyncOptions(NamedTuple):
    """What the command line says, by the names of its options."""

    root: Path
    bench: str | None
    execution: str | None
    settle: timedelta
    log_settle: timedelta
    retain: timedelta
    keep: bool
    watch: bool
    interval: timedelta
    dry_run: bool
    concurrency: int
    limit_rate: int | None
    as_json: bool

    def check(self) -> None:
        """Raise UsageError for options that do not go together, or an --execution that is none."""
        if self.watch and self.dry_run:
            raise click.UsageError("--watch and --dry-run exclude each other.")
        _ = self.execution_id

    @property
    def execution_id(self) -> str | None:
        """The execution that alone is synced. Raises UsageError where it is no id."""
        from orchestrator_cli.core.executions.ids import parse_execution_id

        return parse_execution_id(self.execution) if self.execution else None

    def rules(self) -> SyncRules:
        """Return what is stored and deleted when."""
        from orchestrator_cli.core.efs.rules import SyncRules

        return SyncRules(self.settle, None if self.keep else self.retain, self.log_settle)

    def list_executions(self) -> Iterator[BenchExecution | SkippedPath]:
        """Yield all entries below the root. Raises NotFoundError where it cannot be read."""
        from orchestrator_cli.core.efs.tree import list_bench_executions

        return list_bench_executions(self.root, self.bench, self.execution_id)


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
    """Print what would be stored, and what would then be deleted."""
    from orchestrator_cli.core.base.text import printable
    from orchestrator_cli.core.efs.cleanup.due import is_due
    from orchestrator_cli.core.efs.events import SyncEvent
    from orchestrator_cli.core.efs.planner import plan_sync
    from orchestrator_cli.core.transfer.upload.plan import SkippedPath

    reporter, rules = SyncReporter(app, options.as_json), options.rules()
    for found in options.list_executions():
        if isinstance(found, SkippedPath):
            app.messages.warn(f"would skip {printable(found.source)}: {found.reason}")
            continue
        for item in plan_sync(found, rules, app.now()):
            if isinstance(item, SyncEvent):
                reporter.event(item)
            else:
                _print_file(app, options, found, item, is_due(item, rules, app.now()))


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
