"""A spooled log as a source of live segments."""

from __future__ import annotations

import io
import os

from orchestrator_cli.core.s3.checksum import FdReader
from orchestrator_cli.runner.spool_log import SpooledRun


class SpooledSource:
    """A log of the spool, which may not be there yet: see `GrowingBytes`. Close it."""

    def __init__(self, run: SpooledRun, name: str) -> None:
        self._run = run
        self._name = name
        self._file: io.FileIO | None = None

    @property
    def size_bytes(self) -> int:
        """How much of the log is there."""
        file = self._open()
        return os.fstat(file.fileno()).st_size if file is not None else 0

    def read_at(self, offset_bytes: int, size_bytes: int) -> bytes:
        """Return bytes of the log that are there."""
        file = self._open()
        return (
            FdReader(file.fileno()).read_at(offset_bytes, size_bytes) if file is not None else b""
        )

    def release(self, offset_bytes: int) -> None:
        """Do nothing: no memory is held."""

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _open(self) -> io.FileIO | None:
        if self._file is None:
            item = self._run.planned_log(self._name)
            self._file = item.file.open() if item is not None and item.file is not None else None
        return self._file
