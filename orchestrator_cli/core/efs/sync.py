"""Sync what benches left on EFS: one execution after the other, each in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from itertools import chain
from pathlib import Path

from orchestrator_cli.core.base.errors import ConflictError, IntegrityError, OrchestratorError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.efs.cleanup.cleaner import Cleaner
from orchestrator_cli.core.efs.contract.record import read_record
from orchestrator_cli.core.efs.events import SyncEvent, SyncState, SyncSummary
from orchestrator_cli.core.efs.planner import Decision, decide
from orchestrator_cli.core.efs.promises import broken_promises
from orchestrator_cli.core.efs.recorder import Recorder
from orchestrator_cli.core.efs.rules import SyncRules
from orchestrator_cli.core.efs.sync_pass import SyncPass
from orchestrator_cli.core.efs.tree import (
    RECORD_NAME,
    BenchExecution,
    list_bench_executions,
    plan_execution,
)
from orchestrator_cli.core.efs.tree_uploader import TreeUploader
from orchestrator_cli.core.efs.unchanged_cache import Remaining, UnchangedCache
from orchestrator_cli.core.executions.keys import execution_prefix
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.transfer.engine import TransferEngine
from orchestrator_cli.core.transfer.upload.direct_target import DirectTarget
from orchestrator_cli.core.transfer.upload.plan import PlannedFile, SkippedPath


class EfsSync:
    """Syncs executions one after the other, the files of each in parallel.

    `stopping` is asked between files: once it says so, what has begun is ended and nothing else
    is begun. Events come to `on_event` from one thread.
    """

    def __init__(
        self,
        engine: TransferEngine,
        store: ArtifactStore,
        rules: SyncRules,
        now: Callable[[], datetime],
        on_event: Callable[[SyncEvent], None],
        stopping: Callable[[], bool] = lambda: False,
        unchanged: UnchangedCache | None = None,
    ) -> None:
        self.summary = SyncSummary()
        self._store = store
        self._rules = rules
        self._now = now
        self._on_event = on_event
        self._stopping = stopping
        self._unchanged = unchanged or UnchangedCache(rules)
        self._recorder = Recorder(store)
        self._uploader = TreeUploader(engine, DirectTarget(store), rules, now, self._emit, stopping)
        self._cleaner = Cleaner(engine, store, rules, self._emit, stopping)

    def run(self, root: Path, bench_id: str | None = None, execution_id: str | None = None) -> None:
        """Sync all executions under a root, or those of one bench or id.

        Raises NotFoundError where the root cannot be read, and errors that are fatal.
        """
        for item in list_bench_executions(root, bench_id, execution_id):
            if self._stopping():
                return
            if isinstance(item, SkippedPath):
                self._report(item)
                continue
            try:
                sync = partial(self.sync, item)
                # Those that are left alone are in conflict still.
                conflicts = self._unchanged.skip_if_unchanged(item, self._now(), sync)
                self.summary.conflicts += conflicts
            except OrchestratorError as error:
                if error.is_fatal:
                    raise
                self._emit(SyncEvent(str(item.directory), SyncState.FAILED, item, error=error))

    def sync(self, execution: BenchExecution) -> Remaining:
        """Store settled files, note failures, then remove files that are stored and due.

        Returns how many of its files are not stored. Raises ConflictError where the execution
        is not this bench's, and errors that are fatal: nothing else would fare better.
        """
        self.summary.executions += 1
        before, conflicts = self.summary.unfinished, self.summary.conflicts
        current = self._begin(execution)
        self._recorder.check_owner(current)
        self._read_declared(current)
        is_finished = current.is_finished
        self._upload(current)
        has_seen_all = not self._stopping()
        if has_seen_all:
            self._report_broken_promises(current)
        is_whole = has_seen_all and self.summary.unfinished == before and not current.unplaced
        self._recorder.record(current, self._now(), is_whole=is_whole, has_seen_all=has_seen_all)
        self._recorder.finish(current, self._now(), is_whole=is_whole)
        failed = len(current.failed)
        self._cleaner.clean(current, self._now())
        if len(current.failed) > failed:
            # Their bytes were compared only now, and differ from the stored ones.
            self._recorder.record(current, self._now(), is_whole=False, has_seen_all=False)
        conflicts = self.summary.conflicts - conflicts
        to_do = self.summary.unfinished - before - conflicts + current.ended_meanwhile
        return Remaining(to_do, conflicts, is_finished)

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
        self._emit(SyncEvent(source, SyncState.FAILED, current.execution, error=error))

    def _plan(self, current: SyncPass) -> Iterator[PlannedFile]:
        """Yield the files to upload."""
        for item in plan_execution(current.execution):
            if self._stopping():
                return
            if isinstance(item, SkippedPath):
                self._skip(current, item)
            elif self._is_to_be_uploaded(current, item):
                yield item

    def _is_to_be_uploaded(self, current: SyncPass, item: PlannedFile) -> bool:
        decision = decide(current, item, self._rules, self._now())
        if decision is Decision.WAIT:
            execution = current.execution
            self._emit(SyncEvent(item.source, SyncState.SETTLING, execution, item.path))
        if decision is Decision.ALREADY_STORED:
            self.summary.stored += 1
            current.note_held(item.path)
        return decision is Decision.UPLOAD

    def _skip(self, current: SyncPass, item: SkippedPath) -> None:
        if item.is_gone:
            return  # another host has removed it, or the share is gone
        if item.error is not None:
            current.unplaced[printable(item.source)] = item.error.message
        self._report(item, current.execution)

    def _report(self, item: SkippedPath, execution: BenchExecution | None = None) -> None:
        """Report a path that is left alone; it is a failure if it could not be read."""
        state = SyncState.FAILED if item.error else SyncState.SKIPPED
        detail = item.reason if item.error is None else None
        source = item.source
        self._emit(SyncEvent(source, state, execution, detail=detail, error=item.error))

    def _emit(self, event: SyncEvent) -> None:
        self.summary.add(event)
        self._on_event(event)
