"""A cache of log indexes: stored ones, and those that are made here."""

from __future__ import annotations

import threading
from collections import OrderedDict

from orchestrator_cli.core.executions.logs.index import LogIndex
from orchestrator_cli.core.executions.logs.indexer import index_log
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.part_plan import MIB
from orchestrator_cli.core.s3.types import ObjectMetadata
from orchestrator_cli.core.transfer.download.log_index import read_index
from orchestrator_cli.core.transfer.download.range_reader import iter_range

# Some megabytes for a log of 10 GiB.
_MAX_INDEXES = 64
# What is read in a second or so.
MAX_COMPUTED_BYTES = 64 * MIB


class LogIndexes:
    """Finds the index of a log as it is stored now. Safe to share between threads."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str, int], LogIndex | None] = OrderedDict()

    def find(
        self, execution_id: str, name: str, head: ObjectMetadata, computes: bool
    ) -> LogIndex | None:
        """Return the stored index, or None.

        With `computes`, that of a log of moderate size is made here.
        """
        log = head.key, head.etag.strip('"'), head.size_bytes
        with self._lock:
            is_known, index = log in self._kept, self._kept.get(log)
        if index is not None or (is_known and not computes):
            return index
        index = read_index(self._store, execution_id, name, head.size_bytes, log[1])
        if index is None and computes and 0 < head.size_bytes <= MAX_COMPUTED_BYTES:
            blocks = iter_range(self._store, head.key, 0, head.size_bytes)
            index = index_log(blocks, log[1])
        self._keep(log, index)
        return index

    def _keep(self, log: tuple[str, str, int], index: LogIndex | None) -> None:
        with self._lock:
            self._kept[log] = index
            self._kept.move_to_end(log)
            while len(self._kept) > _MAX_INDEXES:
                self._kept.popitem(last=False)
