"""Recover the end of a local log from its live segments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestrator_cli.core.base.errors import IntegrityError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.keys import live_segment_key
from orchestrator_cli.core.live.reading.listing import iter_segments
from orchestrator_cli.core.live.segment import MAX_SEGMENT_BYTES, Segment
from orchestrator_cli.core.live.segmented_log import GrowingBytes
from orchestrator_cli.core.live.store import find_segment
from orchestrator_cli.core.s3.checksum import sha256

if TYPE_CHECKING:
    from orchestrator_cli.core.s3.bucket.writer import ArtifactStore


def _find_segments(store: ArtifactStore, execution_id: str, log: str) -> Iterator[Segment]:
    """Yield the segments of a live log, from its first byte to the first gap or the end."""
    listed = iter_segments(store, execution_id, log)
    offset = 0
    for segment in store.map_operations(
        find_segment(execution_id, log, one.offset) for one in listed
    ):
        if segment is None or segment.offset != offset or segment.is_end:
            return
        yield segment
        offset = segment.end


def missing_tail(
    store: ArtifactStore, execution_id: str, log: str, local: GrowingBytes
) -> Iterator[bytes]:
    """Yield the bytes of a live log beyond the end of a local copy.

    Raises IntegrityError where the two differ; what was yielded before that is right.
    """
    size = local.size_bytes
    for segment in _find_segments(store, execution_id, log):
        known = local.read_at(segment.offset, max(0, min(segment.end, size) - segment.offset))
        if len(known) == segment.size_bytes:
            data = known
        else:
            key = live_segment_key(execution_id, log, segment.offset)
            data = store.get(key, MAX_SEGMENT_BYTES).content
        if sha256(data).hex() != segment.sha256 or not data.startswith(known):
            where = f"from byte {segment.offset:,} on"
            raise IntegrityError(f"live segments of {printable(log)} hold other bytes {where}")
        if len(data) > len(known):
            yield data[len(known) :]
