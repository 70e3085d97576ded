"""Make, store and read the indexes and tails of an execution's logs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from orchestrator_cli.core.base.errors import UNREADABLE, ConflictError, suppress_unless_fatal
from orchestrator_cli.core.executions.keys import INDEX_TYPE, TAIL_TYPE, log_index_key, log_tail_key
from orchestrator_cli.core.executions.logs.finding import list_logs
from orchestrator_cli.core.executions.logs.index import (
    TAIL_BYTES,
    LogIndex,
    max_index_bytes,
    parse_index,
)
from orchestrator_cli.core.executions.logs.indexer import LogIndexer
from orchestrator_cli.core.executions.record.status_probe import read_raw_record
from orchestrator_cli.core.s3.bucket.reader import ObjectReader
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.types import PutOutcome
from orchestrator_cli.core.transfer.download.range_reader import iter_range


class IndexedLog(NamedTuple):
    """A log whose index is stored now."""

    name: str
    size_bytes: int
    line_count: int
    error_count: int


def index_execution(store: ArtifactStore, execution_id: str) -> Iterator[IndexedLog]:
    """Read each log of an execution once, and store its index and its tail.

    Raises NotFoundError, ArchivedError.
    """
    for name, log in list_logs(store, execution_id, partial(read_raw_record, store)).logs.items():
        indexer = LogIndexer()
        part = indexer.begin(0)
        for block in iter_range(store, log.key, 0, log.size_bytes) if log.size_bytes else ():
            part.add(block)
        # Arrival times cannot be computed again.
        known = read_index(store, execution_id, name, log.size_bytes, log.etag)
        index = indexer.finish(log.etag, known.times_ms if known else ())
        _put(store, log_index_key(execution_id, name), index.to_bytes(), INDEX_TYPE)
        _put(store, log_tail_key(execution_id, name), indexer.tail, TAIL_TYPE)
        yield IndexedLog(name, log.size_bytes, index.line_count, len(index.errors))


def read_index(
    store: ObjectReader, execution_id: str, name: str, size_bytes: int, etag: str
) -> LogIndex | None:
    """Return the stored index of a log as it is now; None where there is none that can be used."""
    with suppress_unless_fatal(*UNREADABLE):
        stored = store.get(log_index_key(execution_id, name), max_index_bytes(size_bytes))
        return parse_index(stored.content, size_bytes, etag)
    return None


def read_tail(store: ObjectReader, execution_id: str, name: str) -> bytes:
    """Return the stored last bytes of a log; b"" where none are stored."""
    with suppress_unless_fatal(*UNREADABLE):
        return store.get(log_tail_key(execution_id, name), TAIL_BYTES).content
    return b""


def _put(store: ArtifactStore, key: str, content: bytes, content_type: str) -> None:
    """Replace an object by this content; concurrent writers compute the same."""
    if store.put_if_absent(key, content, content_type)[0] is not PutOutcome.CONFLICT:
        return
    try:
        store.compare_and_swap(key, content, store.head_fast(key).etag, content_type)
    except ConflictError:
        if bytes(store.get(key).content) != content:
            raise
