"""The life of an execution: new, its files, finish, its history line."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from orchestrator_cli.core.base.errors import (
    ArchivedError,
    ConflictError,
    IntegrityError,
    NotFoundError,
    OrchestratorError,
    UsageError,
)
from orchestrator_cli.core.executions.keys import (
    execution_prefix,
    history_key,
    metadata_key,
    parse_artifact_key,
)
from orchestrator_cli.core.executions.listing import no_such_execution
from orchestrator_cli.core.executions.manifest import build_manifest, with_manifest
from orchestrator_cli.core.executions.metadata import (
    ArtifactStatus,
    ExecutionMetadata,
    Failure,
    Result,
    RunDetails,
    Status,
    parse_metadata,
)
from orchestrator_cli.core.executions.waiting import retry_if_new
from orchestrator_cli.core.s3.multipart import MultipartUploads
from orchestrator_cli.core.s3.types import PutOutcome
from orchestrator_cli.core.s3.writer import ArtifactStore

JSON_TYPE = "application/json"
# The archive rule takes objects over 128 KiB, and metadata.json must never be archived.
MAX_METADATA_BYTES = 128 * 1024
# Leaves room for the rest of the record. What does not fit is told by the command alone.
_MAX_FAILURES_BYTES = 64 * 1024
_SWAP_ATTEMPTS = 32


@dataclass(frozen=True, slots=True)
class Execution:
    """An execution's metadata and the ETag that a compare-and-swap needs."""

    metadata: ExecutionMetadata
    etag: str


# --- reading ---------------------------------------------------------------------------------


def read_execution(store: ArtifactStore, execution_id: str) -> Execution:
    """Return the validated metadata. Raises NotFoundError, IntegrityError."""
    try:
        stored = store.get(metadata_key(execution_id))
    except NotFoundError as error:
        if error.code == "NoSuchBucket":
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

    An execution whose metadata is missing, archived or not valid yields its error instead.
    """

    def read(execution_id: str) -> tuple[str, ExecutionMetadata | OrchestratorError]:
        try:
            return execution_id, read_execution(store, execution_id).metadata
        except (NotFoundError, ArchivedError, IntegrityError) as error:
            return execution_id, error

    yield from store.map_in_order(read, execution_ids)


# --- new -------------------------------------------------------------------------------------


def create_execution(store: ArtifactStore, metadata: ExecutionMetadata) -> ExecutionMetadata:
    """Write a new execution's metadata, or return what is there if it declares the same.

    Raises ConflictError where the id is taken by an execution that declares something else.
    """
    key = metadata_key(metadata.execution_id)
    outcome, _ = store.create(key, serialise(metadata), JSON_TYPE)
    if outcome is not PutOutcome.CONFLICT:
        return metadata
    existing = read_execution(store, metadata.execution_id).metadata
    if _declared(existing) != _declared(metadata):
        raise ConflictError(
            f"execution {metadata.execution_id} exists with other properties; nothing was changed",
            hint=f"`orchestrator show {metadata.execution_id}` shows them",
        )
    return existing


def create_or_reuse_execution(
    store: ArtifactStore, metadata: ExecutionMetadata
) -> ExecutionMetadata:
    """Write a new execution's metadata, or return what is there if it agrees with what is given.

    What is not given agrees with everything. Raises ConflictError.
    """
    key = metadata_key(metadata.execution_id)
    outcome, _ = store.create(key, serialise(metadata), JSON_TYPE)
    if outcome is not PutOutcome.CONFLICT:
        return metadata
    existing = read_execution(store, metadata.execution_id).metadata
    *given, _ = _declared(metadata)
    *there, _ = _declared(existing)
    differs = any(one not in (None, other) for one, other in zip(given, there, strict=True))
    if differs or not metadata.labels.items() <= existing.labels.items():
        raise ConflictError(
            f"execution {metadata.execution_id} exists with other properties; nothing was changed",
            hint=f"`orchestrator show {metadata.execution_id}` shows them",
        )
    return existing


def _declared(metadata: ExecutionMetadata) -> tuple[object, ...]:
    return (
        metadata.reservation_id,
        metadata.runner_type,
        metadata.bench_id,
        metadata.test_suite,
        metadata.labels,
    )


# --- changing --------------------------------------------------------------------------------


def update_metadata(
    store: ArtifactStore,
    execution_id: str,
    change: Callable[[ExecutionMetadata], ExecutionMetadata | None],
) -> ExecutionMetadata:
    """Change the metadata by compare-and-swap, again from the start when somebody was faster.

    Returns what is stored then. `change` returns the new record, or None to leave it as it is. It
    must not modify its argument, and made a second time it must change nothing.
    """
    for _ in range(_SWAP_ATTEMPTS):
        current = read_execution(store, execution_id)
        changed = change(current.metadata)
        if changed is None or serialise(changed) == serialise(current.metadata):
            return current.metadata
        content = serialise(changed)
        # Our own write whose answer was lost looks like a conflict; the next read tells. So it
        # does where the server cannot swap, and somebody may have overwritten ours.
        with contextlib.suppress(ConflictError):
            store.replace(metadata_key(execution_id), content, current.etag, JSON_TYPE)
            if store.swaps_atomically:
                return parse_metadata(content, execution_id)
        store.retry.wait_a_moment(at_least=0 if store.swaps_atomically else 2)
    raise ConflictError(
        f"metadata.json of {execution_id} keeps changing", hint="run the same command again"
    )


def serialise(metadata: ExecutionMetadata) -> bytes:
    """Return the stored form: without the manifest's lines where they would make it too large."""
    content = metadata.to_json()
    if len(content) > MAX_METADATA_BYTES and metadata.artifacts is not None:
        content = metadata.model_copy(update={"artifacts": None}).to_json()
    if len(content) > MAX_METADATA_BYTES:
        raise UsageError(f"metadata.json would be over {MAX_METADATA_BYTES:,} bytes")
    return content


