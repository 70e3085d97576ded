"""The life of an execution: new, its files, finish, its history line."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from orchestrator_cli.core.base.errors import (
    ConflictError,
    NotFoundError,
    OrchestratorError,
    UsageError,
    forget_frames,
    suppress_unless_fatal,
)
from orchestrator_cli.core.executions.keys import MAX_METADATA_READ_BYTES, metadata_key
from orchestrator_cli.core.executions.listings.executions import no_such_execution
from orchestrator_cli.core.executions.record.artifact_status import (
    is_tree_stored,
    with_files,
    without_tree,
)
from orchestrator_cli.core.executions.record.history import write_history
from orchestrator_cli.core.executions.record.metadata import (
    ArtifactStatus,
    ExecutionMetadata,
    Failure,
    Result,
    RunDetails,
    RunnerType,
    Status,
    UnfinishedUpload,
    latest_run,
    parse_metadata,
)
from orchestrator_cli.core.executions.record.status_probe import (
    JSON_TYPE,
    MAX_METADATA_BYTES,
    SWAP_ATTEMPTS,
    keeps_changing,
)
from orchestrator_cli.core.executions.record.upload_mark import UploadMark, with_mark, without_marks
from orchestrator_cli.core.s3.bucket.reader import ObjectReader
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.operations.read import get_object
from orchestrator_cli.core.s3.operations.request import Operation
from orchestrator_cli.core.s3.types import PutOutcome

_IDENTITY_FIELDS = ("reservation_id", "runner_type", "bench_id", "test_suite")


class StoredRecord(NamedTuple):
    """An execution's metadata and the ETag that a compare-and-swap needs."""

    metadata: ExecutionMetadata
    etag: str


# --- reading ---------------------------------------------------------------------------------


def read_execution(store: ArtifactStore, execution_id: str) -> StoredRecord:
    """Return the validated metadata. Raises NotFoundError, IntegrityError."""
    with suppress_unless_fatal(NotFoundError):
        stored = store.get(metadata_key(execution_id), MAX_METADATA_READ_BYTES)
        return StoredRecord(parse_metadata(stored.content, execution_id), stored.etag)
    raise no_such_execution(store, execution_id)


def read_executions(
    store: ArtifactStore, execution_ids: Iterable[str]
) -> Iterator[tuple[str, ExecutionMetadata | OrchestratorError]]:
    """Yield the metadata of many executions in the order given, read ahead in parallel.

    An execution whose metadata cannot be read or is not valid yields its error instead.
    """
    return store.map_operations(read_or_error(store, one) for one in execution_ids)


def read_or_error(
    store: ObjectReader, execution_id: str
) -> Operation[tuple[str, ExecutionMetadata | OrchestratorError]]:
    """Read the metadata of an execution; what concerns it alone is returned instead."""
    try:
        stored = yield from get_object(metadata_key(execution_id), MAX_METADATA_READ_BYTES)
        return execution_id, parse_metadata(stored.content, execution_id)
    except OrchestratorError as error:
        if error.is_fatal:
            raise
        forget_frames(error)
        is_missing = isinstance(error, NotFoundError)
        return execution_id, no_such_execution(store, execution_id) if is_missing else error


# --- new -------------------------------------------------------------------------------------


def create_execution(store: ArtifactStore, metadata: ExecutionMetadata) -> ExecutionMetadata:
    """Write a new execution's metadata, or fill in what the one that is there leaves open.

    What is not given agrees with everything. Raises ConflictError, and changes nothing, where the
    id is taken by an execution that declares something else.
    """
    key = metadata_key(metadata.execution_id)
    outcome, _ = store.put_if_absent(key, serialise(metadata), JSON_TYPE)
    if outcome is not PutOutcome.CONFLICT:
        return metadata
    return update_metadata(
        store, metadata.execution_id, lambda existing: _filled_in(existing, metadata)
    )


def _filled_in(existing: ExecutionMetadata, given: ExecutionMetadata) -> ExecutionMetadata:
    """Return the existing record with what it left open. Raises ConflictError."""
    missing: dict[str, object] = {}
    for name in _IDENTITY_FIELDS:
        wanted, there = getattr(given, name), getattr(existing, name)
        if there is None:
            missing[name] = wanted
        elif wanted is not None and wanted != there:
            raise _taken(given.execution_id)
    if any(existing.labels.get(key, value) != value for key, value in given.labels.items()):
        raise _taken(given.execution_id)
    missing["run"] = existing.run or given.run
    filled = existing.model_copy(update={**missing, "labels": {**existing.labels, **given.labels}})
    if filled.bench_id is not None and filled.runner_type not in (None, RunnerType.ONPREM):
        raise _taken(given.execution_id)
    # Now there is a tree of which nothing is stored.
    return without_tree(filled) if filled.is_onprem and not existing.is_onprem else filled


def _taken(execution_id: str) -> ConflictError:
    return ConflictError(
        f"execution {execution_id} exists with other properties; nothing was changed",
        hint=f"`orchestrator show {execution_id}` shows them",
    )


# --- changing --------------------------------------------------------------------------------


