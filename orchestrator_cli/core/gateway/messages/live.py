"""The messages between clients and `orchestrator serve` about live logs."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

from orchestrator_cli.core.executions.keys import MAX_LIVE_OFFSET
from orchestrator_cli.core.gateway.messages.fields import Sha256, StrictRequest
from orchestrator_cli.core.live.segment import WRITER_ID
from orchestrator_cli.core.s3.types import PutOutcome

EXAMPLE_WRITER = "0f" * 16
Count = Annotated[int, Field(ge=0, le=MAX_LIVE_OFFSET)]
Writer = Annotated[str, Field(pattern=rf"^{WRITER_ID}$", examples=[EXAMPLE_WRITER])]
_EXAMPLE_STATE = {
    "version": 1,
    "writer": EXAMPLE_WRITER,
    "epoch": 1,
    "host": "bench-7",
    "pid": 4711,
    "interval_seconds": 1.0,
    "logs": {"stdout.log": {"offset": 4, "line": 1, "ended": False}},
}


class LiveSegment(BaseModel):
    """A stored segment: some bytes of a log, or none at its end."""

    offset: Count
    size_bytes: Count = Field(examples=[4])
    sha256: Sha256
    line: Count = Field(description="The newlines before it in the log.")
    t0_ms: Count = Field(description="When its first byte arrived, in milliseconds since 1970.")
    t1_ms: Count = Field(description="When its last byte arrived, in milliseconds since 1970.")
    writer: Writer


class PutSegmentResponse(BaseModel):
    """The outcome of a write, and the segment that is stored."""

    outcome: PutOutcome
    stored: LiveSegment


class PutStateRequest(StrictRequest):
    """A heartbeat, which replaces the stored one or is the first."""

    etag: str | None = Field(
        max_length=1024,
        description="The ETag of the heartbeat that is to be replaced; null for the first one.",
        examples=['"098f6bcd4621d373cade4e832627b4f6"'],
    )
    state: dict[str, Any] = Field(examples=[_EXAMPLE_STATE])


class PutStateResponse(BaseModel):
    """The ETag of the stored heartbeat."""

    etag: str


class StateResponse(BaseModel):
    """The stored heartbeat."""

    etag: str
    age_seconds: float = Field(description="Its age by the clock of the storage.")
    state: dict[str, Any] = Field(examples=[_EXAMPLE_STATE])
