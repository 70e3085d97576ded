"""Sync one execution of a bench: store its files, keep its record, remove what is due."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import chain

from orchestrator_cli.core.base.errors import ConflictError, IntegrityError, OrchestratorError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.efs.cleanup.cleaner import Cleaner
from orchestrator_cli.core.efs.contract.record import read_record
from orchestrator_cli.core.efs.events import SyncEvent, SyncMonitor, SyncState
from orchestrator_cli.core.efs.planner import Decision, decide
from orchestrator_cli.core.efs.promises import broken_promises
from orchestrator_cli.core.efs.recorder import Recorder
from orchestrator_cli.core.efs.rules import SyncRules
from orchestrator_cli.core.efs.sync_pass import SyncPass
from orchestrator_cli.core.efs.tree import RECORD_NAME, BenchExecution, plan_execution
from orchestrator_cli.core.efs.tree_uploader import TreeUploader
from orchestrator_cli.core.efs.unchanged_cache import Remaining
from orchestrator_cli.core.executions.keys import execution_prefix
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.transfer.engine import TransferEngine
from orchestrator_cli.core.transfer.upload.direct_target import DirectTarget
from orchestrator_cli.core.transfer.upload.plan import PlannedFile, SkippedPath


class ExecutionSync:
    """Syncs one execution at a time, its files in parallel."""

    def __init__(
        self,
        engine: TransferEngine,
        store: ArtifactStore,
        rules: SyncRules,
        now: Callable[[], datetime],
        monitor: SyncMonitor,
    ) -> None:
        self._store = store
        self._rules = rules
        self._now = now
        self._monitor = monitor
        self._recorder = Recorder(store)
        self._uploader = TreeUploader(engine, DirectTarget(store), rules, now, monitor)
        self._cleaner = Cleaner(engine, store, rules, monitor)

    def sync(self, execution: BenchExecution) -> Remaining:
        """Store settled files, note failures, then remove files that are stored and due.

        Returns how many of its files are not stored. Raises ConflictError where the execution
        is not this bench's, and errors that are fatal: nothing else would fare better.
        """
        summary = self._monitor.summary
        summary.executions += 1
        before, conflicts = summary.unfinished, summary.conflicts
        current = self._begin(execution)
        self._recorder.check_owner(current)
        self._read_declared(current)
        current.was_finished = current.is_recorded_finished
        self._upload(current)
        has_seen_all = not self._monitor.stopping()
        if has_seen_all:
            self._report_broken_promises(current)
        is_whole = has_seen_all and summary.unfinished == before and not current.unplaced
        self._recorder.record(current, self._now(), is_whole=is_whole, has_seen_all=has_seen_all)
        self._recorder.finish(current, self._now(), is_whole=is_whole)
        failed = len(current.failed)
        self._cleaner.clean(current, self._now())
        if len(current.failed) > failed:
            # Their bytes were compared only now, and differ from the stored ones.
            self._recorder.record(current, self._now(), is_whole=False, has_seen_all=False)
        conflicts = summary.conflicts - conflicts
        to_do = summary.unfinished - before - conflicts + current.ended_meanwhile
        return Remaining(to_do, conflicts, current.is_finished)

    def _begin(self, execution: BenchExecution) -> SyncPass:
        listed = self._store.list_objects(execution_prefix(execution.execution_id))
        return SyncPass(execution, {item.key: item for item in listed})

    def _read_declared(self, current: SyncPass) -> None:
        """Read the bench's own record; the files are stored whatever it says."""
        try:
            current.declared = read_record(current.execution)
            self._recorder.declare(current, self._now())
        except (ConflictError, IntegrityError) as error:
            current.declared = None
            self._fail(current, printable(current.execution.directory / RECORD_NAME), error)

    def _upload(self, current: SyncPass) -> None:
        """Upload what is to be stored; the execution's record is made before the first file."""
        items = self._plan(current)
        first = next(items, None)
        if first is not None:
            self._recorder.before_storing(current, self._now())
            self._uploader.run(current, chain([first], items))

    def _report_broken_promises(self, current: SyncPass) -> None:
        if current.declared is not None:
            for source, why in broken_promises(current, current.declared):
                self._fail(current, source, OrchestratorError(why))

    def _fail(self, current: SyncPass, source: str, error: OrchestratorError) -> None:
        """Note an error of a path that is no file to upload."""
        current.unplaced[source] = error.message
        self._monitor.emit(SyncEvent(source, SyncState.FAILED, current.execution, error=error))

    def _plan(self, current: SyncPass) -> Iterator[PlannedFile]:
        """Yield the files to upload."""
        for item in plan_execution(current.execution):
            if self._monitor.stopping():
                return
            if isinstance(item, SkippedPath):
                self._skip(current, item)
            elif self._is_to_be_uploaded(current, item):
                yield item

    def _is_to_be_uploaded(self, current: SyncPass, item: PlannedFile) -> bool:
        decision = decide(current, item, self._rules, self._now())
        if decision is Decision.WAIT:
            execution = current.execution
            self._monitor.emit(SyncEvent(item.source, SyncState.SETTLING, execution, item.path))
        if decision is Decision.ALREADY_STORED:
            self._monitor.summary.stored += 1
            current.note_held(item.path)
        return decision is Decision.UPLOAD

    def _skip(self, current: SyncPass, item: SkippedPath) -> None:
        if item.is_gone:
            return  # another host has removed it, or the share is gone
        if item.error is not None:
            current.unplaced[printable(item.source)] = item.error.message
        self._monitor.emit(SyncEvent.of_skipped(item, current.execution))
