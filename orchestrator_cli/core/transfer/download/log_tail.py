"""Read the last lines of a stored log."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator_cli.core.executions.logs.finding import FIRST_BYTES, tail_offset
from orchestrator_cli.core.s3.bucket.reader import ObjectReader
from orchestrator_cli.core.s3.types import ObjectMetadata
from orchestrator_cli.core.transfer.download.range_reader import iter_object_verified, iter_range


def read_last_lines(
    store: ObjectReader, head: ObjectMetadata, lines: int, floor_bytes: int = 0
) -> Iterator[memoryview]:
    """Yield the last lines of a log, from `floor_bytes` on; each block is good until the next.

    A small log is read whole, and IntegrityError is raised where it does not match its checksum. Of
    a larger one only the end is read, and nothing tells of changed bytes.
    """
    size_bytes = head.size_bytes
    if size_bytes > FIRST_BYTES or lines <= 0:
        start = tail_offset(store, head.key, size_bytes, lines, floor_bytes)
        yield from iter_range(store, head.key, start, size_bytes)
        return
    whole = b"".join(iter_object_verified(store, head))
    before = whole.removesuffix(b"\n").rsplit(b"\n", lines)
    yield memoryview(whole)[len(before[0]) + 1 if len(before) > lines else 0 :]
