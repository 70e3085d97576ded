"""Index a log while its bytes are at hand, and store that beside it once the log is stored.

Everything works without, and `index` makes it anew. So nothing here makes an upload fail.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial

from orchestrator_cli.core.base.cancellation import current_token
from orchestrator_cli.core.base.errors import InterruptedByUser, OrchestratorError
from orchestrator_cli.core.executions.keys import log_index_key, log_tail_key, parse_artifact_key
from orchestrator_cli.core.executions.logs.finding import log_name
from orchestrator_cli.core.executions.logs.index import INDEX_TYPE, TAIL_TYPE
from orchestrator_cli.core.executions.logs.indexer import LogIndexer
from orchestrator_cli.core.retention.lifecycle.policy import ARCHIVE_OVER_BYTES
from orchestrator_cli.core.s3.operations.request import Operation
from orchestrator_cli.core.s3.part_plan import MIB
from orchestrator_cli.core.transfer.engine import TransferEngine
from orchestrator_cli.core.transfer.upload.parts.stream_parts import StreamPart
from orchestrator_cli.core.transfer.upload.plan import PlannedFile
from orchestrator_cli.core.transfer.upload.target import UploadTarget

# A log that is not larger is read whole at once, and never archived.
_SMALL_BYTES = ARCHIVE_OVER_BYTES
# To look for errors takes longer than to hash. Most runs that fail do so before.
_SEARCHED_BYTES = 64 * MIB


class PartIndexer:
    """Indexes the parts of a stream as they are read; `indexer` is None for a small one."""

    def __init__(self) -> None:
        self.indexer: LogIndexer | None = None

    def add(self, part: StreamPart) -> None:
        """Take the next part."""
        if self.indexer is None:
            if part.part.size_bytes <= _SMALL_BYTES:
                return
            self.indexer = LogIndexer(_SEARCHED_BYTES)
        for block, size_bytes in part.blocks():
            self.indexer.add(block, size_bytes)


def is_indexed(target: UploadTarget, item: PlannedFile) -> bool:
    """Say whether a file is a log, and goes where its index can go."""
    found = parse_artifact_key(item.key)
    return target.keeps_indexes and found is not None and log_name(found[1]) != ""


def index_file(
    engine: TransferEngine, target: UploadTarget, item: PlannedFile, size_bytes: int
) -> Operation[None]:
    """Read a file once more that was stored just now, and store its index."""
    if size_bytes <= _SMALL_BYTES:
        return
    with contextlib.suppress(OSError, OrchestratorError):
        indexer: LogIndexer = yield engine.run_read(partial(_read, item))
        if indexer.size_bytes == size_bytes:
            yield from store_index(target, item.key, indexer)


def store_index(target: UploadTarget, key: str, indexer: LogIndexer) -> Operation[None]:
    """Store the index and the last bytes of a log. Raises what keeps them from being stored."""
    found = parse_artifact_key(key)
    head = yield from target.head(key)
    if found is None or head.size_bytes != indexer.size_bytes:
        return
    execution_id, name = found[0], log_name(found[1])
    index = indexer.finish(head.etag.strip('"')).to_bytes()
    yield from target.put_if_absent(log_index_key(execution_id, name), index, INDEX_TYPE)
    yield from target.put_if_absent(log_tail_key(execution_id, name), indexer.tail, TAIL_TYPE)


def _read(item: PlannedFile) -> LogIndexer:
    indexer = LogIndexer(_SEARCHED_BYTES)
    for block in _blocks(item):
        indexer.add(block)
    return indexer


def _blocks(item: PlannedFile) -> Iterator[bytes]:
    stop = current_token()
    with item.open() as source:
        for offset in range(0, source.size_bytes, MIB):
            if stop is not None and stop.is_set():
                raise InterruptedByUser("interrupted")
            yield source.read_all_at(offset, min(MIB, source.size_bytes - offset))
        source.ensure_unchanged()