def record_upload_result(
    store: ArtifactStore, execution_id: str, failed: dict[str, str], mended: set[str]
) -> ExecutionMetadata:
    """Note in the metadata what an upload changed: failures, mended failures, a longer manifest.

    `failed` maps paths to errors, `mended` are paths that are stored now. Costs one read where
    nothing changed on an execution that still runs.
    """

    def change(metadata: ExecutionMetadata) -> ExecutionMetadata | None:
        kept = [item for item in metadata.failures if item.path not in mended | failed.keys()]
        failures = kept + [Failure(path=path, error=error) for path, error in failed.items()]
        updated = metadata.model_copy(update={"failures": _as_many_as_fit(failures)})
        if metadata.status is Status.COMPLETED:
            updated = with_manifest(updated, build_manifest(store, execution_id, metadata))
        return updated.model_copy(update={"artifact_status": _artifact_status(updated)})

    return update_metadata(store, execution_id, change)


def _as_many_as_fit(failures: list[Failure]) -> list[Failure]:
    ends = itertools.accumulate(len(one.model_dump_json(indent=2)) + 32 for one in failures)
    return failures[: sum(end <= _MAX_FAILURES_BYTES for end in ends)]


def _artifact_status(metadata: ExecutionMetadata) -> ArtifactStatus:
    if metadata.failures:
        return ArtifactStatus.ARTIFACT_ERROR
    done = metadata.status is Status.COMPLETED
    return ArtifactStatus.COMPLETE if done else ArtifactStatus.PENDING


# --- finish ----------------------------------------------------------------------------------


def finish_execution(
    store: ArtifactStore,
    execution_id: str,
    result: Result,
    ended_at: datetime,
    run: RunDetails | None = None,
) -> ExecutionMetadata:
    """Write manifest, end and result, then the history line. Repeating it changes nothing.

    `run` says how the command ran, where `run` ran it. Raises ConflictError for another result
    than the one recorded.
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
        finished = with_manifest(finished, build_manifest(store, execution_id, metadata))
        return finished.model_copy(update={"artifact_status": _artifact_status(finished)})

    metadata = update_metadata(store, execution_id, change)
    # Written once: a line that is there already, from before a later upload, stays as it is.
    store.create(history_key(execution_id), history_line(metadata), "application/x-ndjson")
    return metadata


def history_line(metadata: ExecutionMetadata) -> bytes:
    """Return the history record: one JSON line, all of the metadata but the manifest's lines."""
    record = metadata.model_copy(update={"artifacts": None}).to_dict()
    del record["artifacts"]
    record["failure_count"] = len(record.pop("failures"))
    return json.dumps(record, ensure_ascii=False, sort_keys=True).encode() + b"\n"


def list_incomplete_uploads(store: ArtifactStore, execution_id: str) -> list[str]:
    """Return the paths whose multipart uploads have begun and not ended; [] where S3 won't say."""
    try:
        uploads = MultipartUploads(store).list_uploads(execution_prefix(execution_id))
        parsed = [parse_artifact_key(upload.key) for upload in uploads]
    except OrchestratorError:
        # A convenience must not fail what it follows.
        return []
    return sorted({item[1] for item in parsed if item is not None})
