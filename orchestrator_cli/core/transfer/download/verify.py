"""Compare what S3 holds with the manifest, and with local files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from functools import partial
from typing import NamedTuple

from orchestrator_cli.core.base.errors import IntegrityError, OrchestratorError, forget_frames
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.keys import METADATA_NAME
from orchestrator_cli.core.executions.listings.executions import list_files
from orchestrator_cli.core.executions.record.manifest import ManifestDigest, manifest_sha256
from orchestrator_cli.core.executions.record.metadata import Artifact, ExecutionMetadata
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.compare import StoredChecksum, StreamHasher, best_stored_checksum
from orchestrator_cli.core.s3.operations.put import has_content
from orchestrator_cli.core.s3.operations.read import get_range, head_for_compare
from orchestrator_cli.core.s3.operations.request import Operation
from orchestrator_cli.core.s3.types import Checksum, ObjectMetadata, ObjectSummary
from orchestrator_cli.core.transfer.download.range_reader import RANGE_BYTES
from orchestrator_cli.core.transfer.upload.plan import PlanItem, PlannedFile, SkippedPath


class Finding(StrEnum):
    """The verdict on one file."""

    OK = "ok"
    DIFFERS = "differs"
    MISSING = "missing"
    UNLISTED = "unlisted"
    UNREADABLE = "unreadable"
    UNVERIFIABLE = "unverifiable"
    SKIPPED = "skipped"


class VerifyResult(NamedTuple):
    """The finding on one file, and why. `checksum` is what S3 holds, where it was asked.

    `error` is what kept an object from being looked at.
    """

    path: str
    finding: Finding
    detail: str
    size_bytes: int = 0
    checksum: str | None = None
    error: OrchestratorError | None = None


def verify_stored(
    store: ArtifactStore, metadata: ExecutionMetadata, read_back: bool
) -> Iterator[VerifyResult]:
    """Yield a finding per stored file and per file of the manifest that is not stored.

    With `read_back` every byte is fetched and hashed; else S3's checksums are compared. Where the
    manifest was too long to keep, its totals and its digest are what the files are compared with,
    unless one of them could not be looked at. Raises errors that are fatal.
    """
    manifest = {item.path: item for item in metadata.artifacts or []}
    check = partial(_verify_object, manifest, metadata.artifacts is not None, read_back)
    missing, digest, is_whole = dict(manifest), ManifestDigest(), True
    checks = (
        _or_error(path, listed.size_bytes, check(path, listed))
        for path, listed in list_files(store, metadata.execution_id)
    )
    for verified in store.map_operations(checks):
        missing.pop(verified.path, None)
        digest.add(verified.path, verified.size_bytes, verified.checksum)
        is_whole = is_whole and verified.error is None
        yield verified
    for path, item in missing.items():
        yield VerifyResult(path, Finding.MISSING, "in the manifest, not in S3", item.size_bytes)
    if is_whole or metadata.artifacts is not None:
        yield from _verify_digest(metadata, digest)


def _verify_digest(metadata: ExecutionMetadata, stored: ManifestDigest) -> Iterator[VerifyResult]:
    """Yield a finding where the manifest, or else the stored files, do not match the digest."""
    if metadata.manifest_sha256 is None:
        return
    found = partial(VerifyResult, METADATA_NAME)
    if metadata.artifacts is not None:
        if manifest_sha256(metadata.artifacts) != metadata.manifest_sha256:
            yield found(Finding.DIFFERS, "the manifest does not match its own digest")
    elif stored.hexdigest() != metadata.manifest_sha256:
        count, expected = stored.count, metadata.artifact_count
        finding = Finding.MISSING if count < expected else Finding.UNLISTED
        yield found(
            Finding.DIFFERS if count == expected else finding,
            f"{count:,} files are stored, {expected:,} in the manifest; its digest does not match",
        )


def _or_error(
    path: str, size_bytes: int, check: Operation[VerifyResult]
) -> Operation[VerifyResult]:
    """Return what a check finds; an error that concerns its object alone is a finding too."""
    try:
        return (yield from check)
    except OrchestratorError as error:
        if error.is_fatal:
            raise
        forget_frames(error)
        return VerifyResult(path, Finding.UNREADABLE, error.message, size_bytes, error=error)


def _verify_object(
    manifest: dict[str, Artifact],
    complete: bool,
    read_back: bool,
    path: str,
    listed: ObjectSummary,
) -> Operation[VerifyResult]:
    head = yield from head_for_compare(listed.key)
    if head is None:
        return VerifyResult(path, Finding.MISSING, "vanished while it was looked at")
    stored = best_stored_checksum(head)
    checksum = str(stored.checksum) if stored else None
    found = partial(VerifyResult, path, size_bytes=head.size_bytes, checksum=checksum)
    expected = manifest.get(path)
    if expected is None and complete:
        return found(Finding.UNLISTED, "stored, but not in the manifest")
    difference = _difference(listed, head, checksum, expected)
    if difference is not None:
        return found(Finding.DIFFERS, difference)
    if stored is None:
        return found(Finding.UNVERIFIABLE, "S3 holds no checksum that can be recomputed")
    if read_back and (yield from read_back_checksum(head, stored)) != stored.checksum:
        return found(Finding.DIFFERS, "the bytes read back do not match the checksum")
    return found(Finding.OK, str(checksum))


def _difference(
    listed: ObjectSummary, head: ObjectMetadata, checksum: str | None, expected: Artifact | None
) -> str | None:
    if head.size_bytes != listed.size_bytes:
        return f"{head.size_bytes:,} bytes where it was looked up, {listed.size_bytes:,} listed"
    if expected is None or (expected.size_bytes, expected.checksum) == (head.size_bytes, checksum):
        return None
    return f"stored {checksum}, manifest {expected.checksum}"


def read_back_checksum(head: ObjectMetadata, like: StoredChecksum) -> Operation[Checksum]:
    """Read an object and return its checksum in the form of a stored one."""
    hasher, whole_bytes = StreamHasher(like, head.size_bytes), head.size_bytes
    for offset in range(0, whole_bytes, RANGE_BYTES):
        wanted_bytes = min(RANGE_BYTES, whole_bytes - offset)
        part = yield from get_range(head.key, offset, wanted_bytes, object_bytes=whole_bytes)
        hasher.update(part)
    return hasher.checksum()


def verify_local(store: ArtifactStore, plan: Iterable[PlanItem]) -> Iterator[VerifyResult]:
    """Yield a finding per local file of an upload plan: whether S3 holds the same bytes."""
    yield from store.map_operations(map(_verify_item, plan))


def _verify_item(item: PlanItem) -> Operation[VerifyResult]:
    if isinstance(item, SkippedPath):
        finding = Finding.UNREADABLE if item.error else Finding.SKIPPED
        return VerifyResult(item.source, finding, item.reason)
    return (yield from _or_error(item.path, item.size_bytes, _verify_file(item)))


def _verify_file(item: PlannedFile) -> Operation[VerifyResult]:
    found = partial(VerifyResult, item.path, size_bytes=item.size_bytes)
    head = yield from head_for_compare(item.key)
    if head is None:
        return found(Finding.MISSING, f"{printable(item.source)} is not stored")
    try:
        with item.open() as source:
            same = yield from has_content(head, source, source.size_bytes)
            source.ensure_unchanged()
    except OSError as error:
        return found(Finding.UNREADABLE, f"cannot read {printable(item.source)}: {error.strerror}")
    except (EOFError, IntegrityError):
        return found(Finding.UNREADABLE, f"{printable(item.source)} changed while it was read")
    if not same:
        return found(Finding.DIFFERS, f"{printable(item.source)} differs from what is stored")
    return found(Finding.OK, f"same as {printable(item.source)}")
