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
from orchestrator_cli.core.executions.logs.finding import find_log, log_name
from orchestrator_cli.core.executions.logs.index import LogIndex, index_log
from orchestrator_cli.core.executions.placement import log_storage_path
from orchestrator_cli.core.retention.archive import explain_archived_errors
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.part_plan import MIB
from orchestrator_cli.core.s3.types import ObjectMetadata
from orchestrator_cli.core.transfer.download.log_index import read_index, read_tail
from orchestrator_cli.core.transfer.download.range_reader import iter_range

MAX_READ_BYTES = MIB
# A final log never changes. It may be deleted or replaced by hand, and that shows after a while.
_HEAD_SECONDS = 60.0
_MAX_HEADS = 1024
# Some megabytes for a log of 10 GiB.
_MAX_INDEXES = 64
# What is read in a second or so.
MAX_COMPUTED_BYTES = 64 * MIB


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
    index: LogIndex | None = None

    def read(self, offset: int, length: int, wait_seconds: float = 0.0) -> LogBytes:
        """Return a part of it. Raises ArchivedError. There is nothing to wait for."""
        size = self.head.size_bytes
        start = max(0, size + offset) if offset < 0 else min(offset, size)
        wanted = min(length, MAX_READ_BYTES, size - start)
        # To number its lines, what is before the part is read from the last point of the index on.
        point, line = self.index.point_before(start) if self.index else (start, None)
        before = start - point
        read = self._read(point, before + wanted) if before + wanted else memoryview(b"")
        if line is not None:
            line += bytes(read[:before]).count(b"\n")
        line = 0 if start == 0 else line
        return LogBytes(start, read[before:], size, LogState.FINAL, line, self.etag)

    @property
    def etag(self) -> str:
        """What stands for the content, without quotes."""
        return self.head.etag.strip('"')

    def _read(self, offset: int, length: int) -> memoryview:
        with explain_archived_errors(self.store, self.head.key, self.now()):
            data = self.store.get_range(self.head.key, offset, length)
        if len(data) != length:
            raise UnavailableError(f"read of {printable(self.head.key)}: the answer is incomplete")
        return data


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
        self._indexes: OrderedDict[tuple[str, str, int], LogIndex | None] = OrderedDict()
        self._heads: OrderedDict[tuple[str, str], tuple[float, ObjectMetadata]] = OrderedDict()

    def open(self, text: str, name: str) -> LogSource:
        """Return a log by an execution's id and a log's name. Raises NotFoundError."""
        return FinalLog(self._store, self.head(text, name), self._now, self.index(text, name))

    def index(self, text: str, name: str, computes: bool = False) -> LogIndex | None:
        """Return the index of a log as it is stored now, where somebody has made one.

        With `computes`, that of a log of moderate size is made here and kept in memory.
        """
        head = self.head(text, name)
        wanted = head.key, head.etag.strip('"'), head.size_bytes
        with self._lock:
            known, index = wanted in self._indexes, self._indexes.get(wanted)
        if index is not None or (known and not computes):
            return index
        index = read_index(self._store, *_named(text, name))
        if index is not None and (index.etag, index.size_bytes) != wanted[1:]:
            index = None
        if index is None and computes and 0 < head.size_bytes <= MAX_COMPUTED_BYTES:
            blocks = iter_range(self._store, head.key, 0, head.size_bytes)
            index = index_log(blocks, head.size_bytes, wanted[1])
        with self._lock:
            self._indexes[wanted] = index
            self._indexes.move_to_end(wanted)
            while len(self._indexes) > _MAX_INDEXES:
                self._indexes.popitem(last=False)
        return index

    def kept_tail(self, text: str, name: str) -> bytes:
        """Return the last bytes of a log that were kept apart from it; none where none were."""
        return read_tail(self._store, *_named(text, name))

    def head(self, text: str, name: str) -> ObjectMetadata:
        """Look a stored log up, seldom: whoever shows it asks for many parts."""
        found = _named(text, name)
        with self._lock:
            until, head = self._heads.get(found, (0.0, None))
            if head is not None and self._clock() < until:
                self._heads.move_to_end(found)
                return head
        head = find_log(self._store, found[0], found[1])
        with self._lock:
            self._heads[found] = self._clock() + _HEAD_SECONDS, head
            while len(self._heads) > _MAX_HEADS:
                self._heads.popitem(last=False)
        return head


def _named(text: str, name: str) -> tuple[str, str]:
    """Return an execution's id and a log's name, `stdout`. Raises UsageError, NotFoundError."""
    short = log_name(log_storage_path(name) or "")
    if not short:
        raise NotFoundError("no such log", hint="a log is stdout, stderr, runner or bench")
    return parse_execution_id(text), short
