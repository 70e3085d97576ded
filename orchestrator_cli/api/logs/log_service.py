"""The service that opens logs, stored or growing, and finds their indexes."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime

from orchestrator_cli.api.logs.final_log import FinalLog
from orchestrator_cli.api.logs.growing_log import GrowingLogs
from orchestrator_cli.api.logs.log_bytes import LogSource
from orchestrator_cli.api.logs.log_indexes import LogIndexes
from orchestrator_cli.api.logs.log_names import parse_log_name
from orchestrator_cli.core.base.errors import NotFoundError
from orchestrator_cli.core.executions.ids import parse_execution_id
from orchestrator_cli.core.executions.logs.finding import find_log
from orchestrator_cli.core.executions.logs.index import LogIndex
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.types import ObjectMetadata
from orchestrator_cli.core.transfer.download.log_index import read_tail

# How long a HEAD of a log is cached. Stored logs never change, but may be deleted by hand.
_HEAD_SECONDS = 60.0
_MAX_HEADS = 1024


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
        self._indexes = LogIndexes(store)
        self._heads: OrderedDict[tuple[str, str], tuple[float, ObjectMetadata]] = OrderedDict()

    def open(self, text: str, name: str) -> LogSource:
        """Return a log, stored or growing. Raises NotFoundError."""
        execution_id, short = _named(text, name)
        growing = self._growing.known(execution_id, f"{short}.log")
        if growing is not None:
            return growing
        try:
            head = self.head(text, name)
            index = self._indexes.find(execution_id, short, head, compute=False)
            return FinalLog(self._store, head, self._now, index)
        except NotFoundError as error:
            if not error.is_fatal:
                growing = self._growing.find(execution_id, f"{short}.log")
            if growing is None:
                raise
            return growing

    def index(self, text: str, name: str) -> LogIndex | None:
        """Return the index of a stored log, computed if the log is small; None if there is none."""
        execution_id, short = _named(text, name)
        if self._growing.known(execution_id, f"{short}.log") is not None:
            return None
        try:
            head = self.head(text, name)
        except NotFoundError:
            # It may be a growing log, which has no index. `open` raises if there is no log.
            return None
        return self._indexes.find(execution_id, short, head, compute=True)

    def stored_tail(self, text: str, name: str) -> bytes:
        """Return the end of a log that is stored apart from it; b"" if there is none."""
        return read_tail(self._store, *_named(text, name))

    def head(self, text: str, name: str) -> ObjectMetadata:
        """Return the metadata of a stored log. It is cached, because clients read many parts."""
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
    """Return the execution's id and the log's short name, such as `stdout`.

    Raises UsageError, NotFoundError.
    """
    short = parse_log_name(name)
    return parse_execution_id(text), short
