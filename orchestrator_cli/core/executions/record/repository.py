"""The life of an execution: new, its files, finish, its history line."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from orchestrator_cli.core.base.errors import (
    ConflictError,
    NotFoundError,
    OrchestratorError,
    UsageError,
)
from orchestrator_cli.core.executions.keys import (
    MAX_METADATA_READ_BYTES,
    artifact_key,
    execution_prefix,
    metadata_key,
    parse_artifact_key,
)
from orchestrator_cli.core.executions.listings.executions import no_such_execution
from orchestrator_cli.core.executions.record.history import write_history
from orchestrator_cli.core.executions.record.manifest import build_manifest, with_manifest
from orchestrator_cli.core.executions.record.metadata import (
    ArtifactStatus,
    ExecutionMetadata,
    Failure,
    Result,
    RunDetails,
    RunnerType,
    Status,
    parse_metadata,
)
from orchestrator_cli.core.executions.record.waiting import retry_if_new
from orchestrator_cli.core.s3.bucket.multipart import MultipartUploads
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.operations.read import get_object
from orchestrator_cli.core.s3.operations.request import Operation
from orchestrator_cli.core.s3.types import PutOutcome

JSON_TYPE = "application/json"
# The archive rule takes objects over 128 KiB, and metadata.json must never be archived.
MAX_METADATA_BYTES = 128 * 1024
# Leaves room for the rest of the record. What does not fit is told by the command alone.
_MAX_FAILURES_BYTES = 64 * 1024
_SWAP_ATTEMPTS = 32
_IDENTITY_FIELDS = ("reservation_id", "runner_type", "bench_id", "test_suite")


class Execution(NamedTuple):
    """An execution's metadata and the ETag that a compare-and-swap needs."""

    metadata: ExecutionMetadata
    etag: str


# --- reading ---------------------------------------------------------------------------------


def read_execution(store: ArtifactStore, execution_id: str) -> Execution:
    """Return the validated metadata. Raises NotFoundError, IntegrityError."""
    try:
        stored = store.get(metadata_key(execution_id), MAX_METADATA_READ_BYTES)
    except NotFoundError as error:
        if error.is_fatal:
            raise
        raise no_such_execution(store, execution_id) from error
    return Execution(parse_metadata(stored.content, execution_id), stored.etag)


def wait_for_execution(store: ArtifactStore, execution_id: str, now: datetime) -> Execution:
    """Return the validated metadata of an execution that may be in the making.

    `run` makes it while its command runs already, so one whose id is young gets some seconds.
    Raises NotFoundError, IntegrityError.
    """
    wait = store.retry.wait
    return retry_if_new(lambda: read_execution(store, execution_id), execution_id, now, wait)


def read_executions(
    store: ArtifactStore, execution_ids: Iterable[str]
) -> Iterator[tuple[str, ExecutionMetadata | OrchestratorError]]:
    """Yield the metadata of many executions in the order given, read ahead in parallel.

    An execution whose metadata cannot be read or is not valid yields its error instead.
    """
    for execution_id, found in store.map_operations(map(read_or_error, execution_ids)):
        is_missing = isinstance(found, NotFoundError)
        yield execution_id, no_such_execution(store, execution_id) if is_missing else found


def read_or_error(
    execution_id: str,
) -> Operation[tuple[str, ExecutionMetadata | OrchestratorError]]:
    """Read the metadata of an execution; what concerns it alone is returned instead."""
    try:
        stored = yield from get_object(metadata_key(execution_id), MAX_METADATA_READ_BYTES)
        return execution_id, parse_metadata(stored.content, execution_id)
    except OrchestratorError as error:
        if error.is_fatal:
            raise
        return execution_id, error


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
    filled = existing.model_copy(update={**missing, "labels": {**existing.labels, **given.labels}})
    if filled.bench_id is not None and filled.runner_type not in (None, RunnerType.ONPREM):
        raise _taken(given.execution_id)
    return filled


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
    for _ in range(_SWAP_ATTEMPTS):
        current = read_execution(store, execution_id)
        changed = change(current.metadata)
        if changed is None or serialise(changed) == serialise(current.metadata):
            return _with_history(store, current.metadata)
        content = serialise(changed)
        # Our own write whose answer was lost looks like a conflict; the next read tells. So it
        # does where the server cannot swap, and somebody may have overwritten ours.
        with contextlib.suppress(ConflictError):
            store.compare_and_swap(metadata_key(execution_id), content, current.etag, JSON_TYPE)
            if store.swaps_atomically:
                return _with_history(store, parse_metadata(content, execution_id))
        store.retry.wait_a_moment(at_least=0 if store.swaps_atomically else 2)
    raise ConflictError(
        f"metadata.json of {execution_id} keeps changing", hint="run the same command again"
    )


