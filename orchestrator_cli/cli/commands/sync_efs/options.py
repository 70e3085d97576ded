"""The options of `sync-efs`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from orchestrator_cli.core.efs.rules import SyncRules
    from orchestrator_cli.core.efs.tree import BenchExecution
    from orchestrator_cli.core.transfer.upload.plan import SkippedPath


class SyncOptions(NamedTuple):
    """The options of the command line, by their names."""

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
        """Raise UsageError for options that do not go together, or an invalid --execution."""
        if self.watch and self.dry_run:
            raise click.UsageError("--watch and --dry-run exclude each other.")
        _ = self.execution_id

    @property
    def execution_id(self) -> str | None:
        """The execution that alone is synced. Raises UsageError where it is no id."""
        from orchestrator_cli.core.executions.ids import parse_execution_id

        return parse_execution_id(self.execution) if self.execution else None

    def rules(self) -> SyncRules:
        """Return the rules by which files are stored and deleted."""
        from orchestrator_cli.core.efs.rules import SyncRules

        return SyncRules(self.settle, None if self.keep else self.retain, self.log_settle)

    def list_executions(self) -> Iterator[BenchExecution | SkippedPath]:
        """Yield all entries below the root. Raises NotFoundError where it cannot be read."""
        from orchestrator_cli.core.efs.tree import list_bench_executions

        return list_bench_executions(self.root, self.bench, self.execution_id)
