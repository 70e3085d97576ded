"""What a pass would do, as far as that is known without S3."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator_cli.cli.app import App
from orchestrator_cli.cli.commands.sync_efs.report import Told

if TYPE_CHECKING:
    from orchestrator_cli.core.efs.rules import SyncRules


def list_sizes(
    rules: SyncRules, root: Path, bench: str | None, execution_id: str | None, now: datetime
) -> Iterator[int]:
    """Yield the sizes of what a pass may store, as far as that is known without S3."""
    from orchestrator_cli.core.efs.planner import plan_sync
    from orchestrator_cli.core.efs.rules import SyncEvent
    from orchestrator_cli.core.efs.tree import list_bench_executions
    from orchestrator_cli.core.transfer.upload.plan import SkippedPath

    for found in list_bench_executions(root, bench, execution_id):
        if not isinstance(found, SkippedPath):
            for item in plan_sync(found, rules, now):
                if not isinstance(item, SyncEvent):
                    yield item.size_bytes


def print_plan(
    app: App,
    rules: SyncRules,
    root: Path,
    bench: str | None,
    execution_id: str | None,
    as_json: bool,
) -> None:
    """Print what would be stored, and what would then be deleted."""
    from orchestrator_cli.core.base.text import printable
    from orchestrator_cli.core.efs.planner import is_due, plan_sync
    from orchestrator_cli.core.efs.rules import SyncEvent
    from orchestrator_cli.core.efs.tree import list_bench_executions
    from orchestrator_cli.core.transfer.upload.plan import SkippedPath

    told = Told(app, as_json)
    for found in list_bench_executions(root, bench, execution_id):
        if isinstance(found, SkippedPath):
            app.output.warn(f"would skip {printable(found.source)}: {found.reason}")
            continue
        for item in plan_sync(found, rules, app.now()):
            if isinstance(item, SyncEvent):
                told.event(item)
                continue
            due = is_due(item, rules, app.now())
            if as_json:
                app.output.record(
                    {
                        "bench_id": found.bench_id,
                        "execution_id": found.execution_id,
                        "source": str(item.source).encode("utf-8", "backslashreplace").decode(),
                        "path": item.path,
                        "key": item.key,
                        "size_bytes": item.size_bytes,
                        "would_delete": due,
                    }
                )
            else:
                then = ", then delete it here" if due else ""
                app.output.line(f"{printable(item.source)} -> {printable(item.key)}{then}")
