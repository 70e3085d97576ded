"""Logs that can be read in parts, and such a part; nothing here knows HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from orchestrator_cli.core.s3.part_plan import MIB

MAX_READ_BYTES = MIB


class LogState(StrEnum):
    """Whether more of a log may come: it is stored, it is being written, or its writer is gone."""

    FINAL = "final"
    GROWING = "growing"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class LogBytes:
    """A part of a log. `size_bytes` is the size of the whole log as far as it is known.

    `line` is how many newlines are before the part, where that is known; `time_ms` is when about
    its beginning arrived, in milliseconds since 1970, where somebody saw it. `etag` stands for the
    whole log's content and is None while that may change.
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
        """Return up to `length` bytes from an offset; a negative one counts from the end.

        Where nothing is there yet and the log may grow, wait so long for more.
        """
