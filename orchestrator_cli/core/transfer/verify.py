"""Compare what S3 holds with the manifest, and with local files."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from orchestrator_cli.core.base.errors import IntegrityError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.keys import METADATA_NAME
from orchestrator_cli.core.executions.listing import list_files
from orchestrator_cli.core.executions.manifest import manifest_sha256
from orchestrator_cli.core.executions.metadata import Artifact, ExecutionMetadata
from orchestrator_cli.core.s3.compare import best_stored_checksum, content_equals
from orchestrator_cli.core.s3.types import ObjectMetadata, ObjectSummary
from orchestrator_cli.core.s3.writer import ArtifactStore
from orchestrator_cli.core.transfer.plan import PlanItem, SkippedPath


class Finding(StrEnum):
    """What was found of one file."""

    OK = "ok"
    DIFFERS = "differs"
    MISSING = "missing"
    UNLISTED = "unlisted"
    UNREADABLE = "unreadable"
    UNVERIFIABLE = "unverifiable"


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """The finding on one file, and why. `checksum` is what S3 holds, where it was asked."""

    path: str
    finding: Finding
    detail: str
    size_bytes: int = 0
    checksum: str | None = None


def verify_stored(
    store: ArtifactStore, metadata: ExecutionMetadata, read_back: bool
) -> Iterator[VerifyResult]:
    """Yield a finding per stored file and per file of the manifest that is not stored.

    With `read_back` every byte is fetched and hashed; else S3's checksums are compared. Where the
    manifest was too long to keep, its totals and its digest are what the files are compared with.
    """
    manifest = {item.path: item for item in metadata.artifacts or []}
    complete = metadata.artifacts is not None
    check = partial(_verify_object, store, manifest, complete, read_back)
    files = list_files(store, metadata.execution_id)
    seen: dict[str, VerifyResult] = {}
    for verified in store.map_in_order(check, files):
        seen[verified.path] = verified
        yield verified
    for path, item in manifest.items():
        if path not in seen:
            yield VerifyResult(path, Finding.MISSING, "in the manifest, not in S3", item.size_bytes)
    yield from _verify_digest(metadata, seen.values())


def _verify_digest(
    metadata: ExecutionMetadata, stored: Collection[VerifyResult]
) -> Iterator[VerifyResult]:
    """Yield a finding where the manifest, or in its absence what is stored, is not what it was."""
    if metadata.manifest_sha256 is None:
        return
    found = partial(VerifyResult, METADATA_NAME)
    if metadata.artifacts is not None:
        if manifest_sha256(metadata.artifacts) != metadata.manifest_sha256:
            yield found(Finding.DIFFERS, "the manifest does not match its own digest")
    elif manifest_sha256(stored) != metadata.manifest_sha256:
        count, expected = len(stored), metadata.artifact_count
        finding = Finding.MISSING if count < expected else Finding.UNLISTED
        yield found(
            Finding.DIFFERS if count == expected else finding,
            f"{count:,} files are stored, {expected:,} in the manifest; its digest does not match",
        )


def _verify_object(
    store: ArtifactStore,
    manifest: dict[str, Artifact],
    complete: bool,
    read_back: bool,
    item: tuple[str, ObjectSummary],
) -> VerifyResult:
    path, listed = item
    head = store.head_with_checksum(listed.key)
    if head is None:
        return VerifyResult(path, Finding.MISSING, "vanished while it was looked at")
    stored = best_stored_checksum(head)
    checksum = str(stored.checksum) if stored else None
    found = partial(VerifyResult, path, size_bytes=head.size_bytes, checksum=checksum)
    expected = manifest.get(path)
    if expected is None and complete:
        return found(Finding.UNLISTED, "stored, but not in the manifest")
    if expected is not None and (expected.size_bytes, expected.checksum) != (
        head.size_bytes,
        checksum,
    ):
        return found(Finding.DIFFERS, f"stored {checksum}, manifest {expected.checksum}")
    if checksum is None:
        return found(Finding.UNVERIFIABLE, "S3 holds no checksum that can be recomputed")
    if read_back and not _reads_back(store, head):
        return found(Finding.DIFFERS, "the bytes read back do not match the checksum")
    return found(Finding.OK, checksum)


def _reads_back(store: ArtifactStore, head: ObjectMetadata) -> bool:
    source = store.open_stored(head.key)
    return content_equals(source, head.size_bytes, head, lambda: source)


def verify_local(store: ArtifactStore, plan: Iterable[PlanItem]) -> Iterator[VerifyResult]:
    """Yield a finding per local file of an upload plan: whether S3 holds the same bytes."""
    check = partial(_verify_file, store)
    yield from store.map_in_order(check, plan)


def _verify_file(store: ArtifactStore, item: PlanItem) -> VerifyResult:
    if isinstance(item, SkippedPath):
        finding = Finding.UNREADABLE if item.error else Finding.OK
        return VerifyResult(str(item.source), finding, f"not looked at: {item.reason}")
    found = partial(VerifyResult, item.path, size_bytes=item.size_bytes)
    head = store.head_with_checksum(item.key)
    if head is None:
        return found(Finding.MISSING, f"{printable(item.source)} is not stored")
    try:
        with item.open() as source:
            opened = partial(store.open_stored, item.key)
            same = content_equals(source, source.size_bytes, head, opened)
            source.check_unchanged()
    except OSError as error:
        return found(Finding.UNREADABLE, f"cannot read {printable(item.source)}: {error.strerror}")
    except (EOFError, IntegrityError):
        return found(Finding.UNREADABLE, f"{printable(item.source)} changed while it was read")
    if not same:
        return found(Finding.DIFFERS, f"{printable(item.source)} differs from what is stored")
    return found(Finding.OK, f"same as {printable(item.source)}")
