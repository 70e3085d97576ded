"""A stream cut into parts, each in memory or, where it is too large, in an unlinked file."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import IO, NamedTuple, Protocol

from orchestrator_cli.core.base.descriptors import wait_ready
from orchestrator_cli.core.base.memory_limiter import BufferPool
from orchestrator_cli.core.base.quantities import MIB
from orchestrator_cli.core.s3.checksum import create_hash, read_range
from orchestrator_cli.core.s3.part_plan import BASE_PART_BYTES, Part, part_bytes

_SPOOL_ABOVE_BYTES = 32 * MIB


class BinaryStream(Protocol):
    """A binary stream."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill a buffer as far as there is data; 0 at the end, None where nothing is there yet."""
        ...

    def fileno(self) -> int:
        """Return the descriptor to wait for where nothing is there yet."""
        ...


class StreamPart(NamedTuple):
    """One part of the stream: in memory, or spooled to disk. `held` releases its memory."""

    part: Part
    buffer: bytearray | None
    spool: IO[bytes] | None
    held: ExitStack

    @property
    def data(self) -> memoryview | None:
        """The part's bytes in the buffer; None where it is spooled."""
        return None if self.buffer is None else memoryview(self.buffer)[: self.part.size_bytes]

    def read_at(self, offset_bytes: int, size_bytes: int) -> bytes:
        """Return bytes at an offset in the part."""
        if self.data is not None:
            return bytes(self.data[offset_bytes : offset_bytes + size_bytes])
        return os.pread(self.spool.fileno(), size_bytes, offset_bytes) if self.spool else b""

    def close(self) -> None:
        """Free the memory or disk space; its buffer may become another part's."""
        self.held.close()


def closing_each(pieces: Iterator[StreamPart]) -> Iterator[StreamPart]:
    """Yield pieces one by one, and close each when the next one is requested."""
    for piece in pieces:
        with closing(piece):
            yield piece


def hash_parts(algorithm: str, pieces: Iterator[StreamPart]) -> str:
    """Return the digest of all pieces in hex; none is needed any more afterwards."""
    digest = create_hash(algorithm)
    for piece in closing_each(pieces):
        for block in read_range(piece, 0, piece.part.size_bytes):
            digest.update(block)
    return digest.hexdigest()


def chain_parts(ahead: deque[StreamPart], rest: Iterator[StreamPart]) -> Iterator[StreamPart]:
    """Yield the pieces that were read ahead, keeping none of them, and then the rest."""
    while ahead:
        yield ahead.popleft()
    yield from rest


def read_part(
    stream: BinaryStream, number: int, offset_bytes: int, buffers: BufferPool
) -> StreamPart:
    """Read the part of this number; shorter, or empty, where the stream ends.

    Parts of the base size are read into buffers that are lent.
    """
    limit = part_bytes(number)
    if limit > _SPOOL_ABOVE_BYTES:
        return _spool_part(stream, number, offset_bytes, limit)
    held = ExitStack()
    if limit == BASE_PART_BYTES:
        buffer = buffers.get()
        held.callback(buffers.put, buffer)
    else:
        buffer = bytearray(limit)
    filled = _fill(stream, memoryview(buffer))
    return StreamPart(Part(number, offset_bytes, filled), buffer, None, held)


def _spool_part(stream: BinaryStream, number: int, offset_bytes: int, limit: int) -> StreamPart:
    import tempfile

    spool = tempfile.TemporaryFile(prefix="orchestrator-")  # noqa: SIM115 - lives as its part
    buffer = memoryview(bytearray(MIB))
    size = 0
    while size < limit:
        filled = _fill(stream, buffer)
        spool.write(buffer[:filled])
        size += filled
        if filled < len(buffer):
            break
    spool.flush()
    held = ExitStack()
    held.callback(spool.close)
    return StreamPart(Part(number, offset_bytes, size), None, spool, held)


def _fill(stream: BinaryStream, buffer: memoryview) -> int:
    filled = 0
    while filled < len(buffer):
        read = stream.readinto(buffer[filled:])
        if read is None:
            wait_ready(stream.fileno(), to_read=True)
        elif read == 0:
            break
        else:
            filled += read
    return filled
