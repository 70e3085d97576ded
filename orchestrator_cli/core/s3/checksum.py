"""SHA-256 and MD5 of objects and parts, whole and composite, as S3 writes them."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from orchestrator_cli.core.s3.types import Checksum

if TYPE_CHECKING:
    from hashlib import _Hash

READ_SIZE = 1024 * 1024

_S3_SHA256 = r"([A-Za-z0-9+/]{43}=)(?:-([1-9][0-9]{0,4}))?"
_MD5_ETAG = re.compile(r"([0-9a-fA-F]{32})(?:-([1-9][0-9]{0,4}))?")


class RandomAccessReader(Protocol):
    """Something that reads bytes at an offset; short reads only at the end."""

    def read_at(self, offset_bytes: int, size_bytes: int) -> bytes | memoryview:
        """Return up to `size_bytes` bytes from `offset_bytes`, good until the next call."""
        ...


def sha256(data: bytes | bytearray | memoryview) -> bytes:
    """Return the binary SHA-256."""
    return hashlib.sha256(data).digest()


def md5(data: bytes | bytearray | memoryview) -> bytes:
    """Return the binary MD5, which S3 uses for ETags; not for security."""
    return hashlib.md5(data, usedforsecurity=False).digest()


def to_base64(digest: bytes) -> str:
    """Write a digest as S3's headers do."""
    return base64.b64encode(digest).decode("ascii")


def parse_s3_checksum(text: str | None) -> Checksum | None:
    """Parse S3's `ChecksumSHA256`: base64, with `-<part count>` where composite.

    Returns None for no value and for one that is not a SHA-256, as some servers give.
    """
    match = re.fullmatch(_S3_SHA256, text) if text else None
    if match is None:
        return None
    return Checksum("sha256", base64.b64decode(match[1]).hex(), _count(match[2]))


def parse_etag(etag: str) -> Checksum | None:
    """Parse an ETag that has the form of an MD5 or of a composite MD5, without quotes."""
    match = _MD5_ETAG.fullmatch(etag)
    return Checksum("md5", match[1].lower(), _count(match[2])) if match else None


def _count(text: str | None) -> int | None:
    return int(text) if text else None


def composite(algorithm: str, part_digests: Iterable[bytes]) -> Checksum:
    """Return the composite checksum over binary part digests, in part order."""
    digests = list(part_digests)
    digest = create_hash(algorithm)
    for part_digest in digests:
        digest.update(part_digest)
    return Checksum(algorithm, digest.hexdigest(), len(digests))


def create_hash(algorithm: str) -> _Hash:
    """Return an empty SHA-256 or MD5."""
    return hashlib.new(algorithm, usedforsecurity=False)


def hash_range(
    source: RandomAccessReader, algorithm: str, offset_bytes: int, size_bytes: int
) -> bytes:
    """Return the binary digest of a range, read in bounded steps.

    Raises EOFError where the source ends early.
    """
    digest = create_hash(algorithm)
    for chunk in read_range(source, offset_bytes, size_bytes):
        digest.update(chunk)
    return digest.digest()


def read_range(
    source: RandomAccessReader, offset_bytes: int, size_bytes: int
) -> Iterator[bytes | memoryview]:
    """Yield a range in bounded steps. Raises EOFError where the source ends early."""
    end = offset_bytes + size_bytes
    while offset_bytes < end:
        chunk = source.read_at(offset_bytes, min(READ_SIZE, end - offset_bytes))
        if not chunk:
            raise EOFError(f"ends at byte {offset_bytes}, expected {end}")
        offset_bytes += len(chunk)
        yield chunk


class PartHasher:
    """The digests of bytes that pass by, cut into parts of these sizes."""

    def __init__(self, sizes_bytes: Iterable[int], algorithms: Iterable[str]) -> None:
        self._sizes = iter(sizes_bytes)
        self._digests: dict[str, list[bytes]] = {name: [] for name in algorithms}
        self._begin_part()

    def _begin_part(self) -> None:
        self._has_begun = False
        self._left = next(self._sizes, 0)
        self._hashes = {name: create_hash(name) for name in self._digests}

    def update(self, data: bytes | memoryview) -> None:
        """Add the next bytes; those after the last part do not count."""
        view = memoryview(data)
        while view and self._left:
            piece, view = view[: self._left], view[self._left :]
            for digest in self._hashes.values():
                digest.update(piece)
            self._has_begun = True
            self._left -= len(piece)
            if not self._left:
                for name, digest in self._hashes.items():
                    self._digests[name].append(digest.digest())
                self._begin_part()

    def digests(self, algorithm: str) -> list[bytes]:
        """Return the binary digests of the parts so far, the last of which may be cut short."""
        rest = [self._hashes[algorithm].digest()] if self._has_begun else []
        return [*self._digests[algorithm], *rest]


class BytesReader:
    """Bytes in memory, read at offsets."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read_at(self, offset_bytes: int, size_bytes: int) -> bytes:
        """Return up to `size_bytes` bytes from an offset."""
        return self._data[offset_bytes : offset_bytes + size_bytes]


class FdReader:
    """A file that somebody else opened and closes, read at offsets."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read_at(self, offset_bytes: int, size_bytes: int) -> bytes:
        """Return so many bytes from an offset, fewer only where the file ends."""
        data = os.pread(self._descriptor, size_bytes, offset_bytes)
        while 0 < len(data) < size_bytes:
            left, start = size_bytes - len(data), offset_bytes + len(data)
            more = os.pread(self._descriptor, left, start)
            if not more:
                break
            data += more
        return data
