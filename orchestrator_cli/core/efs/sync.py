"""Drive what benches left on EFS into the store, and remove locally what S3 holds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from orchestrator_cli.core.base.errors import ConflictError, OrchestratorError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.efs.cleanup import Removal, remove_empty_dirs, remove_stored_file
from orchestrator_cli.core.efs.rules import (
    SyncEvent,
    SyncRules,
    SyncState,
    SyncSummary,
    last_change,
    was_written_before,
)
from orchestrator_cli.core.efs.tree import BenchExecution, list_bench_executions, plan_execution
from orchestrator_cli.core.efs.unchanged_cache import UnchangedCache
from orchestrator_cli.core.executions.ids import execution_time
from orchestrator_cli.core.executions.keys import execution_prefix, metadata_key
from orchestrator_cli.core.executions.metadata import (
    ArtifactStatus,
    ExecutionMetadata,
    RunnerType,
    Status,
    build_metadata,
)
from orchestrator_cli.core.executions.repository import (
    create_execution,
    read_execution,
    record_upload_result,
)
from orchestrator_cli.core.files.checks import Parts
from orchestrator_cli.core.s3.types import PutOutcome, UploadResult
from orchestrator_cli.core.transfer.engine import TransferEngine
from orchestrator_cli.core.transfer.local_file import SourceChangedError
from orchestrator_cli.core.transfer.plan import PlanItem, PlannedFile, SkippedPath
from orchestrator_cli.core.transfer.uploader import Uploader

if TYPE_CHECKING:
    from orchestrator_cli.core.files.tree import TreeFile

# A comparison reads the file in steps; it needs a thread, and hardly any memory.
_COMPARING_BYTES = 1024 * 1024
# Stands for the ETag of what was stored since the listing.
_UNSEEN = "-"


@dataclass
class _Pass:
    """What one pass over one execution has found so far."""

    execution: BenchExecution
    # Key to size, time and ETag of what S3 held when the pass began.
    listed: dict[str, tuple[int, datetime, str]]
    # What is under way, by what it is called, and then what of it has failed.
    planned: dict[str, PlannedFile] = field(default_factory=dict)
    failed: dict[str, UploadResult] = field(default_factory=dict)
    unplaced: dict[str, str] = field(default_factory=dict)
    created: int = 0
    # As it was when the pass began; None for an execution that was not there.
    metadata: ExecutionMetadata | None = None
    emptied: set[Parts] = field(default_factory=set)

    def etag_of(self, key: str) -> str:
        """Return the ETag of a stored object, or nothing."""
        return self.listed[key][2] if key in self.listed else ""


class EfsSync:
    """Syncs executions one after the other, the files of each in parallel.

    `stopping` is asked between files: once it says so, what has begun is ended and nothing else
    is begun. Events come to `on_event` from one thread.
    """

    def __init__(
        self,
        transfers: TransferEngine,
        rules: SyncRules,
        now: Callable[[], datetime],
        on_event: Callable[[SyncEvent], None],
        stopping: Callable[[], bool] = lambda: False,
        quiet: UnchangedCache | None = None,
    ) -> None:
        self.summary = SyncSummary()
        self._transfers = transfers
        self._store = transfers.store
        self._rules = rules
        self._now = now
        self._on_event = on_event
        self._stopping = stopping
        self._quiet = quiet or UnchangedCache(rules)

    def report(self, item: SkippedPath, execution: BenchExecution | None = None) -> None:
        """Tell of something that is left alone; a failure if it should have been readable."""
        state = SyncState.FAILED if item.error else SyncState.SKIPPED
        detail = item.reason if item.error is None else None
        source = str(item.source)
        self._tell(SyncEvent(source, state, execution, detail=detail, error=item.error))

    def run(self, root: Path, bench_id: str | None = None, execution_id: str | None = None) -> None:
        """Sync all executions under a root, or those of one bench or id.

        Raises NotFoundError where the root cannot be read, and what `sync` raises.
        """
        for item in list_bench_executions(root, bench_id, execution_id):
            if self._stopping():
                return
            if isinstance(item, SkippedPath):
                self.report(item)
                continue
            try:
                self._quiet.unless_unchanged(item, self._now(), partial(self.sync, item))
            except OrchestratorError as error:
                if error.is_fatal:
                    raise
                self._tell(SyncEvent(str(item.directory), SyncState.FAILED, item, error=error))

    def sync(self, execution: BenchExecution) -> int:
        """Store what has settled, note what failed, then remove what is stored and due.

        Returns how many of its files are not stored yet. Raises ConflictError where the execution
        is not this bench's, and errors that are fatal: nothing else would fare better.
        """
        self.summary.executions += 1
        before = self.summary.unfinished
        current = _Pass(execution, self._list(execution))
        self._check_owner(current)
        self._upload(current, self._plan(current))
        self._retry(current)
        is_whole = self.summary.unfinished == before and not self._stopping()
        self._record(current, is_whole=is_whole and not current.unplaced)
        if self._rules.retain is not None and not self._stopping():
            self._clean(current, self._now() - self._rules.retain)
        return self.summary.unfinished - before

    # --- deciding ---------------------------------------------------------------------------

    def _list(self, execution: BenchExecution) -> dict[str, tuple[int, datetime, str]]:
        prefix = execution_prefix(execution.execution_id)
        return {
            listed.key: (listed.size_bytes, listed.last_modified, listed.etag)
            for listed in self._store.list_objects(prefix)
        }

    def _plan(self, current: _Pass) -> Iterator[PlannedFile]:
        """Yield what is to be uploaded; makes the execution's record before the first file."""
        for item in plan_execution(current.execution):
            if self._stopping():
                return
            if isinstance(item, SkippedPath):
                self._skip(current, item)
            elif self._is_to_be_stored(current, item):
                self._ensure_execution(current)
                yield item

    def _skip(self, current: _Pass, item: SkippedPath) -> None:
        if item.is_gone:
            return  # another host has removed it, or the share is gone
        if item.error is not None:
            current.unplaced[printable(item.source)] = item.error.message
        self.report(item, current.execution)

    def _is_to_be_stored(self, current: _Pass, item: PlannedFile) -> bool:
        try:
            status = item.stat()
        except OSError:
            return False
        changed = last_change(status, self._now())
        if self._now().timestamp() - changed < self._rules.settle.total_seconds():
            self._tell(
                SyncEvent(str(item.source), SyncState.SETTLING, current.execution, item.path)
            )
            return False
        size_bytes, stored_at, _ = current.listed.get(item.key, (-1, None, ""))
        if stored_at is None or size_bytes != status.st_size or stored_at.timestamp() <= changed:
            return True
        # S3 got it after its last change. That is evidence enough to leave it alone for now; to
        # delete it, its bytes are compared.
        self.summary.stored += 1
        return False

    # --- storing ----------------------------------------------------------------------------

    def _upload(self, current: _Pass, plan: Iterator[PlannedFile]) -> None:
        def on_result(result: UploadResult) -> None:
            item = current.planned.pop(result.source)
            current.failed.pop(result.source, None)
            if result.stored:
                current.created += result.outcome is PutOutcome.CREATED
                current.listed[str(result.key)] = (result.size_bytes, self._now(), _UNSEEN)
                self._tell_result(current, result)
            elif _is_there(item):
                current.failed[result.source] = result
                current.planned[result.source] = item

        def noted() -> Iterator[PlanItem]:
            for item in plan:
                current.planned[str(item.source)] = item
                yield item

        # An object that appears after the listing is met by the create-only put all the same.
        Uploader(self._transfers, on_result, current.etag_of).run(noted())

    def _retry(self, current: _Pass) -> None:
        """Send again what failed and may fare better, with waits that double."""
        wait_seconds = self._rules.first_wait_seconds
        for _ in range(self._rules.attempts - 1):
            again = [
                current.planned[source]
                for source, result in current.failed.items()
                if not isinstance(result.error, ConflictError | SourceChangedError)
            ]
            if not again or self._stopping():
                break
            self._store.retry.wait(wait_seconds)
            wait_seconds *= 2
            self._upload(current, map(_as_it_is_now, again))
        for result in current.failed.values():
            self._tell_result(current, result)

    def _tell_result(self, current: _Pass, result: UploadResult) -> None:
        self._tell(
            SyncEvent(
                result.source,
                _state(result),
                current.execution,
                result.path,
                result.size_bytes,
                result.sent_bytes,
                error=result.error,
            )
        )

    # --- the record -------------------------------------------------------------------------

    def _ensure_execution(self, current: _Pass) -> None:
        """Make the execution of a bench that could not reach S3 itself."""
        execution = current.execution
        key = metadata_key(execution.execution_id)
        if key in current.listed:
            return
        metadata = build_metadata(
            execution_id=execution.execution_id,
            runner_type=RunnerType.ONPREM,
            bench_id=execution.bench_id,
            started_at=execution_time(execution.execution_id),
        )
        try:
            create_execution(self._store, metadata)
        except ConflictError:
            # Somebody made it meanwhile and knows more of it. It must be readable, though.
            read_execution(self._store, execution.execution_id)
        current.listed[key] = (0, self._now(), _UNSEEN)

    def _check_owner(self, current: _Pass) -> None:
        """Raise ConflictError for an execution of another bench, or of no bench at all."""
        execution = current.execution
        if metadata_key(execution.execution_id) not in current.listed:
            return
        metadata = read_execution(self._store, execution.execution_id).metadata
        current.metadata = metadata
        owner = metadata.bench_id or execution.bench_id
        if metadata.runner_type in (None, RunnerType.ONPREM) and owner == execution.bench_id:
            return
        whose = f"bench {owner}" if metadata.bench_id else f"runner type {metadata.runner_type}"
        raise ConflictError(
            f"execution {execution.execution_id} is one of {printable(whose)}; nothing was stored",
            hint=f"`orchestrator show {execution.execution_id}` shows whose it is",
        )

    def _record(self, current: _Pass, *, is_whole: bool) -> None:
        """Note failures in the metadata, and clear those that a pass has resolved.

        `is_whole`: every file of the tree is stored. A finished execution is complete then.
        """
        execution = current.execution
        failed = {
            result.path or printable(result.source): str(result.error)
            for result in current.failed.values()
            if _state(result) in (SyncState.FAILED, SyncState.CONFLICT)
        } | current.unplaced
        if failed:
            self._ensure_execution(current)
        elif metadata_key(execution.execution_id) not in current.listed:
            return
        metadata = current.metadata
        if metadata is None:
            metadata = read_execution(self._store, execution.execution_id).metadata
        mended = self._mended(current, metadata) - failed.keys()
        awaited = is_whole and metadata.status is Status.COMPLETED
        awaited = awaited and metadata.artifact_status is not ArtifactStatus.COMPLETE
        if failed or mended or current.created or awaited:
            record_upload_result(
                self._store, execution.execution_id, failed, mended, tree_is_stored=is_whole
            )

    def _mended(self, current: _Pass, metadata: ExecutionMetadata) -> set[str]:
        prefix = execution_prefix(current.execution.execution_id)
        failing = {failure.path for failure in metadata.failures}
        stored = {path for path in failing if prefix + path in current.listed}
        not_stored = {result.path for result in current.failed.values()}
        if current.execution.has_raw() and not self._stopping():
            # What had no place or could not be read, and is no longer so.
            below = printable(current.execution.directory) + "/"
            stored |= {path for path in failing if path.startswith(below)}
        return {path for path in stored if path not in not_stored}

    # --- removing ---------------------------------------------------------------------------

    def _clean(self, current: _Pass, due_before: datetime) -> None:
        due_before_ns = int(due_before.timestamp() * 1e9)
        for event in self._transfers.parts.as_completed(self._removals(current, due_before_ns)):
            if event is not None:
                self._tell(event)
        if execution_time(current.execution.execution_id) >= due_before or self._stopping():
            return
        try:
            remove_empty_dirs(current.execution, due_before_ns, current.emptied)
        except OSError as error:
            self._tell(_not_removed(current.execution, current.execution.directory, error))

    def _removals(self, current: _Pass, due_before_ns: int) -> Iterator[Future[SyncEvent | None]]:
        for item in plan_execution(current.execution):
            if self._stopping():
                return
            if isinstance(item, SkippedPath) or str(item.source) in current.failed:
                continue
            if item.key in current.listed and was_written_before(item, due_before_ns):
                work = partial(self._remove, current, item, due_before_ns)
                yield self._transfers.parts.submit(_COMPARING_BYTES, partial(_only, work))

    def _remove(self, current: _Pass, item: PlannedFile, due_before_ns: int) -> SyncEvent | None:
        execution = current.execution
        file = cast("TreeFile", item.file)
        try:
            removal = remove_stored_file(self._store, file, item.key, due_before_ns)
        except (OrchestratorError, OSError) as error:
            if isinstance(error, OrchestratorError) and error.is_fatal:
                raise
            return _not_removed(execution, item.source, error, item.path)
        source = str(item.source)
        if removal is Removal.DELETED:
            current.emptied.add(file.parts[:-1])
            return SyncEvent(source, SyncState.DELETED, execution, item.path, item.size_bytes)
        if removal is Removal.CONFLICT:
            conflict = ConflictError(
                f"{printable(item.path)}: S3 holds other content; the local file is kept"
            )
            return SyncEvent(source, SyncState.CONFLICT, execution, item.path, error=conflict)
        return None

    def _tell(self, event: SyncEvent) -> None:
        self.summary.add(event)
        self._on_event(event)


def _is_there(item: PlannedFile) -> bool:
    try:
        item.stat()
    except FileNotFoundError:
        return False
    except OSError:
        # Whatever it is now, it is not gone.
        return True
    return True


def _as_it_is_now(item: PlannedFile) -> PlannedFile:
    with contextlib.suppress(OSError):
        return replace(item, size_bytes=item.stat().st_size)
    return item


def _state(result: UploadResult) -> SyncState:
    if isinstance(result.error, SourceChangedError):
        return SyncState.SETTLING
    if isinstance(result.error, ConflictError):
        return SyncState.CONFLICT
    if result.error is not None or result.outcome is None:
        return SyncState.FAILED
    return SyncState(result.outcome.value)


def _not_removed(
    execution: BenchExecution, source: Path, error: Exception, path: str | None = None
) -> SyncEvent:
    message = error.message if isinstance(error, OrchestratorError) else str(error)
    failure = OrchestratorError(f"cannot remove {printable(source)}: {message}")
    return SyncEvent(str(source), SyncState.FAILED, execution, path, error=failure)


def _only(work: Callable[[], SyncEvent | None], _: object) -> SyncEvent | None:
    return work()
