"""Reads of a log by byte offset, for whoever shows a part of it; nothing here knows HTTP."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from orchestrator_cli.core.base.errors import NotFoundError, UnavailableError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.ids import parse_execution_id
from orchestrator_cli.core.executions.logs.finding import find_log
from orchestrator_cli.core.executions.placement import log_storage_path
from orchestrator_cli.core.retention.archive import explain_archived_errors
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.part_plan import MIB
from orchestrator_cli.core.s3.types import ObjectMetadata

MAX_READ_BYTES = MIB
# A final log never changes. It may be deleted or replaced by hand, and that shows after a while.
_HEAD_SECONDS = 60.0
_MAX_HEADS = 1024


class LogState(StrEnum):
    """Whether more of a log may come: it is stored, it is being written, or its writer is gone."""

    FINAL = "final"
    GROWING = "growing"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class LogBytes:
    """A part of a log. `size_bytes` is the size of the whole log as far as it is known.

    `line` is how many newlines are before the part, where that is known. `etag` stands for the
    whole log's content and is None while that may change.
    """

    offset: int
    data: memoryview | bytes
    size_bytes: int
    state: LogState
    line: int | None = None
    etag: str | None = None


class LogSource(Protocol):
    """A log that can be read at any offset."""

    def read(self, offset: int, length: int, wait_seconds: float = 0.0) -> LogBytes:
        """Return up to `length` bytes from an offset; a negative one counts from the end.

        Where nothing is there yet and the log may grow, wait so long for more.
        """


@dataclass(frozen=True, slots=True)
class FinalLog:
    """A log that is stored, and will not change."""

    store: ArtifactStore
    head: ObjectMetadata
    now: Callable[[], datetime]

    def read(self, offset: int, length: int, wait_seconds: float = 0.0) -> LogBytes:
        """Return a part of it. Raises ArchivedError. There is nothing to wait for."""
        size = self.head.size_bytes
        start = max(0, size + offset) if offset < 0 else min(offset, size)
        wanted = min(length, MAX_READ_BYTES, size - start)
        data: memoryview | bytes = b""
        if wanted:
            with explain_archived_errors(self.store, self.head.key, self.now()):
                data = self.store.get_range(self.head.key, start, wanted)
        if len(data) != wanted:
            raise UnavailableError(f"read of {printable(self.head.key)}: the answer is incomplete")
        line = 0 if start == 0 else None
        return LogBytes(start, data, size, LogState.FINAL, line, self.head.etag.strip('"'))


class LogService:
    """The logs of one bucket. Safe to share between threads."""

    def __init__(
        self,
        store: ArtifactStore,
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._now = now
        self._clock = clock
        self._lock = threading.Lock()
        self._heads: OrderedDict[tuple[str, str], tuple[float, ObjectMetadata]] = OrderedDict()

    def open(self, text: str, name: str) -> LogSource:
        """Return a log by an execution's id and a log's name. Raises NotFoundError."""
        return FinalLog(self._store, self.head(text, name), self._now)

    def head(self, text: str, name: str) -> ObjectMetadata:
        """Look a stored log up, seldom: whoever shows it asks for many parts."""
        path = log_storage_path(name)
        if path is None:
            raise NotFoundError("no such log", hint="a log is stdout, stderr, runner or bench")
        found = parse_execution_id(text), path
        with self._lock:
            until, head = self._heads.get(found, (0.0, None))
            if head is not None and self._clock() < until:
                self._heads.move_to_end(found)
                return head
        head = find_log(self._store, *found)
        with self._lock:
            self._heads[found] = self._clock() + _HEAD_SECONDS, head
            while len(self._heads) > _MAX_HEADS:
                self._heads.popitem(last=False)
        return head
