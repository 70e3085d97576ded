"""Sync what benches left on EFS, one execution after the other."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

from orchestrator_cli.core.base.errors import OrchestratorError
from orchestrator_cli.core.efs.events import SyncEvent, SyncMonitor, SyncState
from orchestrator_cli.core.efs.execution_sync import ExecutionSync
from orchestrator_cli.core.efs.tree import list_bench_executions
from orchestrator_cli.core.efs.unchanged_cache import UnchangedCache
from orchestrator_cli.core.transfer.upload.plan import SkippedPath

# So many executions in a row that fail of the same cause are taken for all of them.
_MANY_IN_A_ROW = 3


class EfsSync:
    """Syncs all executions of a root, without those that are unchanged since the last time."""

    def __init__(
        self,
        executions: ExecutionSync,
        unchanged: UnchangedCache,
        now: Callable[[], datetime],
        monitor: SyncMonitor,
    ) -> None:
        self._executions = executions
        self._unchanged = unchanged
        self._now = now
        self._monitor = monitor

    def run(self, root: Path, bench_id: str | None = None, execution_id: str | None = None) -> None:
        """Sync all executions under a root, or those of one bench or id.

        Raises NotFoundError where the root cannot be read, and errors that are fatal. One that was
        inferred ends it once it ended several executions in a row, or all there are.
        """
        tried = lost = 0
        for item in list_bench_executions(root, bench_id, execution_id):
            if self._monitor.stopping():
                return
            if isinstance(item, SkippedPath):
                self._monitor.emit(SyncEvent.of_skipped(item))
                continue
            tried += 1
            try:
                sync = partial(self._executions.sync, item)
                # Those that are left alone are in conflict still.
                conflicts = self._unchanged.skip_if_unchanged(item, self._now(), sync)
                self._monitor.summary.conflicts += conflicts
                lost = 0
            except OrchestratorError as error:
                lost = lost + 1 if error.is_fatal else 0
                if lost and (not error.is_inferred or lost == _MANY_IN_A_ROW):
                    raise
                source = str(item.directory)
                self._monitor.emit(SyncEvent(source, SyncState.FAILED, item, error=error))
                last = error
        if lost and lost == tried:
            raise last
