"""The manifest: every file of an execution with size, checksum and content type."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Protocol

from orchestrator_cli.core.executions.listings.executions import list_files
from orchestrator_cli.core.executions.record.metadata import Artifact, ExecutionMetadata
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.compare import best_stored_checksum
from orchestrator_cli.core.s3.operations.read import head_for_compare
from orchestrator_cli.core.s3.operations.request import Operation
from orchestrator_cli.core.s3.types import ObjectSummary


def build_manifest(
    store: ArtifactStore, execution_id: str, metadata: ExecutionMetadata
) -> list[Artifact]:
    """Return the manifest from the listing, sorted by path.

    Lines of an earlier manifest serve again, since files are immutable; the others cost one
    HeadObject each.
    """
    known = {item.path: item for item in metadata.artifacts or []}

    files = list_files(store, execution_id)
    described = store.map_operations(_describe(path, listed, known) for path, listed in files)
    manifest = [artifact for artifact in described if artifact is not None]
    return sorted(manifest, key=lambda artifact: artifact.path.encode())


def _describe(
    path: str, listed: ObjectSummary, known: dict[str, Artifact]
) -> Operation[Artifact | None]:
    if path in known and known[path].size_bytes == listed.size_bytes:
        return known[path]
    head = yield from head_for_compare(listed.key)
    if head is None:
        return None
    stored = best_stored_checksum(head)
    return Artifact(
        path=path,
        size_bytes=head.size_bytes,
        checksum=str(stored.checksum) if stored else None,
        content_type=head.content_type,
    )


def with_manifest(metadata: ExecutionMetadata, manifest: list[Artifact]) -> ExecutionMetadata:
    """Return the record with this manifest, its totals and its digest."""
    return metadata.model_copy(
        update={
            "artifacts": manifest,
            "artifact_count": len(manifest),
            "artifact_bytes": sum(artifact.size_bytes for artifact in manifest),
            "manifest_sha256": manifest_sha256(manifest),
        }
    )


# What the digest is over where S3 holds no checksum of a file.
NO_CHECKSUM = "-"


class ManifestLine(Protocol):
    """What the digest is over."""

    @property
    def path(self) -> str:
        """The path relative to the execution."""

    @property
    def size_bytes(self) -> int:
        """The size in bytes."""

    @property
    def checksum(self) -> str | None:
        """The checksum that S3 holds."""


def manifest_sha256(manifest: Iterable[ManifestLine]) -> str:
    """Return the hex SHA-256 over the lines `path size checksum`, sorted by the path's bytes."""
    digest = hashlib.sha256()
    for artifact in sorted(manifest, key=lambda line: line.path.encode()):
        line = f"{artifact.path} {artifact.size_bytes} {artifact.checksum or NO_CHECKSUM}\n"
        digest.update(line.encode())
    return digest.hexdigest()
