"""A log that was read to its end is compared with what S3 says it stored."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from orchestrator_cli.core.base.errors import IntegrityError
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.checksum import composite, md5, sha256
from orchestrator_cli.core.s3.part_plan import BASE_PART_BYTES, DOUBLING
from orchestrator_cli.core.s3.types import Checksum, ObjectMetadata
from orchestrator_cli.core.transfer.download.range_reader import (
    RANGE_BYTES,
    iter_object_verified,
    iter_range,
)
from tests.support.stored.engine import content

SMALL = content(1000)
LARGE = content(BASE_PART_BYTES + RANGE_BYTES + 17)
PARTS = [LARGE[:BASE_PART_BYTES], LARGE[BASE_PART_BYTES:]]
BY_SHA256 = composite("sha256", map(sha256, PARTS))
BY_MD5 = composite("md5", map(md5, PARTS))
# Under SSE-KMS an ETag looks like an MD5 and is none.
NO_MD5 = "0123456789abcdef0123456789abcdef"


class OneObject:
    """A store of one object, and its connection; `heads` counts the look-ups."""

    def __init__(self, data: bytes, full: ObjectMetadata) -> None:
        self.connection = self
        self._data = data
        self._full = full
        self.heads = 0

    min_latency_seconds: float | None = None

    def get_range(
        self, key: str, offset_bytes: int, size_bytes: int, into: bytearray, object_bytes: int
    ) -> memoryview:
        # As a connection does: what was there before is overwritten.
        data = self._data[offset_bytes : offset_bytes + size_bytes]
        into[: len(data)] = data
        return memoryview(into)[: len(data)]

    def list_objects(self, prefix: str, at_once: int) -> Iterator[ObjectMetadata]:
        yield self._full

    def head(self, key: str) -> ObjectMetadata:
        self.heads += 1
        return self._full


def head_of(data: bytes, etag: str, **metadata: str) -> ObjectMetadata:
    named = {name.replace("_", "-"): text for name, text in metadata.items()}
    return ObjectMetadata("k", len(data), etag, "text/plain", datetime.now(UTC), named)


def etag_of(checksum: Checksum) -> str:
    return f"{checksum.hex_digest}-{checksum.part_count}"


HEADS = {
    "sha256": (SMALL, head_of(SMALL, NO_MD5, sha256=sha256(SMALL).hex())),
    "md5": (SMALL, head_of(SMALL, md5(SMALL).hex())),
    "parts": (LARGE, head_of(LARGE, etag_of(BY_MD5), part_schedule=DOUBLING)),
    "kms-parts": (LARGE, head_of(LARGE, f"{NO_MD5}-2", part_schedule=DOUBLING)),
    "foreign-parts": (LARGE, head_of(LARGE, f"{NO_MD5}-2")),
    "empty": (b"", head_of(b"", md5(b"").hex())),
}


def read(data: bytes, head: ObjectMetadata) -> tuple[bytes, OneObject]:
    """Read an object whose every byte arrives as given."""
    full = head._replace(checksum=BY_SHA256) if head.size_bytes == len(LARGE) else head
    store = OneObject(data, full)
    blocks = iter_object_verified(cast("ArtifactStore", store), head)
    # Each is good until the next is asked for.
    return b"".join(map(bytes, blocks)), store


@pytest.mark.parametrize("kind", HEADS)
def test_what_is_right_passes(kind: str) -> None:
    data, head = HEADS[kind]
    found, store = read(data, head)
    assert found == data
    # S3's own checksum costs boto3's import: only where the ETag does not tell.
    assert store.heads == (kind == "kms-parts")


@pytest.mark.parametrize("place", [0, -1, BASE_PART_BYTES])
@pytest.mark.parametrize("kind", ["sha256", "md5", "parts", "kms-parts"])
def test_one_wrong_bit_is_noticed(kind: str, place: int) -> None:
    data, head = HEADS[kind]
    wrong = bytearray(data)
    wrong[min(place, len(data) - 1)] ^= 1
    with pytest.raises(IntegrityError, match="do not match"):
        read(bytes(wrong), head)


def test_without_a_checksum_nothing_can_be_said() -> None:
    data, head = HEADS["foreign-parts"]
    assert read(bytes(len(data)), head)[0] == bytes(len(data))


def test_who_stops_early_is_told_nothing() -> None:
    _, head = HEADS["parts"]
    store: Any = OneObject(bytes(len(LARGE)), head)
    blocks = iter_object_verified(store, head)
    assert len(next(blocks)) == 2 * RANGE_BYTES
    cast("Any", blocks).close()


@pytest.mark.parametrize(("seconds", "sizes"), [(0.001, [2, 1]), (0.05, [1, 1, 1])])
def test_a_server_that_is_near_is_asked_for_larger_ranges(seconds: float, sizes: list[int]) -> None:
    data = bytes(3 * RANGE_BYTES)
    store: Any = OneObject(data, head_of(data, NO_MD5))
    store.min_latency_seconds = seconds
    assert [len(block) // RANGE_BYTES for block in iter_range(store, "k", 0, len(data))] == sizes


def test_an_object_without_a_checksum_has_the_size_of_the_listing() -> None:
    """As of a copy that was made in other parts: its bytes cannot be compared, its size can."""
    data = LARGE[:BASE_PART_BYTES]
    copied = head_of(data, f"{NO_MD5}-3", part_schedule=DOUBLING)
    assert read(data, copied)[0] == data
    store: Any = OneObject(data, copied._replace(size_bytes=len(LARGE)))
    with pytest.raises(IntegrityError, match="in the listing"):
        next(iter_object_verified(store, copied))
