"""Whether local bytes equal a stored object, by the best checksum that S3 holds of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from orchestrator_cli.core.base.errors import IntegrityError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.s3.checksum import (
    PartHasher,
    RandomAccessReader,
    composite,
    create_hash,
    parse_etag,
    read_range,
)
from orchestrator_cli.core.s3.part_plan import plan_parts
from orchestrator_cli.core.s3.types import Checksum, ObjectMetadata

SHA256_METADATA = "sha256"
SCHEDULE_METADATA = "part-schedule"


class StoredChecksum(NamedTuple):
    """A checksum that S3 holds, and the part schedule that it is over if composite."""

    checksum: Checksum
    schedule: str | None = None


def best_stored_checksum(head: ObjectMetadata) -> StoredChecksum | None:
    """Return the best checksum of a stored object, or None where there is none to recompute.

    The order is: S3's own SHA-256, ours in user metadata, the MD5 in the ETag. A composite one
    counts only with a schedule that says how to recompute it.
    """
    etag = parse_etag(head.etag)
    parts = etag.part_count if etag else None
    schedule = head.metadata.get(SCHEDULE_METADATA)
    if parts is None:
        whole = _whole_sha256(head)
        return StoredChecksum(whole or etag) if whole or etag else None  # type: ignore[arg-type]
    if not _matches_part_count(schedule, head.size_bytes, parts):
        return None
    # Some servers answer a composite checksum without its part count, and not always the right
    # one; then the ETag is the better witness.
    if head.checksum is not None and head.checksum.part_count == parts:
        return StoredChecksum(head.checksum, schedule)
    return StoredChecksum(etag, schedule) if etag else None


def compute_checksum_like(
    source: RandomAccessReader, size_bytes: int, like: StoredChecksum
) -> Checksum:
    """Compute the checksum of local bytes in the form of a stored one.

    Raises EOFError where the source is shorter than `size_bytes`.
    """
    hasher = StreamHasher(like, size_bytes)
    for block in read_range(source, 0, size_bytes):
        hasher.update(block)
    return hasher.checksum()


class StreamHasher:
    """Hashes an object that passes by, in the form of a stored checksum and of `others` like it."""

    def __init__(self, like: StoredChecksum, size_bytes: int, others: Iterable[str] = ()) -> None:
        self._like = like
        self._algorithms = {like.checksum.algorithm, *others}
        parts = plan_parts(size_bytes, like.schedule) if like.schedule else ()
        sizes_bytes = [part.size_bytes for part in parts] or [size_bytes]
        self._parts = PartHasher(sizes_bytes, self._algorithms)

    def update(self, block: bytes | memoryview) -> None:
        """Add the next bytes."""
        self._parts.update(block)

    def checksum(self, algorithm: str | None = None) -> Checksum:
        """Return the checksum of the bytes that have passed, in the form of the stored one."""
        algorithm = algorithm or self._like.checksum.algorithm
        digests = self._parts.digests(algorithm)
        if self._like.schedule is None:
            # An empty object has no part that could have begun.
            whole = digests[0] if digests else create_hash(algorithm).digest()
            return Checksum(algorithm, whole.hex())
        return composite(algorithm, digests)

    def matches(self, stored: StoredChecksum | None) -> bool:
        """Return True if a stored checksum is that of the bytes that have passed."""
        if stored is None or stored.schedule != self._like.schedule:
            return False
        algorithm = stored.checksum.algorithm
        return algorithm in self._algorithms and stored.checksum == self.checksum(algorithm)


def matches_stored(
    source: RandomAccessReader,
    size_bytes: int,
    head: ObjectMetadata,
    known: StoredChecksum | None = None,
) -> bool | None:
    """Compare local bytes with a stored object by size and checksum.

    None where only reading it back can tell: S3 holds nothing that can be recomputed.
    """
    if head.size_bytes != size_bytes:
        return False
    stored = best_stored_checksum(head)
    if stored is None:
        return None
    if known is not None and _same_kind(stored, known):
        return stored.checksum == known.checksum
    return stored.checksum == compute_checksum_like(source, size_bytes, stored)


def check_listed_size(head: ObjectMetadata, listed_bytes: int) -> None:
    """Raise IntegrityError where a look-up says another size than the listing."""
    if head.size_bytes != listed_bytes:
        raise _not_as_listed(
            head.key,
            f"it has {head.size_bytes:,} bytes where it was looked up, and"
            f" {listed_bytes:,} in the listing",
        )


def listed_and_missing(key: str) -> IntegrityError:
    """Return the error for an object that is listed, and that a look-up does not find."""
    return _not_as_listed(key, "it is in the listing, and not found where it was looked up")


def _not_as_listed(key: str, what: str) -> IntegrityError:
    hint = "look for a proxy on the way that changes responses or keeps old ones"
    return IntegrityError(f"{printable(key)}: {what}", hint=hint)


def _whole_sha256(head: ObjectMetadata) -> Checksum | None:
    if head.checksum is not None and head.checksum.part_count is None:
        return head.checksum
    recorded = head.metadata.get(SHA256_METADATA, "")
    try:
        whole = Checksum.parse(f"sha256:{recorded}")
    except ValueError:
        return None
    return whole if whole.part_count is None else None


def _matches_part_count(schedule: str | None, size_bytes: int, part_count: int) -> bool:
    if schedule is None:
        return False
    try:
        return sum(1 for _ in plan_parts(size_bytes, schedule)) == part_count
    except ValueError:
        return False


def _same_kind(one: StoredChecksum, other: StoredChecksum) -> bool:
    return (one.checksum.algorithm, one.schedule) == (other.checksum.algorithm, other.schedule)
