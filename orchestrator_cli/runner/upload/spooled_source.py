"""A spooled log as a source of live segments."""

from __future__ import annotations

import io

from orchestrator_cli.core.live.segmented_log import FileSource
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
        source = self._source()
        return source.size_bytes if source is not None else 0

    def read_at(self, offset_bytes: int, size_bytes: int) -> bytes:
        """Return bytes of the log that are there."""
        source = self._source()
        return source.read_at(offset_bytes, size_bytes) if source is not None else b""

    def release(self, offset_bytes: int) -> None:
        """Do nothing: no memory is held."""

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _source(self) -> FileSource | None:
        if self._file is None:
            item = self._run.planned_log(self._name)
            self._file = item.file.open() if item is not None and item.file is not None else None
        return FileSource(self._file.fileno()) if self._file is not None else None
