"""The service behind the live-log endpoints. It does not know HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

from orchestrator_cli.api.guard.auth import Token
from orchestrator_cli.core.base.errors import IntegrityError, NotFoundError, UsageError
from orchestrator_cli.core.gateway.limits import MAX_SENT_SEGMENT_BYTES
from orchestrator_cli.core.gateway.messages.live import (
    LiveSegment,
    PutSegmentResponse,
    PutStateRequest,
    PutStateResponse,
    StateResponse,
)
from orchestrator_cli.core.live.segment import Segment
from orchestrator_cli.core.live.state import MAX_STATE_BYTES, parse_state
from orchestrator_cli.core.live.store import S3LiveStore
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.checksum import sha256
from orchestrator_cli.core.s3.types import PutOutcome


@dataclass
class LiveUploads:
    """Reads and writes the live logs of one bucket. Safe to share between threads.

    Each method takes an execution id as the client wrote it, and the client's token or None.
    `check` returns the canonical id, or raises an error that each method passes on.
    """

    store: ArtifactStore
    check: Callable[[str, Token | None], str]

    def read_state(self, text: str, token: Token | None) -> StateResponse:
        """Return the heartbeat. Raises NotFoundError."""
        found = self._store(text, token).read_state()
        if found is None:
            raise NotFoundError("the execution has no live logs")
        state = json.loads(found.state.to_json())
        return StateResponse(etag=found.etag, age_seconds=found.age_seconds, state=state)

    def write_state(
        self, text: str, token: Token | None, message: PutStateRequest
    ) -> PutStateResponse:
        """Replace the heartbeat. Raises ConflictError."""
        content = json.dumps(message.state).encode()
        if len(content) > MAX_STATE_BYTES:
            raise UsageError(f"state: it is longer than {MAX_STATE_BYTES:,} bytes")
        if message.etag is not None and not (message.etag.isascii() and message.etag.isprintable()):
            raise UsageError("etag: it has characters that no ETag has")
        try:
            state = parse_state(content, "state")
        except IntegrityError as error:
            raise UsageError(error.message) from error
        etag = self._store(text, token).write_state(state, message.etag)
        return PutStateResponse(etag=etag)

    def find_segment(self, text: str, token: Token | None, log: str, offset: int) -> LiveSegment:
        """Return a segment without its bytes. Raises NotFoundError."""
        found = self._store(text, token).find_segment(log, offset)
        if found is None:
            raise NotFoundError("no such segment")
        return _message(found)

    def put_segment(
        self, text: str, token: Token | None, log: str, segment: Segment, data: bytes
    ) -> PutSegmentResponse:
        """Store a segment unless its offset is taken, and return the one that is stored."""
        if segment.size_bytes > MAX_SENT_SEGMENT_BYTES:
            raise UsageError(f"the segment is longer than {MAX_SENT_SEGMENT_BYTES:,} bytes")
        if sha256(data).hex() != segment.sha256:
            raise UsageError("sha256: it does not match the bytes that arrived")
        stored = self._store(text, token).put_segment(log, segment, data)
        outcome = PutOutcome.CREATED
        if stored != segment:
            same = stored.sha256 == segment.sha256
            outcome = PutOutcome.IDENTICAL if same else PutOutcome.CONFLICT
        return PutSegmentResponse(outcome=outcome, stored=_message(stored))

    def _store(self, text: str, token: Token | None) -> S3LiveStore:
        return S3LiveStore(self.store, self.check(text, token))


def _message(segment: Segment) -> LiveSegment:
    return LiveSegment(**asdict(segment))
