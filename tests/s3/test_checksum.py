"""Checksums are read and written as S3 does, and nothing else passes for one."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_cli.core.s3.checksum import (
    READ_SIZE,
    BytesReader,
    composite,
    hash_range,
    md5,
    parse_etag,
    parse_s3_checksum,
    read_range,
    sha256,
    to_base64,
)
from orchestrator_cli.core.s3.types import Checksum

SHA = hashlib.sha256(b"").hexdigest()
MD5 = hashlib.md5(b"").hexdigest()
BASE64 = base64.b64encode(bytes.fromhex(SHA)).decode()

part_counts = st.none() | st.integers(1, 10_000)
checksums = st.builds(
    Checksum, st.just("sha256"), st.binary(min_size=32, max_size=32).map(bytes.hex), part_counts
) | st.builds(
    Checksum, st.just("md5"), st.binary(min_size=16, max_size=16).map(bytes.hex), part_counts
)


class Trickle:
    """A source that gives a few bytes at a time, as a network file system may."""

    def __init__(self, data: bytes, most: int = 3) -> None:
        self.data = data
        self.asked: list[int] = []
        self._most = most

    def read_at(self, offset_bytes: int, size_bytes: int) -> bytes:
        self.asked.append(size_bytes)
        return self.data[offset_bytes : offset_bytes + min(size_bytes, self._most)]


# --- the written form ------------------------------------------------------------------------


@given(checksums)
def test_a_checksum_parses_back_from_what_is_written(checksum: Checksum) -> None:
    assert Checksum.parse(str(checksum)) == checksum


@given(
    st.sampled_from(["sha256", "md5", "sha1", "SHA256", ""]),
    st.sampled_from([SHA, MD5, SHA.upper(), ""]),
    st.sampled_from(["", "-"]),
    st.sampled_from(["", "0", "1", "07", "10000", "99999", "٣", "²", " 1"]),
)
def test_what_parses_is_written_the_same(name: str, digest: str, dash: str, count: str) -> None:
    text = f"{name}:{digest}{dash}{count}"
    try:
        checksum = Checksum.parse(text)
    except ValueError:
        return
    assert str(checksum) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        SHA,
        "sha256:",
        "sha256:ab",
        f"sha256:{SHA.upper()}",
        f"sha256:{SHA}0",
        f"sha256:{MD5}",
        f"md5:{SHA}",
        f"sha1:{SHA}",
        f"sha256:{SHA}-",
        f"sha256:{SHA}-0",
        f"sha256:{SHA}--1",
        f"sha256:{SHA}-٣",
        f"sha256:{SHA}-" + "9" * 5000,
        f"sha256:{SHA}\n",
        f" sha256:{SHA}",
    ],
)
def test_what_is_no_checksum_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a checksum"):
        Checksum.parse(text)


# --- as S3 writes them -----------------------------------------------------------------------


@given(st.binary(min_size=32, max_size=32), part_counts)
def test_a_checksum_of_s3_is_read(digest: bytes, count: int | None) -> None:
    text = to_base64(digest) + (f"-{count}" if count else "")
    assert parse_s3_checksum(text) == Checksum("sha256", digest.hex(), count)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "-",
        "-3",
        SHA,
        BASE64[:-1],
        base64.b64encode(b"CRC").decode(),
        base64.b64encode(b"x" * 33).decode(),
        f"{BASE64}-",
        f"{BASE64}-0",
        # A digit to str.isdigit(), but not to int(): servers answer what they like.
        f"{BASE64}-²",
        f"{BASE64}-3-4",
        f"{BASE64}-" + "9" * 5000,
        f"{BASE64}\n",
        BASE64.replace(BASE64[3], "é"),
    ],
)
def test_what_is_no_sha256_is_no_checksum_of_s3(text: str | None) -> None:
    assert parse_s3_checksum(text) is None


@given(st.binary(min_size=16, max_size=16), part_counts, st.booleans())
def test_an_etag_that_is_an_md5_is_read(digest: bytes, count: int | None, upper: bool) -> None:
    text = digest.hex().upper() if upper else digest.hex()
    etag = text + (f"-{count}" if count else "")
    assert parse_etag(etag) == Checksum("md5", digest.hex(), count)


@pytest.mark.parametrize(
    "etag",
    [
        "",
        "x",
        "-1",
        f'"{MD5}"',
        MD5[:-1],
        MD5 + "0",
        "g" * 32,
        " ".join(["ab"] * 10) + "  a",
        f"{MD5}-",
        f"{MD5}-0",
        f"{MD5}-²",
        f"{MD5}-" + "9" * 5000,
        f"W/{MD5}",
    ],
)
def test_another_etag_is_no_checksum(etag: str) -> None:
    assert parse_etag(etag) is None


@given(st.text(max_size=80))
def test_no_text_of_a_server_is_worse_than_no_checksum(text: str) -> None:
    for checksum in (parse_s3_checksum(text), parse_etag(text)):
        assert checksum is None or Checksum.parse(str(checksum)) == checksum


# --- computing -------------------------------------------------------------------------------


def test_digests_are_those_of_the_algorithms() -> None:
    assert sha256(b"abc").hex() == hashlib.sha256(b"abc").hexdigest()
    assert md5(bytearray(b"abc")).hex() == "900150983cd24fb0d6963f7d28e17f72"
    assert to_base64(sha256(b"")) == "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="


@given(st.lists(st.binary(max_size=10), min_size=1, max_size=5))
def test_a_composite_is_the_digest_of_the_binary_digests(parts: list[bytes]) -> None:
    for algorithm, digest in (("sha256", sha256), ("md5", md5)):
        whole = digest(b"".join(map(digest, parts))).hex()
        assert composite(algorithm, map(digest, parts)) == Checksum(algorithm, whole, len(parts))


@given(st.binary(max_size=60), st.integers(0, 60), st.integers(0, 60), st.integers(1, 70))
def test_a_range_is_hashed_however_it_is_read(
    data: bytes, offset: int, size: int, most: int
) -> None:
    size = min(size, max(0, len(data) - offset))
    expected = hashlib.sha256(data[offset : offset + size]).digest()
    assert hash_range(Trickle(data, most), "sha256", offset, size) == expected


def test_a_range_is_read_in_bounded_steps() -> None:
    data = bytes(2 * READ_SIZE + 5)
    source = Trickle(data, READ_SIZE)
    assert b"".join(read_range(source, 0, len(data))) == data
    assert source.asked == [READ_SIZE, READ_SIZE, 5]


@pytest.mark.parametrize(("offset", "size"), [(0, 4), (3, 1), (9, 1)])
def test_a_source_that_ends_early_is_no_shorter_range(offset: int, size: int) -> None:
    with pytest.raises(EOFError, match="expected"):
        hash_range(BytesReader(b"abc"), "sha256", offset, size)
