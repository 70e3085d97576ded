"""List the segments of a live log from near an offset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile

from orchestrator_cli.core.executions.keys import (
    live_log_prefix,
    live_prefix,
    live_segment_key,
    parse_live_segment_key,
)
from orchestrator_cli.core.live.segment import MAX_SEGMENT_BYTES
from orchestrator_cli.core.s3.bucket.reader import ObjectReader

# A segment that reaches over an offset begins so many bytes before it. Most are small, and a
# listing that begins further back than it has to lists many of them.
_STEPS_BACK = (64 * 1024, 1024 * 1024, MAX_SEGMENT_BYTES)


@dataclass(frozen=True, slots=True)
class ListedSegment:
    """What a listing says of a segment; the end marker has no bytes."""

    offset: int
    size_bytes: int

    @property
    def end(self) -> int:
        """The offset of what follows."""
        return self.offset + self.size_bytes


def list_segments(
    store: ObjectReader, execution_id: str, log: str, offset: int, until: int | None = None
) -> list[ListedSegment]:
    """Return the segments of a log without a gap, from the one that holds an offset to the last.

    Some before that may be listed too, and none that begins at `until` or after it. Where the
    log's beginning has expired, they begin after the offset.
    """
    found: list[ListedSegment] = []
    for back in _STEPS_BACK:
        start = max(0, offset - back)
        segments = iter_segments(store, execution_id, log, start)
        found = list(takewhile(lambda one: until is None or one.offset < until, segments))
        if start == 0 or (found and found[0].offset <= offset):
            break
    return found


def iter_segments(
    store: ObjectReader, execution_id: str, log: str, offset: int = 0
) -> Iterator[ListedSegment]:
    """Yield the segments of a log without a gap that begin at an offset or after it."""
    start_after = live_segment_key(execution_id, log, offset - 1) if offset else ""
    end: int | None = None
    for listed in store.list_objects(live_log_prefix(execution_id, log), start_after):
        parsed = parse_live_segment_key(listed.key)
        if parsed is None or parsed[:2] != (execution_id, log):
            continue
        one = ListedSegment(parsed[2], listed.size_bytes)
        if end is not None and one.offset > end:
            return
        if end in (None, one.offset):
            end = one.end
            yield one


def list_live_logs(store: ObjectReader, execution_id: str) -> list[str]:
    """Return the names of the logs that have segments, in order."""
    keys = (listed.key for listed in store.list_objects(live_prefix(execution_id)))
    parsed = filter(None, map(parse_live_segment_key, keys))
    return list(dict.fromkeys(log for _, log, _ in parsed))
