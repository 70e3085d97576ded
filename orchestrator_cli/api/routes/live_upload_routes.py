"""The endpoints through which a client without AWS credentials writes live logs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from orchestrator_cli.api.routes.upload_response import respond
from orchestrator_cli.api.schemas import ERRORS, Id
from orchestrator_cli.core.executions.keys import MAX_KEY_BYTES, MAX_LIVE_OFFSET
from orchestrator_cli.core.gateway.messages.live import (
    LiveSegment,
    PutSegmentResponse,
    PutStateRequest,
    PutStateResponse,
    StateResponse,
)
from orchestrator_cli.core.live.segment import WRITER_ID, Segment
from orchestrator_cli.core.s3.types import SHA256_HEX

router = APIRouter(prefix="/executions/{execution_id}/live", tags=["uploads"], responses=ERRORS)

LiveLogName = Annotated[
    str,
    Path(
        description="One of the logs, or the path of a file below artifacts/.",
        max_length=MAX_KEY_BYTES,
        examples=["stdout.log"],
    ),
]
Offset = Annotated[
    int, Path(ge=0, le=MAX_LIVE_OFFSET, description="The offset of its first byte in the log.")
]


class SegmentFields(BaseModel):
    """The metadata of a segment."""

    sha256: Annotated[str, Query(pattern=rf"^{SHA256_HEX}$", description="SHA-256 of the body.")]
    line: Annotated[
        int, Query(ge=0, le=MAX_LIVE_OFFSET, description="The newlines before it in the log.")
    ]
    t0_ms: Annotated[
        int,
        Query(
            ge=0,
            le=MAX_LIVE_OFFSET,
            description="When its first byte arrived, in milliseconds since 1970.",
        ),
    ]
    t1_ms: Annotated[
        int,
        Query(
            ge=0,
            le=MAX_LIVE_OFFSET,
            description="When its last byte arrived, in milliseconds since 1970.",
        ),
    ]
    writer: Annotated[
        str, Query(pattern=rf"^{WRITER_ID}$", description="The random id of the writer.")
    ]


@router.get("/state.json", response_model=StateResponse)
async def get_live_state(request: Request, execution_id: Id) -> Response:
    """Return the heartbeat of an execution's live logs."""
    return await respond(
        request, lambda services, token: services.live_uploads.read_state(execution_id, token)
    )


@router.put("/state.json", response_model=PutStateResponse)
async def put_live_state(request: Request, execution_id: Id, message: PutStateRequest) -> Response:
    """Replace the heartbeat, if it has not changed since it was read; otherwise 409."""
    return await respond(
        request,
        lambda services, token: services.live_uploads.write_state(execution_id, token, message),
    )


@router.get("/{name:path}/{offset}", response_model=LiveSegment)
async def get_live_segment(
    request: Request, execution_id: Id, name: LiveLogName, offset: Offset
) -> Response:
    """Return the metadata of a segment, without its bytes."""
    return await respond(
        request,
        lambda services, token: services.live_uploads.find_segment(
            execution_id, token, name, offset
        ),
    )


@router.put(
    "/{name:path}/{offset}",
    response_model=PutSegmentResponse,
    openapi_extra={
        "requestBody": {
            "description": "Bytes of the log, 1 MiB at most. An empty body says that the log ends "
            "at this offset.",
            "content": {"application/octet-stream": {}},
        }
    },
)
async def put_live_segment(
    request: Request,
    execution_id: Id,
    name: LiveLogName,
    offset: Offset,
    fields: Annotated[SegmentFields, Query()],
) -> Response:
    """Store a segment of a log that is still being written, unless one is stored at its offset.

    The request can be repeated. A stored segment never changes: if it is another one, the outcome
    is `conflict` and `stored` describes it.
    """
    data = await request.body()
    segment = Segment(offset, len(data), **fields.model_dump())
    return await respond(
        request,
        lambda services, token: services.live_uploads.put_segment(
            execution_id, token, name, segment, data
        ),
    )
