"""A stored log, read by byte offset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from orchestrator_cli.api.logs.log_bytes import MAX_READ_BYTES, LogBytes, LogState
from orchestrator_cli.core.executions.logs.index import LogIndex
from orchestrator_cli.core.retention.archive import explain_archived_errors
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.types import ObjectMetadata


@dataclass(frozen=True, slots=True)
class FinalLog:
    """A stored log, which does not change any more."""

    store: ArtifactStore
    head: ObjectMetadata
    now: Callable[[], datetime]
    index: LogIndex | None = None

    def read(self, offset: int, length: int, wait_seconds: float = 0.0) -> LogBytes:
        """Return a part of the log. Raises ArchivedError. `wait_seconds` has no effect."""
        size = self.head.size_bytes
        start = max(0, size + offset) if offset < 0 else min(offset, size)
        wanted = min(length, MAX_READ_BYTES, size - start)
        # To number the lines, read from the last indexed point before the part.
        point, line = self.index.point_before(start) if self.index else (start, None)
        before = start - point
        read = self._read(point, before + wanted) if before + wanted else memoryview(b"")
        if line is not None:
            line += bytes(read[:before]).count(b"\n")
        line = 0 if start == 0 else line
        time_ms = self.index.time_ms_before(start) if self.index else None
        return LogBytes(start, read[before:], size, LogState.FINAL, line, self.etag, time_ms)

    @property
    def etag(self) -> str:
        """The ETag of the object, without quotes."""
        return self.head.etag.strip('"')

    def _read(self, offset: int, length: int) -> memoryview:
        with explain_archived_errors(self.store, self.head.key, self.now()):
            return self.store.get_range(
                self.head.key, offset, length, object_bytes=self.head.size_bytes
            )
