"""Remove the files of an execution that S3 holds and that are due, then its directories."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, cast

from orchestrator_cli.core.base.errors import EXPECTED_FAILURES, ConflictError, OrchestratorError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.efs.cleanup.removal import remove_empty_dirs, remove_stored_file
from orchestrator_cli.core.efs.events import SyncEvent, SyncMonitor, SyncState
from orchestrator_cli.core.efs.rules import SyncRules
from orchestrator_cli.core.efs.sync_pass import SyncPass
from orchestrator_cli.core.efs.tree import BenchExecution, plan_execution
from orchestrator_cli.core.executions.ids import execution_time
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.types import PutOutcome, UploadResult
from orchestrator_cli.core.transfer.engine import TransferEngine
from orchestrator_cli.core.transfer.upload.plan import PlannedFile, SkippedPath

if TYPE_CHECKING:
    from orchestrator_cli.core.files.tree import TreeFile

# A comparison reads the file in steps; it needs a thread, and hardly any memory.
_COMPARING_BYTES = 1024 * 1024


class Cleaner:
    """Removes stored files, many at once, and reports each to the monitor."""

    def __init__(
        self,
        engine: TransferEngine,
        store: ArtifactStore,
        rules: SyncRules,
        monitor: SyncMonitor,
    ) -> None:
        self._engine = engine
        self._store = store
        self._rules = rules
        self._monitor = monitor

    def clean(self, current: SyncPass, now: datetime) -> None:
        """Remove the files that are stored and due; none where the rules keep files for good.

        Raises errors that are fatal: nothing else would fare better.
        """
        retain = self._rules.retain
        if retain is None or self._monitor.stopping():
            return
        # While all are younger than that, none is looked at once more. A file only becomes younger.
        if self._rules.is_long_enough(current.oldest_change, now):
            for event in self._engine.parts.as_completed(self._removals(current, now)):
                if event is not None:
                    self._monitor.emit(event)
        is_young = now - execution_time(current.execution.execution_id) <= retain
        if is_young or self._monitor.stopping():
            return
        try:
            remove_empty_dirs(
                current.execution,
                partial(self._rules.has_been_kept, now=now),
                current.emptied,
                with_record=current.is_recorded_finished,
            )
        except OSError as error:
            self._monitor.emit(
                _not_removed(current.execution, str(current.execution.directory), error)
            )

    def _removals(self, current: SyncPass, now: datetime) -> Iterator[Future[SyncEvent | None]]:
        for item in plan_execution(current.execution):
            if self._monitor.stopping():
                return
            if isinstance(item, SkippedPath) or item.source in current.failed:
                continue
            if self._rules.is_due(item, now):
                work = partial(self._remove, current, item, now)
                yield self._engine.parts.submit(_COMPARING_BYTES, work)

    def _remove(
        self, current: SyncPass, item: PlannedFile, now: datetime, _: object
    ) -> SyncEvent | None:
        execution = current.execution
        file, source = cast("TreeFile", item.file), item.source
        is_due = partial(self._rules.has_been_kept, now=now)
        try:
            state = remove_stored_file(self._store, file, item.key, is_due)
        except EXPECTED_FAILURES as error:
            if isinstance(error, OrchestratorError) and error.is_fatal:
                raise
            return _not_removed(execution, source, error, item.path)
        if state is SyncState.DELETED:
            current.emptied.add(file.parts[:-1])
            return SyncEvent(source, state, execution, item.path, item.size_bytes)
        if state is SyncState.CONFLICT:
            conflict = ConflictError(
                f"{printable(item.path)}: S3 holds other content; the local file is kept"
            )
            key, size_bytes, outcome = item.key, item.size_bytes, PutOutcome.CONFLICT
            result = UploadResult(source, item.path, key, size_bytes, outcome, error=conflict)
            current.failed[source] = result
            return SyncEvent(source, state, execution, item.path, error=conflict)
        return None


def _not_removed(
    execution: BenchExecution, source: str, error: Exception, path: str | None = None
) -> SyncEvent:
    reason = error.strerror if isinstance(error, OSError) else None
    message = reason or str(error)
    failure = OrchestratorError(f"cannot delete {printable(source)}: {message}")
    return SyncEvent(str(source), SyncState.NOT_DELETED, execution, path, error=failure)
