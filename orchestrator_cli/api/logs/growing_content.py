"""The content of a growing log, as far as it is stored, read block by block."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

from orchestrator_cli.core.base.quantities import MIB
from orchestrator_cli.core.live.reading.listing import ListedSegment, iter_segments
from orchestrator_cli.core.live.reading.reader import read_segment
from orchestrator_cli.core.s3.bucket.reader import ObjectReader

_STEP_BYTES = MIB
_STEP_SEGMENTS = 64


class GrowingContent:
    """Reads a log from its first byte that is still stored, one step at a time.

    Between steps the reader can stop. A step holds up to 64 segments or 1 MiB in memory, or one
    larger segment.
    """

    def __init__(self, store: ObjectReader, execution_id: str, log: str) -> None:
        self._store = store
        self._execution_id = execution_id
        self._log = log
        self._segments = iter_segments(store, execution_id, log)

    def step(self) -> bytes:
        """Return the next bytes; b"" at the end."""
        operations = (
            read_segment(self._execution_id, self._log, one.offset) for one in self._batch()
        )
        # A segment may have expired since it was listed. The content ends at such a gap.
        found = takewhile(lambda read: read is not None, self._store.map_operations(operations))
        return b"".join(read[1] for read in found if read)

    def _batch(self) -> Iterator[ListedSegment]:
        size = 0
        for number, one in enumerate(self._segments, 1):
            yield one
            size += one.size_bytes
            if size >= _STEP_BYTES or number == _STEP_SEGMENTS:
                return