def update_metadata(
    store: ArtifactStore,
    execution_id: str,
    change: Callable[[ExecutionMetadata], ExecutionMetadata | None],
) -> ExecutionMetadata:
    """Change the metadata by compare-and-swap, again from the start when somebody was faster.

    Returns what is stored then; the history line of a finished execution follows. `change` returns
    the new record, or None to leave it as it is. It must not modify its argument, and made a second
    time it must change nothing.
    """
    for _ in range(SWAP_ATTEMPTS):
        current = read_execution(store, execution_id)
        changed = change(current.metadata)
        if changed is None or serialise(changed) == serialise(current.metadata):
            return _with_history(store, current.metadata)
        content = serialise(changed)
        # Our own write whose response was lost looks like a conflict; the next read tells. So it
        # does where the server cannot swap, and somebody may have overwritten ours.
        with contextlib.suppress(ConflictError):
            store.compare_and_swap(metadata_key(execution_id), content, current.etag, JSON_TYPE)
            if store.server.swaps_atomically:
                return _with_history(store, parse_metadata(content, execution_id))
        store.retry.wait_jitter(at_least=0 if store.server.swaps_atomically else 2)
    raise keeps_changing(f"metadata.json of {execution_id}")


def _with_history(store: ArtifactStore, metadata: ExecutionMetadata) -> ExecutionMetadata:
    """Return the record, once its history line says the same where it is finished.

    The record is stored by then: an error says that the line alone is missing, and what writes it.
    """
    if metadata.status is Status.COMPLETED:
        execution_id = metadata.execution_id
        try:
            write_history(store, metadata, lambda: read_execution(store, execution_id).metadata)
        except OrchestratorError as error:
            repeat = f"`orchestrator finish {execution_id} --result {metadata.result}`"
            missing = f"the record is stored, its history line is not: {repeat} writes it"
            error.hint = f"{error.hint}; {missing}" if error.hint else missing
            raise
    return metadata


def serialise(metadata: ExecutionMetadata) -> bytes:
    """Return the stored form: without the manifest's lines where they would make it too large."""
    content = metadata.to_json()
    if len(content) > MAX_METADATA_BYTES and metadata.artifacts is not None:
        content = metadata.model_copy(update={"artifacts": None}).to_json()
    if len(content) > MAX_METADATA_BYTES:
        raise UsageError(f"metadata.json would be over {MAX_METADATA_BYTES:,} bytes")
    return content


def record_upload_begun(store: ArtifactStore, execution_id: str, mark: UploadMark) -> None:
    """Note in the metadata that an upload has begun; a complete execution becomes pending."""

    def change(metadata: ExecutionMetadata) -> ExecutionMetadata:
        status = metadata.artifact_status
        if status is ArtifactStatus.COMPLETE:
            status = ArtifactStatus.PENDING
        return _with_marks(metadata, partial(with_mark, mark=mark)).model_copy(
            update={"artifact_status": status, "tree_stored": is_tree_stored(metadata)}
        )

    update_metadata(store, execution_id, change)


def record_upload_result(
    store: ArtifactStore,
    execution_id: str,
    failed: dict[str, str],
    resolved: set[str],
    tree_is_stored: bool = False,
    ended: Collection[str] = (),
) -> ExecutionMetadata:
    """Note in the metadata what an upload changed: failures, resolved failures, a longer manifest.

    `failed` maps paths to errors, `resolved` are paths that are stored now, `ended` the ids of
    uploads that are unfinished no longer. `tree_is_stored` says that an on-prem execution's EFS
    tree is stored in whole. Costs one read where nothing changed on an execution that still runs.
    """

    def change(metadata: ExecutionMetadata) -> ExecutionMetadata:
        kept = [item for item in metadata.failures if item.path not in resolved | failed.keys()]
        failures = kept + [Failure(path=path, error=error) for path, error in failed.items()]
        updated = metadata.model_copy(update={"failures": failures})
        if ended:
            updated = _with_marks(updated, partial(without_marks, upload_ids=ended))
        return with_files(store, updated, tree_is_stored, resolved)

    return update_metadata(store, execution_id, change)


def record_tree_growing(store: ArtifactStore, execution_id: str) -> ExecutionMetadata:
    """Note in the metadata that more of an execution's EFS tree is about to be stored.

    Until `record_upload_result` says that the tree is stored, it is not complete any more.
    """

    def change(metadata: ExecutionMetadata) -> ExecutionMetadata:
        return without_tree(metadata) if is_tree_stored(metadata) else metadata

    return update_metadata(store, execution_id, change)


def _with_marks(
    metadata: ExecutionMetadata, change: Callable[[list[Any]], list[Any]]
) -> ExecutionMetadata:
    """Return the record with its unfinished uploads changed, which are given JSON-ready."""
    marks = change([one.model_dump(mode="json") for one in metadata.unfinished_uploads])
    uploads = [UnfinishedUpload.model_validate(one) for one in marks]
    return metadata.model_copy(update={"unfinished_uploads": uploads})


# --- finish ----------------------------------------------------------------------------------


def finish_execution(
    store: ArtifactStore,
    execution_id: str,
    result: Result,
    ended_at: datetime,
    run: RunDetails | None = None,
    tree_is_stored: bool = False,
) -> ExecutionMetadata:
    """Write manifest, end and result, then the history line. Repeating it changes nothing.

    An on-prem execution stays pending until its EFS tree is stored, unless `tree_is_stored` says
    that nothing more comes from there. `run` says how the command ran, where `run` ran it: that is
    recorded although another result stands. Without it, another result raises ConflictError.
    """

    def change(metadata: ExecutionMetadata) -> ExecutionMetadata:
        stands = metadata.result or result
        if stands is not result and run is None:
            raise ConflictError(
                f"execution {execution_id} is finished with result {metadata.result}, "
                f"not {result}; nothing was changed"
            )
        finished = metadata.model_copy(
            update={
                "status": Status.COMPLETED,
                "result": stands,
                "ended_at": metadata.ended_at or max(ended_at, metadata.started_at or ended_at),
                "run": latest_run(metadata.run, run, agrees=stands is result),
            }
        )
        return with_files(store, finished, tree_is_stored)

    return update_metadata(store, execution_id, change)
