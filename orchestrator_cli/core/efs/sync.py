"""Sync what benches left on EFS: store files, keep records, remove what is due."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from itertools import chain, islice
from pathlib import Path

from orchestrator_cli.core.base.errors import (
    ConflictError,
    IntegrityError,
    OrchestratorError,
    UsageError,
)
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.efs.cleanup.cleaner import Cleaner
from orchestrator_cli.core.efs.contract.record import PromisedFile, read_record
from orchestrator_cli.core.efs.events import SyncEvent, SyncMonitor, SyncState
from orchestrator_cli.core.efs.planner import Decision, decide
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
from orchestrator_cli.core.executions.keys import artifact_key, execution_prefix, metadata_key
from orchestrator_cli.core.executions.placement import storage_path_for
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.transfer.engine import TransferEngine
from orchestrator_cli.core.transfer.upload.direct_target import DirectTarget
from orchestrator_cli.core.transfer.upload.plan import PlannedFile, SkippedPath

# So many executions in a row that fail of the same cause are taken for all of them.
_MANY_IN_A_ROW = 3
# So many files of one execution are held as they are listed, which takes 4 MB.
_MOST_HELD = 10_000


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
        self._target = DirectTarget(store)
        self._uploader = TreeUploader(engine, self._target, rules, now, monitor)
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
        self._recorder.record(current, is_whole=is_whole, has_seen_all=has_seen_all)
        self._recorder.finish(current, self._now(), is_whole=is_whole)
        failed = len(current.failed)
        self._cleaner.clean(current, self._now())
        if len(current.failed) > failed:
            # Their bytes were compared only now, and differ from the stored ones.
            self._recorder.record(current, is_whole=False, has_seen_all=False)
        conflicts = summary.conflicts - conflicts
        to_do = summary.unfinished - before - conflicts + current.ended_meanwhile
        return Remaining(to_do, conflicts, current.is_finished)

    def _begin(self, execution: BenchExecution) -> SyncPass:
        """List what is stored: as a whole, or page by page on demand where that is very much."""
        listed = self._store.list_objects(execution_prefix(execution.execution_id))
        held = {item.key: item for item in islice(listed, _MOST_HELD + 1)}
        find = held.get if len(held) <= _MOST_HELD else self._target.listed_etags().find
        has_record = find(metadata_key(execution.execution_id)) is not None
        return SyncPass(execution, find, has_record)

    def _read_declared(self, current: SyncPass) -> None:
        """Read the bench's own record; the files are stored whatever it says."""
        try:
            current.declared = read_record(current.execution)
            current.promised = dict.fromkeys(_promised_keys(current))
            self._recorder.declare(current)
        except (ConflictError, IntegrityError) as error:
            current.declared = None
            self._fail(current, printable(current.execution.directory / RECORD_NAME), error)

    def _upload(self, current: SyncPass) -> None:
        """Upload what is to be stored; the execution's record is made before the first file."""
        items = self._plan(current)
        first = next(items, None)
        if first is not None:
            self._recorder.before_storing(current)
            self._uploader.run(current, chain([first], items))

    def _report_broken_promises(self, current: SyncPass) -> None:
        """Note the promised files that are not there or not as promised.

        Until the bench has said how the test ended, more may come. A file that is there and not
        stored yet breaks no promise: it is settling, or has failed and is reported as that.
        """
        record = current.declared
        if record is None or not record.is_finished:
            return
        # In the order in which what is stored is listed.
        for file in sorted(record.files or (), key=lambda one: one.path):
            why = _broken(current, file)
            if why is not None:
                source = printable(current.execution.directory / "raw" / file.path)
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


def _promised_keys(current: SyncPass) -> Iterator[str]:
    files = current.declared.files if current.declared is not None else None
    for file in files or ():
        with contextlib.suppress(UsageError):
            yield _key_of(current, file)


def _key_of(current: SyncPass, file: PromisedFile) -> str:
    return artifact_key(current.execution.execution_id, storage_path_for(file.path))


def _broken(current: SyncPass, file: PromisedFile) -> str | None:
    try:
        key = _key_of(current, file)
    except UsageError as error:
        return error.message
    size_bytes = current.promised.get(key)
    if size_bytes is None:
        stored = current.find_stored(key)
        if stored is None:
            return None if _is_in_raw(current, file) else "promised by the bench, and not in raw/"
        size_bytes = stored.size_bytes
    if file.size_bytes not in (None, size_bytes):
        return f"promised with {file.size_bytes:,} bytes, stored with {size_bytes:,}"
    return None


def _is_in_raw(current: SyncPass, file: PromisedFile) -> bool:
    execution = current.execution
    with contextlib.suppress(OSError):
        execution.tree.stat((*execution.raw, *file.path.split("/")))
        return True
    return False


class EfsSync:
    """Syncs all executions of a root, without those that are unchanged since the last time.

    `unchanged` knows of them; a pass that no other one follows has none.
    """

    def __init__(
        self,
        executions: ExecutionSync,
        unchanged: UnchangedCache | None,
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
                self._sync(item)
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

    def _sync(self, execution: BenchExecution) -> None:
        sync = partial(self._executions.sync, execution)
        if self._unchanged is None:
            sync()
        else:
            # Those that are left alone are in conflict still.
            conflicts = self._unchanged.skip_if_unchanged(execution, self._now(), sync)
            self._monitor.summary.conflicts += conflicts
