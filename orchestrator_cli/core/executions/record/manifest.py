"""The manifest: every file of an execution with size, checksum and content type."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from orchestrator_cli.core.executions.listings.executions import list_files
from orchestrator_cli.core.executions.record.metadata import Artifact, ExecutionMetadata, Failure
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.compare import (
    best_stored_checksum,
    check_listed_size,
    listed_and_missing,
)
from orchestrator_cli.core.s3.operations.read import head_for_compare
from orchestrator_cli.core.s3.operations.request import Operation
from orchestrator_cli.core.s3.types import ObjectSummary

# What a line has besides its path, at least.
_LEAST_JSON_BYTES = 80
_GONE = "it was stored, and somebody has removed it since"
_REPLACED = "it was stored, and somebody has overwritten it since"


class Manifest(NamedTuple):
    """The totals and the digest of an execution's files, and its lines where they are few.

    The fields are those of the record that hold them.
    """

    artifacts: list[Artifact] | None
    artifact_count: int
    artifact_bytes: int
    manifest_sha256: str


def build_manifest(
    store: ArtifactStore, execution_id: str, metadata: ExecutionMetadata, max_bytes: int
) -> Manifest:
    """Return the manifest from the listing, whose order is that of the lines.

    Lines of an earlier manifest serve again, since files are immutable; the others cost one
    HeadObject each. The lines are left out where they cannot fit into so many bytes of JSON: memory
    does not follow the number of files. Raises IntegrityError where a file is not as it is listed.
    """
    known = {item.path: item for item in metadata.artifacts or []}
    files = list_files(store, execution_id)
    described = store.map_operations(_describe(path, listed, known) for path, listed in files)
    digest = ManifestDigest()
    lines: list[Artifact] | None = []
    left_bytes = max_bytes
    for artifact in described:
        digest.add(artifact.path, artifact.size_bytes, artifact.checksum)
        left_bytes -= len(artifact.path) + _LEAST_JSON_BYTES
        if lines is not None and left_bytes >= 0:
            lines.append(artifact)
        else:
            lines = None
    return Manifest(lines, digest.count, digest.size_bytes, digest.hexdigest())


def _describe(path: str, listed: ObjectSummary, known: dict[str, Artifact]) -> Operation[Artifact]:
    if path in known and known[path].size_bytes == listed.size_bytes:
        return known[path]
    head = yield from head_for_compare(listed.key)
    if head is None:
        # It may have been removed just now. To leave it out would call the execution complete.
        raise listed_and_missing(listed.key)
    check_listed_size(head, listed.size_bytes)
    stored = best_stored_checksum(head)
    return Artifact(
        path=path,
        size_bytes=head.size_bytes,
        checksum=str(stored.checksum) if stored else None,
        content_type=head.content_type,
    )


def find_lost(before: list[Artifact] | None, now: list[Artifact] | None) -> list[Failure]:
    """Return which files of an earlier manifest somebody has removed or overwritten since.

    None where a manifest was too long to be kept: then nobody can tell.
    """
    if before is None or now is None:
        return []
    sizes = {one.path: one.size_bytes for one in now}
    return [
        Failure(path=one.path, error=_REPLACED if one.path in sizes else _GONE)
        for one in before
        if sizes.get(one.path) != one.size_bytes
    ]


# What the digest is over where S3 holds no checksum of a file.
NO_CHECKSUM = "-"


class ManifestDigest:
    """The SHA-256 over the lines `path size checksum`, which come sorted by the path's bytes."""

    def __init__(self) -> None:
        self.count = 0
        self.size_bytes = 0
        self._digest = hashlib.sha256()

    def add(self, path: str, size_bytes: int, checksum: str | None) -> None:
        """Add the line of the next file; `checksum` is None where S3 holds none."""
        self.count += 1
        self.size_bytes += size_bytes
        self._digest.update(f"{path} {size_bytes} {checksum or NO_CHECKSUM}\n".encode())

    def hexdigest(self) -> str:
        """Return the digest over the lines so far."""
        return self._digest.hexdigest()


def manifest_sha256(artifacts: Iterable[Artifact]) -> str:
    """Return the digest over the lines of files in any order."""
    digest = ManifestDigest()
    for one in sorted(artifacts, key=lambda one: one.path.encode()):
        digest.add(one.path, one.size_bytes, one.checksum)
    return digest.hexdigest()
