"""Keep the digests of one upload's parts, and verify the completed object against them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from orchestrator_cli.core.base.errors import ConflictError, IntegrityError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.s3.checksum import (
    RandomAccessReader,
    composite,
    create_hash,
    md5,
    parse_etag,
    parse_s3_checksum,
    read_range,
    sha256,
    to_base64,
)
from orchestrator_cli.core.s3.compare import StoredChecksum, best_stored_checksum
from orchestrator_cli.core.s3.operations.multipart import PartDigests
from orchestrator_cli.core.s3.operations.multipart_listing import StoredPart
from orchestrator_cli.core.s3.part_plan import Part
from orchestrator_cli.core.s3.types import Checksum, ObjectMetadata

# Is called with each part before it is hashed; the function that it returns takes the bytes.
PartWatch = Callable[[Part], Callable[[bytes | memoryview], object]]


def unwatched(_: Part) -> Callable[[bytes | memoryview], object]:
    """Watch no part."""
    return lambda block: None


class PartChecksums:
    """Part digests by part number. Written by several threads, each its own parts.

    `watch` is shown the bytes that are hashed.
    """

    def __init__(self, watch: PartWatch) -> None:
        self._watch = watch
        self._digests: dict[int, PartDigests] = {}

    def get(self, number: int) -> PartDigests | None:
        """Return a part's digests, if they are known."""
        return self._digests.get(number)

    def compute(
        self, part: Part, source: RandomAccessReader, offset_bytes: int, with_md5: bool
    ) -> PartDigests:
        """Return a part's digests, computing those that are not known yet.

        The part begins at an offset of the source.
        """
        known = self._digests.get(part.number)
        if known is not None and (known.md5 is not None or not with_md5):
            return known
        take = self._watch(part)
        sha256_hash, md5_hash = create_hash("sha256"), create_hash("md5") if with_md5 else None
        for block in read_range(source, offset_bytes, part.size_bytes):
            sha256_hash.update(block)
            if md5_hash is not None:
                md5_hash.update(block)
            take(block)
        md5_digest = None if md5_hash is None else md5_hash.digest()
        digests = self._digests[part.number] = PartDigests(sha256_hash.digest(), md5_digest)
        return digests

    def add_data(self, part: Part, data: bytes | memoryview, with_md5: bool) -> PartDigests:
        """Hash a part in memory and keep its digests."""
        digests = PartDigests(sha256(data), md5(data) if with_md5 else None)
        self._digests[part.number] = digests
        self._watch(part)(data)
        return digests

    def composite(self, algorithm: str, part_count: int) -> Checksum | None:
        """Return the composite checksum, or None where a part's digest is not known."""
        parts = [self._digests.get(number) for number in range(1, part_count + 1)]
        digests = [getattr(part, algorithm) for part in parts if part is not None]
        if len(digests) < part_count or None in digests:
            return None
        return composite(algorithm, digests)


def holds(stored: StoredPart, digests: PartDigests) -> bool:
    """Return True if a stored part has these digests: by its SHA-256, or by its ETag's MD5."""
    if stored.sha256 is not None:
        return stored.sha256 == to_base64(digests.sha256)
    return digests.md5 is not None and stored.etag == digests.md5.hex()


def composite_from_parts(algorithm: str, parts: Iterable[StoredPart]) -> Checksum | None:
    """Return the composite checksum from S3's part checksums; None where one is missing."""
    read = _sha256_of if algorithm == "sha256" else _md5_of
    digests = [read(part) for part in sorted(parts, key=lambda part: part.number)]
    known = [digest for digest in digests if digest is not None]
    return composite(algorithm, known) if known and len(known) == len(digests) else None


def _sha256_of(part: StoredPart) -> bytes | None:
    checksum = parse_s3_checksum(part.sha256)
    return bytes.fromhex(checksum.hex_digest) if checksum else None


def _md5_of(part: StoredPart) -> bytes | None:
    etag = parse_etag(part.etag)
    return bytes.fromhex(etag.hex_digest) if etag and etag.part_count is None else None


def verify_completed_object(
    head: ObjectMetadata,
    size_bytes: int,
    own_checksum: Callable[[StoredChecksum], Checksum | None],
) -> Checksum | None:
    """Compare the head of a completed object with what was sent; return its checksum as stored.

    `own_checksum` gives the local checksum in the form of a stored one, or None where it cannot.
    Raises IntegrityError, and ConflictError where another upload was completed after this one.
    """
    stored = best_stored_checksum(head)
    own = own_checksum(stored) if stored else None
    differs = stored is not None and own is not None and own != stored.checksum
    if head.size_bytes == size_bytes and not differs:
        return stored.checksum if stored else None
    if stored is not None and stored.checksum.part_count is not None:
        # It is over the checksums of the parts that were named. Of other parts, it is of another
        # upload, on a server that does not heed If-None-Match on completion.
        raise ConflictError(f"{printable(head.key)}: other content was stored at the same moment")
    raise IntegrityError(
        f"{printable(head.key)}: what is stored is not what was sent",
        hint="this server does not keep its promises; run `orchestrator doctor`",
    )
