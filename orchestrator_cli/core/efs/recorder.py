"""Keep the record of an execution whose files a sync stores: its owner, and the failures."""

from __future__ import annotations

from datetime import datetime

from orchestrator_cli.core.base.errors import ConflictError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.efs.contract.record import metadata_from_directory
from orchestrator_cli.core.efs.sync_pass import SyncPass
from orchestrator_cli.core.executions.record.artifact_status import is_tree_stored
from orchestrator_cli.core.executions.record.metadata import (
    ArtifactStatus,
    ExecutionMetadata,
    RunnerType,
    Status,
)
from orchestrator_cli.core.executions.record.repository import (
    create_execution,
    finish_execution,
    read_execution,
    record_tree_growing,
    record_upload_result,
)
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore


class Recorder:
    """Reads and changes `metadata.json` for a sync."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    def check_owner(self, current: SyncPass) -> None:
        """Read the record. Raises ConflictError for an execution of another bench, or of none."""
        execution = current.execution
        if not current.has_record:
            return
        metadata = self._read(current)
        current.metadata = metadata
        if _is_of(metadata, execution.bench_id):
            return
        message = f"execution {execution.execution_id} is one of {_owner(metadata)}"
        if metadata.bench_id is None and metadata.runner_type is None:
            options = f"--id {execution.execution_id} --bench-id {printable(execution.bench_id)}"
            message += f" until `orchestrator new {options}` says that it is this one's"
        raise ConflictError(f"{message}; nothing was stored")

    def ensure_execution(self, current: SyncPass) -> None:
        """Make the execution of a bench that could not reach S3 itself."""
        if current.has_record:
            return
        declared = current.declared
        made = declared.as_running() if declared else metadata_from_directory(current.execution)
        try:
            create_execution(self._store, made)
        except ConflictError:
            # Somebody made it meanwhile and knows more of it. It must be readable, though.
            self._read(current)
        current.has_record = True

    def before_storing(self, current: SyncPass) -> None:
        """Make the execution, and clear `complete` from its record before more is sent."""
        self.ensure_execution(current)
        if current.metadata is not None and is_tree_stored(current.metadata):
            execution_id = current.execution.execution_id
            current.metadata = record_tree_growing(self._store, execution_id)

    def declare(self, current: SyncPass) -> None:
        """Make the execution that a bench declares, or fill in the missing fields of its record.

        Raises ConflictError where the record says something else.
        """
        if current.declared is None:
            return
        if current.metadata is None:
            self.ensure_execution(current)
            return
        given, there = current.declared.as_running(), current.metadata
        names = ("reservation_id", "test_suite")
        is_known = all(getattr(given, name) in (None, getattr(there, name)) for name in names)
        if not is_known or given.labels.items() - there.labels.items():
            current.metadata = create_execution(self._store, given)

    def finish(self, current: SyncPass, now: datetime, *, is_whole: bool) -> None:
        """Record the result that the bench has declared, once; its files may still be on the way.

        Raises ConflictError where another result is recorded.
        """
        declared = current.declared.declared if current.declared is not None else None
        if declared is None or declared.result is None:
            return
        if current.metadata is not None and current.metadata.result is declared.result:
            return
        self.ensure_execution(current)
        current.metadata = finish_execution(
            self._store,
            declared.execution_id,
            declared.result,
            declared.ended_at or now,
            tree_is_stored=is_whole,
        )

    def record(self, current: SyncPass, *, is_whole: bool, has_seen_all: bool) -> None:
        """Note failures in the metadata, and clear those that the pass has resolved.

        `is_whole`: every file of the tree is stored. One that was finished when the pass began is
        complete then; a test that was not over may have written more since.
        `has_seen_all`: no file is left that the pass has not looked at.
        """
        failed = current.failures()
        if failed:
            self.ensure_execution(current)
        elif not current.has_record:
            return
        metadata = current.metadata or self._read(current)
        resolved = _resolved(current, metadata, has_seen_all) - failed.keys()
        is_whole = is_whole and current.was_finished
        awaited = is_whole and metadata.artifact_status is not ArtifactStatus.COMPLETE
        if failed or resolved or current.created or awaited:
            execution_id = current.execution.execution_id
            written = record_upload_result(
                self._store, execution_id, failed, resolved, tree_is_stored=is_whole
            )
            has_ended = written.status is Status.COMPLETED
            current.ended_meanwhile = has_ended and not current.is_finished

    def _read(self, current: SyncPass) -> ExecutionMetadata:
        return read_execution(self._store, current.execution.execution_id).metadata


def _resolved(current: SyncPass, metadata: ExecutionMetadata, has_seen_all: bool) -> set[str]:
    """Return the paths of recorded failures that are no failures any more."""
    execution = current.execution
    failing = {failure.path for failure in metadata.failures}
    # That S3 holds something under a name is not enough: the file may be in conflict with it.
    resolved = failing & current.held
    if has_seen_all and execution.has_raw():
        # What had no place or could not be read, and is no longer so.
        below = printable(execution.directory) + "/"
        resolved |= {path for path in failing if path.startswith(below)}
    return resolved - {result.path for result in current.failed.values()}


def _is_of(metadata: ExecutionMetadata, bench_id: str) -> bool:
    if metadata.runner_type is RunnerType.ONPREM and metadata.bench_id is None:
        return True
    # One that says nothing of either may be anybody's, such as a CI job's.
    return metadata.bench_id == bench_id


def _owner(metadata: ExecutionMetadata) -> str:
    if metadata.bench_id is not None:
        return printable(f"bench {metadata.bench_id}")
    return f"runner type {metadata.runner_type}" if metadata.runner_type else "no bench"
