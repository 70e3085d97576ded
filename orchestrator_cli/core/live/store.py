"""Where live logs are kept: create-only segments, and a heartbeat that is swapped."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from orchestrator_cli.core.base.errors import ConflictError, NotFoundError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.keys import live_segment_key, live_state_key
from orchestrator_cli.core.live.segment import MAX_SEGMENT_BYTES, Segment
from orchestrator_cli.core.live.state import LiveState, StoredState, read_state
from orchestrator_cli.core.s3.checksum import sha256
from orchestrator_cli.core.s3.operations.put import (
    ServerTraits,
    compare_and_swap,
    create_or_find,
    put_object_if_absent,
)
from orchestrator_cli.core.s3.operations.read import head_object
from orchestrator_cli.core.s3.operations.request import Operation

if TYPE_CHECKING:
    from orchestrator_cli.core.s3.bucket.writer import ArtifactStore

STATE_TYPE = "application/json"
# Whatever a log's bytes are, a browser that is led to a segment only saves them.
SEGMENT_TYPE = "application/octet-stream"


class LiveStore(Protocol):
    """The live logs of one execution. A segment has at most `max_segment_bytes`."""

    @property
    def max_segment_bytes(self) -> int:
        """The most that one segment holds."""

    def read_state(self) -> StoredState | None:
        """Read the heartbeat; None where there is none."""

    def write_state(self, state: LiveState, etag: str | None) -> str:
        """Replace the heartbeat that has this ETag, or make the first one; return its new ETag.

        Raises ConflictError where another one is there.
        """

    def find_segment(self, log: str, offset: int) -> Segment | None:
        """Look up the segment at an offset; None where there is none."""

    def put_segment(self, log: str, segment: Segment, data: bytes) -> Segment:
        """Store a segment unless one is there; return the one that is there now."""


class S3LiveStore:
    """The live logs of one execution in a bucket; see `LiveStore`."""

    max_segment_bytes = MAX_SEGMENT_BYTES

    def __init__(self, store: ArtifactStore, execution_id: str) -> None:
        self._store = store
        self._execution_id = execution_id

    def read_state(self) -> StoredState | None:
        """Read the heartbeat; None where there is none. Raises IntegrityError."""
        return self._store.run(read_state(self._execution_id))

    def write_state(self, state: LiveState, etag: str | None) -> str:
        """Replace the heartbeat that has this ETag, or make the first one."""
        server, content = self._store.server, state.to_json()
        return self._store.run(_write_state(server, self._execution_id, content, etag))

    def find_segment(self, log: str, offset: int) -> Segment | None:
        """Look up the segment at an offset; None where there is none. Raises IntegrityError."""
        return self._store.run(find_segment(self._execution_id, log, offset))

    def put_segment(self, log: str, segment: Segment, data: bytes) -> Segment:
        """Store a segment unless one is there; return the one that is there now.

        Raises IntegrityError where something else than a segment has its key.
        """
        server = self._store.server
        return self._store.run(_put_segment(server, self._execution_id, log, segment, data))


def find_segment(execution_id: str, log: str, offset: int) -> Operation[Segment | None]:
    """Look up the segment at an offset; None where there is none. Raises IntegrityError."""
    try:
        head = yield from head_object(live_segment_key(execution_id, log, offset))
    except NotFoundError:
        return None
    return Segment.from_head(offset, head)


def _put_segment(
    server: ServerTraits, execution_id: str, log: str, segment: Segment, data: bytes
) -> Operation[Segment]:
    key = live_segment_key(execution_id, log, segment.offset)
    digest, metadata = bytes.fromhex(segment.sha256), segment.to_user_metadata()
    find = partial(find_segment, execution_id, log, segment.offset)

    def create() -> Operation[Segment]:
        found = None if server.creates_atomically else (yield from find())
        if found is not None:
            return found
        yield from put_object_if_absent(server, key, data, SEGMENT_TYPE, digest, metadata)
        return segment

    return (yield from create_or_find(f"upload of {printable(key)}", create, find))


def _write_state(
    server: ServerTraits, execution_id: str, content: bytes, etag: str | None
) -> Operation[str]:
    key = live_state_key(execution_id)
    if etag is not None:
        try:
            return (yield from compare_and_swap(server, key, content, etag, STATE_TYPE))
        except NotFoundError as error:
            # Somebody has removed it.
            raise ConflictError(error.message) from error
    digest = sha256(content)
    try:
        return (yield from put_object_if_absent(server, key, content, STATE_TYPE, digest))
    except ConflictError:
        if server.creates_atomically or (yield from read_state(execution_id)) is not None:
            raise
    return (yield from put_object_if_absent(server, key, content, STATE_TYPE, digest))
