"""The interface of logs that are read in parts, and the type of such a part."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from orchestrator_cli.core.base.quantities import MIB

MAX_READ_BYTES = MIB


class LogState(StrEnum):
    """Whether a log may grow: it is stored, it is being written, or its writer is lost."""

    FINAL = "final"
    GROWING = "growing"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class LogBytes:
    """A part of a log. `size_bytes` is the size of the whole log so far.

    `line` is the number of newlines before the part, and `time_ms` is about when its first byte
    arrived, in milliseconds since 1970; both are None if unknown. `etag` is the ETag of the whole
    log, None for a growing one.
    """

    offset: int
    data: memoryview | bytes
    size_bytes: int
    state: LogState
    line: int | None = None
    etag: str | None = None
    time_ms: int | None = None


class LogSource(Protocol):
    """A log that can be read at any offset."""

    def read(self, offset: int, length: int, wait_seconds: float = 0.0) -> LogBytes:
        """Return up to `length` bytes from an offset; a negative offset counts from the end.

        At the end of a growing log, an implementation may wait up to `wait_seconds` for more.
        """
