"""A local file to be stored, read at offsets, and checked for changes meanwhile."""

from __future__ import annotations

import contextlib
import os
from typing import Self

from orchestrator_cli.core.base.errors import IntegrityError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.files.tree import Openable


class SourceChangedError(IntegrityError):
    """A local file was written to while it was read; it is not stored."""


class LocalFile:
    """A regular file opened for reading, with what `fstat` said when it was opened."""

    def __init__(self, file: Openable, name: object) -> None:
        """Open it; `name` is what messages call it. Raises OSError."""
        self._file = file
        self._name = name
        self._opened = file.open()
        self._fd = self._opened.fileno()
        self._stat = os.fstat(self._fd)

    @property
    def size_bytes(self) -> int:
        """The size when it was opened."""
        return self._stat.st_size

    def read_at(self, offset_bytes: int, size_bytes: int) -> bytes:
        """Return up to `size_bytes` bytes from an offset, none only past the end.

        Raises SourceChangedError where the file ends earlier than when it was opened: who only met
        an early end would go on waiting for the rest.
        """
        data = os.pread(self._fd, size_bytes, offset_bytes)
        if not data and size_bytes and offset_bytes < self.size_bytes:
            raise self.changed_error()
        return data

    def read_all_at(self, offset_bytes: int, size_bytes: int) -> bytes:
        """Return exactly so many bytes. Raises SourceChangedError where the file is shorter now."""
        data = self.read_at(offset_bytes, size_bytes)
        while len(data) < size_bytes:
            more = self.read_at(offset_bytes + len(data), size_bytes - len(data))
            if not more:
                raise self.changed_error()
            data += more
        return data

    def read_into(self, buffer: bytearray, offset_bytes: int, size_bytes: int) -> memoryview:
        """Fill a buffer from an offset; return the part of it that holds exactly so many bytes.

        Raises SourceChangedError where the file is shorter now.
        """
        view = memoryview(buffer)[:size_bytes]
        filled = 0
        while filled < size_bytes:
            read = os.preadv(self._fd, [view[filled:]], offset_bytes + filled)
            if not read:
                raise self.changed_error()
            filled += read
        return view

    def ensure_unchanged(self) -> None:
        """Raise SourceChangedError where the file was written to, cut or replaced since opening.

        Raises IntegrityError for one that has content and tells no size, as below /proc. One that
        was removed still has its bytes, and this is the last chance to store them.
        """
        now = os.fstat(self._fd)
        if (now.st_size, now.st_mtime_ns) != (self._stat.st_size, self._stat.st_mtime_ns):
            raise self.changed_error()
        if not self.size_bytes and os.pread(self._fd, 1, 0):
            raise IntegrityError(
                f"{printable(self._name)} has content but tells no size; it was not stored",
                hint="store what `cat` prints of it: upload ID - --name NAME",
            )
        with contextlib.suppress(OSError):
            named = self._file.stat()
            if (named.st_dev, named.st_ino) != (now.st_dev, now.st_ino):
                raise self.changed_error()

    def close(self) -> None:
        """Close the file."""
        # A thread that still reads after a failure must not meet another file of that number.
        self._fd = -1
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def changed_error(self) -> SourceChangedError:
        """Return the error for a file that changed while it was read."""
        return SourceChangedError(
            f"{printable(self._name)} changed while it was read; it was not stored",
            hint="upload it again once it is no longer written to",
        )
