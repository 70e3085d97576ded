"""List the segments of a live log from near an offset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
    store: ObjectReader, execution_id: str, log: str, offset: int = 0, until: int | None = None
) -> list[ListedSegment]:
    """Return the segments of a log without a gap, from the one that holds an offset to the last.

    Some before that may be listed too, and none that begins at `until` or after it. Where the
    log's beginning has expired, they begin after the offset.
    """
    found: list[ListedSegment] = []
    for back in _STEPS_BACK:
        start = max(0, offset - back)
        found = list_segments_after(store, execution_id, log, start, until)
        if start == 0 or (found and found[0].offset <= offset):
            break
    return found


def list_segments_after(
    store: ObjectReader, execution_id: str, log: str, offset: int, until: int | None = None
) -> list[ListedSegment]:
    """Return the segments of a log without a gap that begin at an offset or after it."""
    listed = iter_segments(store, execution_id, log, offset)
    if until is not None:
        listed = takewhile(lambda one: one.offset < until, listed)
    return list(listed)


def iter_segments(
    store: ObjectReader, execution_id: str, log: str, offset: int = 0
) -> Iterator[ListedSegment]:
    """Yield the segments of `list_segments_after` as they are listed."""
    return _without_gaps(_list_from(store, execution_id, log, offset))


def list_live_logs(store: ObjectReader, execution_id: str) -> list[str]:
    """Return the names of the logs that have segments, in order."""
    keys = (listed.key for listed in store.list_objects(live_prefix(execution_id)))
    parsed = filter(None, map(parse_live_segment_key, keys))
    return list(dict.fromkeys(log for _, log, _ in parsed))


def _list_from(
    store: ObjectReader, execution_id: str, log: str, offset: int
) -> Iterator[ListedSegment]:
    prefix = live_log_prefix(execution_id, log)
    start_after = live_segment_key(execution_id, log, offset - 1) if offset else ""
    for listed in store.list_objects(prefix, start_after):
        parsed = parse_live_segment_key(listed.key)
        if parsed is not None and parsed[:2] == (execution_id, log):
            yield ListedSegment(parsed[2], listed.size_bytes)


def _without_gaps(listed: Iterable[ListedSegment]) -> Iterator[ListedSegment]:
    end: int | None = None
    for one in listed:
        if end is not None and one.offset > end:
            return
        if end is None or one.offset == end:
            end = one.end
            yield one
