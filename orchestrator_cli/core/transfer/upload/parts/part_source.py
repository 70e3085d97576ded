"""A part of a local file as a request body."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator_cli.core.base.memory_limiter import BufferPool, MemoryReservation
from orchestrator_cli.core.http.transport import BodyReader
from orchestrator_cli.core.s3.checksum import READ_SIZE, RandomAccessReader
from orchestrator_cli.core.s3.part_plan import Part
from orchestrator_cli.core.transfer.upload.local_file import LocalFile


class LentBufferReader:
    """Reads a file into a buffer that somebody lends: what it returns is good until the next read.

    Memory that each of many threads takes for itself stays with that thread.
    """

    def __init__(self, source: LocalFile, buffer: bytearray) -> None:
        self._source = source
        self._buffer = buffer

    def read_at(self, offset_bytes: int, size_bytes: int) -> memoryview:
        """Return exactly so many bytes. Raises SourceChangedError where the file is shorter now."""
        return self._source.read_into(self._buffer, offset_bytes, size_bytes)


class PartBody:
    """A part that is read while it is sent. Its memory is released once its last byte is read.

    Where the network is far away, most of the time goes by between the last byte and the response:
    other parts are sent meanwhile. Should it be sent again, it is read again.
    """

    def __init__(self, part: Part, reservation: MemoryReservation | None) -> None:
        self._part = part
        self._reservation = reservation
        self._position = 0

    @property
    def size_bytes(self) -> int:
        """How many bytes the part has."""
        return self._part.size_bytes

    def rewind(self) -> None:
        """Go back to the first byte, to send the part or to send it again."""
        self._position = 0
        if self._reservation is not None:
            self._reservation.reacquire()

    def read(self, size: int, /) -> bytes | memoryview:
        """Return the next bytes, at most `size` of them."""
        wanted = min(size, READ_SIZE, self.size_bytes - self._position)
        data = self._read_at(self._position, wanted)
        self._position += len(data)
        if self._position < self.size_bytes:
            return data
        last = bytes(data)
        self.release()
        return last

    def release(self) -> None:
        """Release the memory reservation."""
        if self._reservation is not None:
            self._reservation.release()

    def _read_at(self, position: int, size_bytes: int) -> bytes | memoryview:
        raise NotImplementedError


class FilePartReader(PartBody):
    """Reads the part from its file; no more than 1 MiB of it is in memory at a time."""

    def __init__(
        self,
        source: RandomAccessReader,
        part: Part,
        reservation: MemoryReservation | None = None,
    ) -> None:
        super().__init__(part, reservation)
        self._source = source

    def _read_at(self, position: int, size_bytes: int) -> bytes | memoryview:
        return self._source.read_at(self._part.offset_bytes + position, size_bytes)


class MemoryPart(PartBody):
    """Reads the part from memory that is somebody else's."""

    def __init__(self, part: Part, data: memoryview) -> None:
        super().__init__(part, None)
        self._data = data

    def _read_at(self, position: int, size_bytes: int) -> memoryview:
        return self._data[position : position + size_bytes]


class BufferedPart(PartBody):
    """Holds the whole part in a buffer of the pool: it is read once, to be hashed and sent."""

    def __init__(
        self,
        source: LocalFile,
        part: Part,
        reservation: MemoryReservation,
        buffers: BufferPool,
    ) -> None:
        super().__init__(part, reservation)
        self._source = source
        self._buffers = buffers
        self._buffer: bytearray | None = None

    def view(self) -> memoryview:
        """Return all of it. Raises SourceChangedError where the file is shorter now."""
        if self._buffer is not None:
            return memoryview(self._buffer)[: self.size_bytes]
        self._buffer = self._buffers.get()
        return self._source.read_into(self._buffer, self._part.offset_bytes, self.size_bytes)

    def release(self) -> None:
        """Release the buffer and the memory reservation."""
        buffer, self._buffer = self._buffer, None
        if buffer is not None:
            self._buffers.put(buffer)
        super().release()

    def _read_at(self, position: int, size_bytes: int) -> memoryview:
        return self.view()[position : position + size_bytes]


class CountedBody:
    """A request body that counts what is read of it, and takes that back where it is sent again."""

    def __init__(self, body: BodyReader, on_bytes: Callable[[int], object]) -> None:
        self._body = body
        self._on_bytes = on_bytes
        self.counted_bytes = 0

    @property
    def size_bytes(self) -> int:
        """How many bytes the body has."""
        return self._body.size_bytes

    def rewind(self) -> None:
        """Go back to the first byte."""
        self.take_back()
        self._body.rewind()

    def read(self, size: int, /) -> bytes | memoryview:
        """Return the next bytes, at most `size` of them."""
        piece = self._body.read(size)
        self.counted_bytes += len(piece)
        self._on_bytes(len(piece))
        return piece

    def take_back(self) -> None:
        """Count nothing of it: it was not stored."""
        self._on_bytes(-self.counted_bytes)
        self.counted_bytes = 0
