"""Index a log while it is uploaded, and store the index once the log is stored.

An upload never fails because of its index: `index` can make one later.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Self

from orchestrator_cli.core.base.errors import EXPECTED_FAILURES
from orchestrator_cli.core.base.quantities import MIB
from orchestrator_cli.core.executions.keys import parse_artifact_key
from orchestrator_cli.core.executions.logs.finding import log_name
from orchestrator_cli.core.executions.record.status_probe import MAX_METADATA_BYTES
from orchestrator_cli.core.s3.operations.request import Operation
from orchestrator_cli.core.s3.part_plan import Part
from orchestrator_cli.core.s3.types import ObjectMetadata
from orchestrator_cli.core.transfer.engine import TransferEngine
from orchestrator_cli.core.transfer.upload.plan import PlannedFile
from orchestrator_cli.core.transfer.upload.target import UploadTarget

# A log that is not larger is read whole at once, and never archived.
_SMALL_BYTES = MAX_METADATA_BYTES
# Searching for errors takes longer than hashing; most runs that fail do so within this much.
_SEARCHED_BYTES = 64 * MIB


class LogIndexing:
    """The index of one log that is being uploaded.

    `log` is what is stored, once that is known, and `times_ms` when each mebibyte of it arrived.
    """

    def __init__(self, target: UploadTarget, key: str) -> None:
        # Most uploads have no log: they do not load what searches one.
        from orchestrator_cli.core.executions.logs.indexer import LogIndexer

        self._target = target
        self._key = key
        self.log: ObjectMetadata | None = None
        self.times_ms: Sequence[int] = ()
        self._indexer = LogIndexer(_SEARCHED_BYTES)

    @classmethod
    def of(cls, target: UploadTarget, key: str) -> Self | None:
        """Return the indexing of a log by its key; None for the key of another file."""
        found = parse_artifact_key(key)
        return cls(target, key) if found and log_name(found[1]) else None

    @classmethod
    def of_file(cls, target: UploadTarget, item: PlannedFile) -> Self | None:
        """Return the indexing of a file, if it is a log that is large enough; else None."""
        return cls.of(target, item.key) if item.size_bytes > _SMALL_BYTES else None

    def watch(self, part: Part) -> Callable[[bytes | memoryview], object]:
        """Return a function that takes the bytes of a part, in order; from any thread."""
        if part.offset_bytes == 0 and part.size_bytes <= _SMALL_BYTES:
            return lambda block: None
        return self._indexer.begin(part.offset_bytes).add

    def add_all(self, data: bytes) -> None:
        """Index the whole log at once."""
        self.watch(Part(1, 0, len(data)))(data)

    def store(self) -> Operation[None]:
        """Store the index and the last bytes of the log, one after the other."""
        with contextlib.suppress(*EXPECTED_FAILURES):
            for put in (yield from self._prepare()):
                yield from put

    def store_at_once(self, engine: TransferEngine) -> None:
        """Store both at once, on the connections that sent the log's parts, and wait for it."""
        with contextlib.suppress(*EXPECTED_FAILURES):
            run = engine.connection.run
            puts = run(self._prepare())
            for stored in [engine.run_read(partial(run, put)) for put in puts]:
                stored.result()

    def _prepare(self) -> Operation[list[Operation[object]]]:
        if self._indexer.is_empty:
            return []
        log = self.log or (yield from self._target.head(self._key))
        index = self._indexer.finish(log.etag.strip('"'), self.times_ms)
        if index.size_bytes != log.size_bytes:
            return []
        return self._target.put_index(self._key, index.to_bytes(), self._indexer.tail)
