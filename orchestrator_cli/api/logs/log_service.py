"""Reads of a log by byte offset, for whoever shows a part of it; nothing here knows HTTP."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from orchestrator_cli.api.logs.growing_log import GrowingLogs
from orchestrator_cli.api.logs.log_bytes import MAX_READ_BYTES, LogBytes, LogSource, LogState
from orchestrator_cli.core.base.errors import NotFoundError, UnavailableError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.ids import parse_execution_id
from orchestrator_cli.core.executions.logs.finding import find_log
from orchestrator_cli.core.executions.placement import log_storage_path
from orchestrator_cli.core.retention.archive import explain_archived_errors
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.types import ObjectMetadata

# A final log never changes. It may be deleted or replaced by hand, and that shows after a while.
_HEAD_SECONDS = 60.0
_MAX_HEADS = 1024


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
        self._growing = GrowingLogs(store, clock)
        self._heads: OrderedDict[tuple[str, str], tuple[float, ObjectMetadata]] = OrderedDict()

    def open(self, text: str, name: str) -> LogSource:
        """Return a log by an execution's id and a log's name. Raises NotFoundError."""
        execution_id, path = _named(text, name)
        log = path.removeprefix("logs/")
        growing = self._growing.known(execution_id, log)
        if growing is not None:
            return growing
        try:
            return FinalLog(self._store, self.head(text, name), self._now)
        except NotFoundError as error:
            growing = None if error.is_fatal else self._growing.find(execution_id, log)
            if growing is None:
                raise
            return growing

    def head(self, text: str, name: str) -> ObjectMetadata:
        """Look a stored log up, seldom: whoever shows it asks for many parts."""
        found = _named(text, name)
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


def _named(text: str, name: str) -> tuple[str, str]:
    """Return an execution's id and a log's path. Raises UsageError, NotFoundError."""
    path = log_storage_path(name)
    if path is None:
        raise NotFoundError("no such log", hint="a log is stdout, stderr, runner or bench")
    return parse_execution_id(text), path
