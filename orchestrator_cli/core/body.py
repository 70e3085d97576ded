"""A part of a local file as a request body that is read while it is sent."""

from __future__ import annotations

import io

from orchestrator_cli.core.digest import READ_SIZE, ReadsAt
from orchestrator_cli.core.pace import Pace
from orchestrator_cli.core.parts import Part


class FilePartBody(io.RawIOBase):
    """Reads one part of a source; never more than 1 MiB of it is in memory. Seekable."""

    def __init__(self, source: ReadsAt, part: Part, pace: Pace | None) -> None:
        super().__init__()
        self._source = source
        self._part = part
        self._pace = pace
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in the part."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position in the part."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._part.size_bytes}
        self._position = base[whence] + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes; may return fewer before the end."""
        left = self._part.size_bytes - self._position
        wanted = min(left, READ_SIZE if size < 0 else size)
        if self._pace is not None:
            wanted = min(wanted, self._pace.slice_bytes)
        data = self._source.read_at(self._part.offset_bytes + self._position, wanted)
        self._position += len(data)
        if self._pace is not None:
            self._pace.take(len(data))
        return data
