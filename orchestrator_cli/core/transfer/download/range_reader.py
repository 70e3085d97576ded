"""Read stored objects in order: ranges fetched ahead in parallel, memory bounded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice

from orchestrator_cli.core.base.errors import AccessError, IntegrityError, suppress_unless_fatal
from orchestrator_cli.core.base.memory_limiter import BufferPool
from orchestrator_cli.core.base.ordered_map import ordered_map
from orchestrator_cli.core.base.quantities import MIB
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.s3.bucket.reader import ObjectReader
from orchestrator_cli.core.s3.checksum import BytesReader
from orchestrator_cli.core.s3.compare import (
    StreamHasher,
    best_stored_checksum,
    check_listed_size,
    matches_stored,
)
from orchestrator_cli.core.s3.types import ObjectMetadata

_NOTHING = memoryview(b"")
RANGE_BYTES = 4 * MIB
_MAX_PENDING = 6
# Of an object that is read alone, where the server is far away: more wait for it than fill a core.
_MAX_PENDING_ALONE = 14
# One connection that is answered at once fills a core. Then it is the requests that cost: a server
# in Python, as the sandbox is, takes as long for one as for a mebibyte.
_NEAR_READERS = 2
_NEAR_PENDING = 4
_NEAR_TIMES_LARGER = 2
_NEAR_SECONDS = 0.005


def iter_range(
    store: ObjectReader,
    key: str,
    start_bytes: int,
    end_bytes: int,
    max_pending: int = _MAX_PENDING,
    object_bytes: int | None = None,
) -> Iterator[memoryview]:
    """Yield the bytes of a range of an object in order, as they arrive.

    `object_bytes` is the object's size, where the range ends before it.
    Each block is good until the next is asked for: its buffer is used again then, as fresh memory
    costs a tenth of the whole reading. At most 32 MiB are fetched ahead, or `max_pending` times
    4 MiB where the server is far away, and nothing once the caller stops taking.
    """
    is_near = (store.connection.min_latency_seconds or 0.0) < _NEAR_SECONDS
    readers, pending = (_NEAR_READERS, _NEAR_PENDING) if is_near else (max_pending, max_pending)
    range_bytes = RANGE_BYTES * _NEAR_TIMES_LARGER if is_near else RANGE_BYTES
    buffers = BufferPool(min(range_bytes, end_bytes - start_bytes))
    expected = object_bytes or end_bytes

    def read(offset_bytes: int) -> tuple[memoryview, bytearray]:
        size_bytes = min(range_bytes, end_bytes - offset_bytes)
        buffer = buffers.get()
        return store.get_range(key, offset_bytes, size_bytes, buffer, expected), buffer

    offsets = range(start_bytes, end_bytes, range_bytes)
    for block, buffer in ordered_map(read, offsets, readers, pending):
        yield block
        buffers.put(buffer)


def iter_object_verified(
    store: ObjectReader, head: ObjectMetadata, first: memoryview = _NOTHING
) -> Iterator[memoryview]:
    """Yield the bytes of an object in order, compared with its checksum at their end.

    `first` is what has been read of it already. As with `iter_range`, each block is good until
    the next is asked for. Raises IntegrityError where they are not the stored ones, unless the
    caller stops before.
    """
    rest = iter_range(store, head.key, len(first), head.size_bytes, _MAX_PENDING_ALONE)
    return verify_blocks(store, head, chain([first], rest) if first else rest)


def verify_blocks(
    store: ObjectReader, head: ObjectMetadata, blocks: Iterator[memoryview]
) -> Iterator[memoryview]:
    """Yield the blocks of a whole object, and compare them with its checksum at their end.

    Where none is stored, its size has to be that of the listing. Raises IntegrityError.
    """
    stored = best_stored_checksum(head) if head.size_bytes else None
    if stored is None:
        confirm_size(store, head)
        yield from blocks
        return
    # An ETag need not be an MD5, as under SSE-KMS; S3's own checksum takes another request.
    digests = StreamHasher(stored, head.size_bytes, ["sha256"])
    alone = head.size_bytes <= RANGE_BYTES
    yield from _hashed_alone(blocks, digests) if alone else hash_in_thread(blocks, digests)
    if digests.matches(stored):
        return
    if not digests.matches(best_stored_checksum(store.head(head.key))):
        raise IntegrityError(
            f"read of {printable(head.key)}: the bytes received do not match their checksum",
            hint="run the same command again",
        )


def confirm_size(store: ObjectReader, head: ObjectMetadata) -> None:
    """Raise IntegrityError where the listing has an object of another size.

    It is what can be asked besides of an object whose bytes have no checksum to compare with.
    Who may not list has to do without.
    """
    if not head.size_bytes and matches_stored(BytesReader(b""), 0, head):
        return
    with suppress_unless_fatal(AccessError):
        for found in islice(store.list_objects(head.key, at_once=1), 1):
            if found.key == head.key:
                check_listed_size(head, found.size_bytes)


def _hashed_alone(blocks: Iterator[memoryview], digests: StreamHasher) -> Iterator[memoryview]:
    for block in blocks:
        digests.update(block)
        yield block


def hash_in_thread(blocks: Iterable[memoryview], digests: StreamHasher) -> Iterator[memoryview]:
    """Yield the blocks while a thread hashes them: who takes them need not wait for that."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1, "hash") as executor:
        for block in blocks:
            hashing = executor.submit(digests.update, block)
            yield block
            # The next block may take this one's place in memory.
            hashing.result()
