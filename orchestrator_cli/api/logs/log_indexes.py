"""A cache of log indexes, read from S3 or computed here."""

from __future__ import annotations

import threading
from collections import OrderedDict

from orchestrator_cli.core.base.quantities import MIB
from orchestrator_cli.core.executions.logs.index import LogIndex
from orchestrator_cli.core.executions.logs.indexer import index_log
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.types import ObjectMetadata
from orchestrator_cli.core.transfer.download.log_index import read_index
from orchestrator_cli.core.transfer.download.range_reader import iter_range

# The index of a log of 10 GiB takes a few megabytes.
_MAX_INDEXES = 64
# Larger logs are not indexed here. Reading this much takes about a second.
_MAX_COMPUTED_BYTES = 64 * MIB


class LogIndexes:
    """Finds the indexes of stored logs. Safe to share between threads."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._cached: OrderedDict[tuple[str, str, int], LogIndex | None] = OrderedDict()

    def find(
        self, execution_id: str, name: str, head: ObjectMetadata, compute: bool
    ) -> LogIndex | None:
        """Return the index of a log; None if it has none.

        With `compute`, the index of a log of moderate size is computed if none is stored.
        """
        log = head.key, head.etag.strip('"'), head.size_bytes
        with self._lock:
            is_cached, index = log in self._cached, self._cached.get(log)
        if index is not None or (is_cached and not compute):
            return index
        index = read_index(self._store, execution_id, name, head.size_bytes, log[1])
        if index is None and compute and 0 < head.size_bytes <= _MAX_COMPUTED_BYTES:
            blocks = iter_range(self._store, head.key, 0, head.size_bytes)
            index = index_log(blocks, log[1])
        self._cache(log, index)
        return index

    def _cache(self, log: tuple[str, str, int], index: LogIndex | None) -> None:
        with self._lock:
            self._cached[log] = index
            self._cached.move_to_end(log)
            while len(self._cached) > _MAX_INDEXES:
                self._cached.popitem(last=False)