def _with_history(store: ArtifactStore, metadata: ExecutionMetadata) -> ExecutionMetadata:
    """Return the record, once its history line says the same where it is finished."""
    if metadata.status is Status.COMPLETED:
        execution_id = metadata.execution_id
        write_history(store, metadata, lambda: read_execution(store, execution_id).metadata)
    return metadata


def serialise(metadata: ExecutionMetadata) -> bytes:
    """Return the stored form: without the manifest's lines where they would make it too large."""
    content = metadata.to_json()
    if len(content) > MAX_METADATA_BYTES and metadata.artifacts is not None:
        content = metadata.model_copy(update={"artifacts": None}).to_json()
    if len(content) > MAX_METADATA_BYTES:
        raise UsageError(f"metadata.json would be over {MAX_METADATA_BYTES:,} bytes")
    return content


def record_upload_result(
    store: ArtifactStore,
    execution_id: str,
    failed: dict[str, str],
    resolved: set[str],
    tree_is_stored: bool = False,
) -> ExecutionMetadata:
    """Note in the metadata what an upload changed: failures, resolved failures, a longer manifest.

    `failed` maps paths to errors, `resolved` are paths that are stored now. `tree_is_stored` says
    that an on-prem execution's EFS tree is stored in whole. Costs one read where nothing changed on
    an execution that still runs.
    """

    def change(metadata: ExecutionMetadata) -> ExecutionMetadata:
        kept = [item for item in metadata.failures if item.path not in resolved | failed.keys()]
        failures = kept + [Failure(path=path, error=error) for path, error in failed.items()]
        updated = metadata.model_copy(update={"failures": _truncate_failures(failures)})
        return _with_files(store, updated, tree_is_stored)

    return update_metadata(store, execution_id, change)


def _with_files(
    store: ArtifactStore, metadata: ExecutionMetadata, tree_is_stored: bool
) -> ExecutionMetadata:
    """Return the record with what is stored now, and with the status that follows from it."""
    if metadata.status is Status.COMPLETED:
        manifest = build_manifest(store, metadata.execution_id, metadata, MAX_METADATA_BYTES)
        metadata = with_manifest(metadata, manifest)
    status = _artifact_status(store, metadata, tree_is_stored)
    return metadata.model_copy(update={"artifact_status": status})


def _truncate_failures(failures: list[Failure]) -> list[Failure]:
    ends = itertools.accumulate(len(one.model_dump_json(indent=2)) + 32 for one in failures)
    return failures[: sum(end <= _MAX_FAILURES_BYTES for end in ends)]


def _artifact_status(
    store: ArtifactStore, metadata: ExecutionMetadata, tree_is_stored: bool
) -> ArtifactStatus:
    """Return what may be promised: `complete` only where no file is missing or on its way."""
    if metadata.failures:
        return ArtifactStatus.ARTIFACT_ERROR
    if metadata.status is Status.RUNNING:
        return ArtifactStatus.PENDING
    was_complete = metadata.artifact_status is ArtifactStatus.COMPLETE
    if metadata.runner_type is RunnerType.ONPREM and not (tree_is_stored or was_complete):
        return ArtifactStatus.PENDING
    unfinished = list_incomplete_uploads(store, metadata)
    return ArtifactStatus.PENDING if unfinished else ArtifactStatus.COMPLETE


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

    `run` says how the command ran, where `run` ran it. An on-prem execution stays pending until
    its EFS tree is stored, unless `tree_is_stored` says that nothing more comes from there. Raises
    ConflictError for another result than the one recorded.
    """

    def change(metadata: ExecutionMetadata) -> ExecutionMetadata:
        if metadata.result not in (None, result):
            raise ConflictError(
                f"execution {execution_id} is finished with result {metadata.result}, "
                f"not {result}; nothing was changed"
            )
        finished = metadata.model_copy(
            update={
                "status": Status.COMPLETED,
                "result": result,
                "ended_at": metadata.ended_at or max(ended_at, metadata.started_at or ended_at),
                "run": run or metadata.run,
            }
        )
        return _with_files(store, finished, tree_is_stored)

    return update_metadata(store, execution_id, change)


def list_incomplete_uploads(store: ArtifactStore, metadata: ExecutionMetadata) -> list[str]:
    """Return the paths whose multipart uploads have begun, not ended, and are not stored either.

    [] where S3 won't say. The manifest has to be up to date.
    """
    stored = {artifact.path for artifact in metadata.artifacts or []}
    try:
        uploads = MultipartUploads(store).list_uploads(execution_prefix(metadata.execution_id))
        parsed = [parse_artifact_key(upload.key) for upload in uploads]
    except OrchestratorError:
        # Those without the permission to list uploads may finish all the same.
        return []
    begun = {item[1] for item in parsed if item and item[0] == metadata.execution_id}
    return sorted(path for path in begun - stored if not _is_stored(store, metadata, path))


def _is_stored(store: ArtifactStore, metadata: ExecutionMetadata, path: str) -> bool:
    # The manifest is left out of a record that it would make too large.
    return store.exists(artifact_key(metadata.execution_id, path))
