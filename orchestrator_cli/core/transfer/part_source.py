"""A part of a local file as a request body."""

from __future__ import annotations

import io

from orchestrator_cli.core.base.memory_limiter import BufferPool, MemoryReservation
from orchestrator_cli.core.base.rate_limiter import RateLimiter
from orchestrator_cli.core.s3.checksum import READ_SIZE, RandomAccessReader
from orchestrator_cli.core.s3.part_plan import Part
from orchestrator_cli.core.transfer.local_file import LocalFile


class PartBody:
    """A part that is read while it is sent. What it held is given back once that is done.

    Where the network is far away, most of the time goes by between the last byte and its answer:
    other parts are sent meanwhile. Should it be sent again, it is read again.
    """

    def __init__(
        self, part: Part, pace: RateLimiter | None, lease: MemoryReservation | None
    ) -> None:
        self._part = part
        self._size_bytes = part.size_bytes
        self._pace = pace
        self._lease = lease
        self._position = 0

    def tell(self) -> int:
        """Return the position in the part."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position in the part; to its beginning, to send it (again)."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size_bytes}
        self._position = base[whence] + offset
        if self._lease is not None:
            self._lease.renew()
        return self._position

    def read(self, size: int = -1) -> bytes | memoryview:
        """Return up to `size` bytes; may return fewer before the end."""
        left = self._size_bytes - self._position
        wanted = min(left, READ_SIZE if size < 0 else size)
        if self._pace is not None:
            wanted = min(wanted, self._pace.slice_bytes)
        data = self._read_at(self._position, wanted)
        self._position += len(data)
        if self._pace is not None:
            self._pace.take(len(data))
        return data

    def sent(self) -> None:
        """Give back what it held."""
        if self._lease is not None:
            self._lease.release()

    def _read_at(self, position: int, size_bytes: int) -> bytes | memoryview:
        raise NotImplementedError


class FilePartBody(PartBody):
    """Reads from the file; never more than 1 MiB of it is in memory."""

    def __init__(
        self,
        source: RandomAccessReader,
        part: Part,
        pace: RateLimiter | None,
        lease: MemoryReservation | None = None,
    ) -> None:
        super().__init__(part, pace, lease)
        self._source = source

    def _read_at(self, position: int, size_bytes: int) -> bytes:
        return self._source.read_at(self._part.offset_bytes + position, size_bytes)


class BufferedPartBody(PartBody):
    """Is in a lent buffer as a whole, so that it is read once to be hashed and to be sent."""

    def __init__(
        self,
        source: LocalFile,
        part: Part,
        pace: RateLimiter | None,
        lease: MemoryReservation,
        buffers: BufferPool,
    ) -> None:
        super().__init__(part, pace, lease)
        self._source = source
        self._buffers = buffers
        self._buffer: bytearray | None = None

    def view(self) -> memoryview:
        """Return all of it. Raises SourceChangedError where the file is shorter now."""
        if self._buffer is not None:
            return memoryview(self._buffer)[: self._size_bytes]
        self._buffer = self._buffers.take()
        return self._source.read_into(self._buffer, self._part.offset_bytes, self._size_bytes)

    def sent(self) -> None:
        """Give back the buffer too."""
        buffer, self._buffer = self._buffer, None
        if buffer is not None:
            self._buffers.give_back(buffer)
        super().sent()

    def _read_at(self, position: int, size_bytes: int) -> memoryview:
        return self.view()[position : position + size_bytes]
