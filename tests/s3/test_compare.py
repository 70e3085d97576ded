"""Whether bytes are those that are stored, whatever checksum S3 holds of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_cli.core.base.quantities import GIB, MIB
from orchestrator_cli.core.s3.checksum import (
    BytesReader,
    RandomAccessReader,
    composite,
    md5,
    sha256,
)
from orchestrator_cli.core.s3.compare import (
    SCHEDULE_METADATA,
    SHA256_METADATA,
    StoredChecksum,
    best_stored_checksum,
    compute_checksum_like,
)
from orchestrator_cli.core.s3.operations.put import has_content
from orchestrator_cli.core.s3.operations.request import S3Request
from orchestrator_cli.core.s3.part_plan import DOUBLING
from orchestrator_cli.core.s3.types import Checksum, ObjectMetadata

DATA = b"the bytes of a log\n"
PARTS = "fixed-7"
SHA = Checksum("sha256", sha256(DATA).hex())
MD5 = Checksum("md5", md5(DATA).hex())


def cut(data: bytes, size: int = 7) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def composite_from_parts(
    algorithm: str, digest: Callable[[bytes], bytes], data: bytes = DATA, size: int = 7
) -> Checksum:
    return composite(algorithm, map(digest, cut(data, size)))


def head(
    etag: str = "",
    size_bytes: int = len(DATA),
    checksum: Checksum | None = None,
    sha256_hex: str | None = None,
    schedule: str | None = None,
) -> ObjectMetadata:
    given_metadata = {SHA256_METADATA: sha256_hex, SCHEDULE_METADATA: schedule}
    return ObjectMetadata(
        key="executions/x/logs/stdout.log",
        size_bytes=size_bytes,
        etag=etag,
        content_type="text/plain",
        last_modified=datetime(2026, 1, 1, tzinfo=UTC),
        metadata={name: text for name, text in given_metadata.items() if text is not None},
        checksum=checksum,
    )


def etag(checksum: Checksum) -> str:
    return str(checksum).removeprefix("md5:")


SHA_PARTS = composite_from_parts("sha256", sha256)
MD5_PARTS = composite_from_parts("md5", md5)
OTHER_SHA = Checksum("sha256", "0" * 64)
# Under SSE-KMS, and on some servers, an ETag is no MD5 of anything.
OPAQUE = "opaque-etag"


class Unread:
    """A source that must not be read."""

    def read_at(self, offset_bytes: int, size_bytes: int) -> NoReturn:
        raise AssertionError("read")


def is_stored(
    source: RandomAccessReader,
    size_bytes: int,
    stored: ObjectMetadata,
    stored_bytes: bytes | None = None,
    known: StoredChecksum | None = None,
) -> bool:
    """Compare as a store does; without `stored_bytes` no request may be sent."""
    operation = has_content(stored, source, size_bytes, known)
    try:
        request = next(operation)
        assert isinstance(request, S3Request)
        assert request.open_sink is not None
        assert stored_bytes is not None, "the stored bytes were read back"
        request.open_sink()(stored_bytes)
        next(operation)
    except StopIteration as end:
        return bool(end.value)
    raise AssertionError("it is not read in one request")


# --- which checksum counts -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        # One PutObject: S3's own SHA-256, then ours, then the ETag.
        (head(etag(MD5), checksum=SHA, sha256_hex="0" * 64), StoredChecksum(SHA)),
        (head(etag(MD5), sha256_hex=SHA.hex_digest), StoredChecksum(SHA)),
        (head(etag(MD5)), StoredChecksum(MD5)),
        (head(OPAQUE, sha256_hex=SHA.hex_digest), StoredChecksum(SHA)),
        (head(OPAQUE), None),
        (head(), None),
        # User metadata of another tool: what is no SHA-256 of the whole does not count.
        (head(etag(MD5), sha256_hex="ab"), StoredChecksum(MD5)),
        (head(etag(MD5), sha256_hex=SHA.hex_digest.upper()), StoredChecksum(MD5)),
        (head(etag(MD5), sha256_hex=f"{SHA.hex_digest}-5"), StoredChecksum(MD5)),
        (head(etag(MD5), sha256_hex=f"\x1b{SHA.hex_digest}"), StoredChecksum(MD5)),
        (head(etag(MD5), sha256_hex=""), StoredChecksum(MD5)),
        (head(etag(MD5), schedule=PARTS), StoredChecksum(MD5)),
        # Parts: only with a schedule that gives as many.
        (
            head(etag(MD5_PARTS), checksum=SHA_PARTS, schedule=PARTS),
            StoredChecksum(SHA_PARTS, PARTS),
        ),
        (head(etag(MD5_PARTS), schedule=PARTS), StoredChecksum(MD5_PARTS, PARTS)),
        (head(etag(MD5_PARTS), checksum=SHA_PARTS), None),
        (head(etag(MD5_PARTS), checksum=SHA_PARTS, schedule="fixed-8000"), None),
        (head(etag(MD5_PARTS), checksum=SHA_PARTS, schedule="unheard-of"), None),
        (head(etag(MD5_PARTS), checksum=SHA_PARTS, schedule=DOUBLING), None),
        (head(etag(MD5_PARTS), sha256_hex=SHA.hex_digest), None),
        # A composite that a server answers without, or with another, part count is not trusted.
        (
            head(etag(MD5_PARTS), checksum=SHA, schedule=PARTS),
            StoredChecksum(MD5_PARTS, PARTS),
        ),
        (
            head(etag(MD5_PARTS), checksum=Checksum("sha256", "0" * 64, 9), schedule=PARTS),
            StoredChecksum(MD5_PARTS, PARTS),
        ),
    ],
)
def test_the_best_checksum_counts(stored: ObjectMetadata, expected: StoredChecksum | None) -> None:
    assert best_stored_checksum(stored) == expected


@pytest.mark.parametrize("schedule", ["fixed-1", DOUBLING])
def test_a_hostile_schedule_costs_nothing(schedule: str) -> None:
    stored = head("0" * 32 + "-3", size_bytes=40_000 * GIB, schedule=schedule)
    assert best_stored_checksum(stored) is None


# --- the same bytes, and others --------------------------------------------------------------


def stored_in_every_way(data: bytes, size: int) -> list[ObjectMetadata]:
    schedule, count = f"fixed-{size}", len(data)
    sha_parts = composite_from_parts("sha256", sha256, data, size)
    md5_parts = composite_from_parts("md5", md5, data, size)
    whole_md5 = md5(data).hex()
    return [
        head(whole_md5, count, checksum=Checksum("sha256", sha256(data).hex())),
        head(whole_md5, count, sha256_hex=sha256(data).hex()),
        head(whole_md5, count),
        head(OPAQUE, count),
        head(etag(md5_parts), count, checksum=sha_parts, schedule=schedule),
        head(etag(md5_parts), count, schedule=schedule),
        head(etag(md5_parts), count),
    ]


@given(st.binary(min_size=1, max_size=40), st.integers(1, 45), st.data())
def test_equal_bytes_are_the_same_and_any_other_differ(
    data: bytes, size: int, draw: st.DataObject
) -> None:
    position = draw.draw(st.integers(0, len(data) - 1))
    other = bytearray(data)
    other[position] ^= draw.draw(st.integers(1, 255))
    for stored in stored_in_every_way(data, size):
        for local, same in ((data, True), (bytes(other), False)):
            source = BytesReader(local)
            assert is_stored(source, len(data), stored, data) is same


@pytest.mark.parametrize("stored", stored_in_every_way(DATA, 7))
def test_another_size_differs_without_a_look(stored: ObjectMetadata) -> None:
    for size_bytes in (0, len(DATA) - 1, len(DATA) + 1):
        assert not is_stored(Unread(), size_bytes, stored)


@pytest.mark.parametrize("stored", stored_in_every_way(b"", 7)[:4])
def test_an_empty_object_equals_an_empty_file(stored: ObjectMetadata) -> None:
    assert is_stored(BytesReader(b""), 0, stored, b"")


@pytest.mark.parametrize(
    ("stored", "known"),
    [
        (head(etag(MD5), sha256_hex=SHA.hex_digest), StoredChecksum(SHA)),
        (
            head(etag(MD5_PARTS), checksum=SHA_PARTS, schedule=PARTS),
            StoredChecksum(SHA_PARTS, PARTS),
        ),
    ],
)
def test_a_known_checksum_saves_reading_the_file(
    stored: ObjectMetadata, known: StoredChecksum
) -> None:
    wrong = Checksum("sha256", OTHER_SHA.hex_digest, known.checksum.part_count)
    assert is_stored(Unread(), len(DATA), stored, known=known)
    other = StoredChecksum(wrong, known.schedule)
    assert not is_stored(Unread(), len(DATA), stored, known=other)


@pytest.mark.parametrize(
    "known",
    [StoredChecksum(OTHER_SHA), StoredChecksum(SHA_PARTS, "fixed-8"), StoredChecksum(MD5)],
)
def test_a_known_checksum_of_another_form_does_not_count(known: StoredChecksum) -> None:
    stored = head(etag(MD5_PARTS), checksum=SHA_PARTS, schedule=PARTS)
    assert is_stored(BytesReader(DATA), len(DATA), stored, known=known)


def test_a_large_object_is_compared_part_by_part_of_its_schedule() -> None:
    data = bytes(8 * MIB) + b"tail"
    whole = hashlib.sha256(sha256(data[: 8 * MIB]) + sha256(b"tail")).hexdigest()
    like = StoredChecksum(Checksum("sha256", "0" * 64, 2), DOUBLING)
    assert compute_checksum_like(BytesReader(data), len(data), like) == Checksum("sha256", whole, 2)


@pytest.mark.parametrize("stored", stored_in_every_way(DATA, 7))
def test_a_file_that_became_shorter_is_never_the_same(stored: ObjectMetadata) -> None:
    with pytest.raises(EOFError):
        is_stored(BytesReader(DATA[:-1]), len(DATA), stored, DATA)
