"""Live logs through a server that has the credentials."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any
from urllib.parse import quote, urlencode

from orchestrator_cli.core.base.errors import NotFoundError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.gateway.client.connection import GatewayConnection
from orchestrator_cli.core.gateway.client.server_request import ServerRequest, ask
from orchestrator_cli.core.gateway.limits import MAX_SENT_SEGMENT_BYTES
from orchestrator_cli.core.gateway.messages.live import (
    LiveSegment,
    PutSegmentResponse,
    PutStateResponse,
    StateResponse,
)
from orchestrator_cli.core.live.segment import Segment
from orchestrator_cli.core.live.state import LiveState, StoredState, parse_state


class GatewayLiveStore:
    """The live logs of one execution of a server; see `LiveStore`."""

    max_segment_bytes = MAX_SENT_SEGMENT_BYTES

    def __init__(self, connection: GatewayConnection, execution_id: str) -> None:
        self._connection = connection
        self._base = f"/executions/{execution_id}/live"

    def read_state(self) -> StoredState | None:
        """Read the heartbeat; None where there is none."""
        request = ServerRequest(f"{self._base}/state.json", "read of the heartbeat")
        try:
            return self._connection.run(ask(request, _as_state))
        except NotFoundError:
            return None

    def write_state(self, state: LiveState, etag: str | None) -> str:
        """Replace the heartbeat that has this ETag, or make the first one."""
        record = {"etag": etag, "state": json.loads(state.to_json())}
        request = ServerRequest(
            f"{self._base}/state.json", "update of the heartbeat", record, replaces=True
        )
        parse = PutStateResponse.model_validate
        return self._connection.run(ask(request, lambda body: parse(body).etag))

    def find_segment(self, log: str, offset: int) -> Segment | None:
        """Look up the segment at an offset; None where there is none."""
        what = f"look-up of live {printable(log)}"
        request = ServerRequest(self._path(log, offset), what)
        try:
            return self._connection.run(
                ask(request, lambda body: _segment(LiveSegment.model_validate(body)))
            )
        except NotFoundError:
            return None

    def put_segment(self, log: str, segment: Segment, data: bytes) -> Segment:
        """Store a segment unless one is there; return the one that is there now."""
        fields = asdict(segment)
        del fields["offset"], fields["size_bytes"]
        path = f"{self._path(log, segment.offset)}?{urlencode(fields)}"
        request = ServerRequest(path, f"upload of live {printable(log)}", content=data)
        return self._connection.run(
            ask(request, lambda body: _segment(PutSegmentResponse.model_validate(body).stored))
        )

    def _path(self, log: str, offset: int) -> str:
        return f"{self._base}/{quote(log)}/{offset}"


def _as_state(body: Any) -> StoredState:
    found = StateResponse.model_validate(body)
    state = parse_state(json.dumps(found.state).encode(), "the heartbeat")
    return StoredState(state, found.etag, found.age_seconds)


def _segment(found: LiveSegment) -> Segment:
    return Segment(**found.model_dump())
