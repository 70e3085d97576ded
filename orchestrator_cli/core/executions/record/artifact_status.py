"""Decide the artifact status of an execution by the files that are stored and those that are not.

It must not know how a record is read or written.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection

from orchestrator_cli.core.base.errors import OrchestratorError
from orchestrator_cli.core.executions.keys import artifact_key, execution_prefix, parse_artifact_key
from orchestrator_cli.core.executions.record.manifest import build_manifest, find_lost
from orchestrator_cli.core.executions.record.metadata import (
    ArtifactStatus,
    ExecutionMetadata,
    Status,
    UnfinishedUpload,
)
from orchestrator_cli.core.executions.record.status_probe import MAX_METADATA_BYTES
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.operations.multipart_listing import list_multipart_uploads

# Leaves room for the rest of the record. What does not fit is told by the command alone.
_MAX_FAILURES_BYTES = 64 * 1024


def with_files(
    store: ArtifactStore,
    metadata: ExecutionMetadata,
    tree_is_stored: bool,
    resolved: Collection[str] = (),
) -> ExecutionMetadata:
    """Return the record with what is stored now, and with the status that follows from it.

    Files that an earlier manifest has otherwise are failures, unless they are `resolved`.
    """
    whole = is_tree_stored(metadata) or (tree_is_stored and metadata.is_onprem)
    metadata = metadata.model_copy(update={"tree_stored": whole})
    if metadata.status is Status.COMPLETED:
        manifest = build_manifest(store, metadata.execution_id, metadata, MAX_METADATA_BYTES)
        lost = find_lost(metadata.artifacts, manifest.artifacts)
        known = {one.path for one in metadata.failures}.union(resolved)
        failures = [*metadata.failures, *(one for one in lost if one.path not in known)]
        found = {"failures": failures, **manifest._asdict()}
        metadata = metadata.model_copy(update=found)
        left = [
            one for one in metadata.unfinished_uploads if one.more or _missing(store, metadata, one)
        ]
        metadata = metadata.model_copy(update={"unfinished_uploads": left})
    metadata = _with_fewer_failures(metadata)
    return metadata.model_copy(update={"artifact_status": _artifact_status(store, metadata)})


def _with_fewer_failures(metadata: ExecutionMetadata) -> ExecutionMetadata:
    """Return the record with as many failures as it has room for."""
    ends = itertools.accumulate(
        len(one.model_dump_json(indent=2)) + 32 for one in metadata.failures
    )
    kept = metadata.failures[: sum(end <= _MAX_FAILURES_BYTES for end in ends)]
    return metadata.model_copy(update={"failures": kept})


def is_tree_stored(metadata: ExecutionMetadata) -> bool:
    """Return True if the whole EFS tree of an on-prem execution has been stored."""
    if not metadata.is_onprem:
        return False
    return metadata.tree_stored or metadata.artifact_status is ArtifactStatus.COMPLETE


def without_tree(metadata: ExecutionMetadata) -> ExecutionMetadata:
    """Return the record with a status for an EFS tree that is not stored in whole."""
    pending = metadata.artifact_status is ArtifactStatus.COMPLETE
    status = ArtifactStatus.PENDING if pending else metadata.artifact_status
    return metadata.model_copy(update={"tree_stored": False, "artifact_status": status})


def _missing(
    store: ArtifactStore, metadata: ExecutionMetadata, upload: UnfinishedUpload
) -> list[str]:
    """Return the files of an unfinished upload that are not stored, by the manifest."""
    if metadata.artifacts is not None:
        stored = {artifact.path for artifact in metadata.artifacts}
        return [path for path in upload.paths if path not in stored]
    prefix = execution_prefix(metadata.execution_id)
    return [
        path
        for path in upload.paths
        if parse_artifact_key(prefix + path) is None or not is_stored(store, metadata, path)
    ]


def _artifact_status(store: ArtifactStore, metadata: ExecutionMetadata) -> ArtifactStatus:
    """Return the status: `complete` only where no file is missing or being uploaded."""
    if metadata.failures:
        return ArtifactStatus.ARTIFACT_ERROR
    if metadata.status is Status.RUNNING or metadata.unfinished_uploads:
        return ArtifactStatus.PENDING
    if metadata.run is not None and metadata.run.ended_at is None:
        # `run` was lost, and with it whatever it had not stored.
        return ArtifactStatus.PENDING
    if metadata.is_onprem and not metadata.tree_stored:
        return ArtifactStatus.PENDING
    unfinished = list_incomplete_uploads(store, metadata)
    return ArtifactStatus.PENDING if unfinished else ArtifactStatus.COMPLETE


def list_incomplete_uploads(store: ArtifactStore, metadata: ExecutionMetadata) -> list[str]:
    """Return the paths whose multipart uploads have begun, not ended, and are not stored either.

    [] where S3 won't say. The manifest has to be up to date.
    """
    stored = {artifact.path for artifact in metadata.artifacts or []}
    try:
        prefix = execution_prefix(metadata.execution_id)
        uploads = store.run(list_multipart_uploads(store.server, prefix))
    except OrchestratorError:
        # Those without the permission to list uploads may finish all the same.
        return []
    parsed = [parse_artifact_key(upload.key) for upload in uploads]
    begun = {item[1] for item in parsed if item and item[0] == metadata.execution_id}
    return sorted(path for path in begun - stored if not is_stored(store, metadata, path))


def list_unfinished(store: ArtifactStore, metadata: ExecutionMetadata) -> list[str]:
    """Return the paths that uploads have begun to store, and that are not stored yet."""
    marked = {
        path for one in metadata.unfinished_uploads for path in _missing(store, metadata, one)
    }
    return sorted(marked.union(list_incomplete_uploads(store, metadata)))


def is_stored(store: ArtifactStore, metadata: ExecutionMetadata, path: str) -> bool:
    """Return True if the execution has a file of this path."""
    # The manifest is left out of a record that it would make too large.
    return store.exists(artifact_key(metadata.execution_id, path))
