"""The endpoints that read a log by byte offset."""

from __future__ import annotations

import zlib
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from orchestrator_cli.api.logs.growing_log import GrowingLog
from orchestrator_cli.api.logs.log_bytes import MAX_READ_BYTES, LogBytes
from orchestrator_cli.api.logs.log_service import FinalLog
from orchestrator_cli.api.routes.read_routes import LogName
from orchestrator_cli.api.schemas import ERRORS, Id
from orchestrator_cli.api.services import services_of

router = APIRouter(prefix="/executions/{execution_id}/logs/{name}", tags=["files"])
Offset = Annotated[
    int,
    Query(
        ge=-(2**53), le=2**53, description="Where to begin, in bytes; a negative one from the end."
    ),
]
Length = Annotated[int, Query(ge=0, le=MAX_READ_BYTES, description="The most bytes to return.")]
Wait = Annotated[
    float,
    Query(ge=0, le=20, description="Of a log that grows: wait so many seconds for more of it."),
]
_DEFAULT_LENGTH = 256 * 1024
_PACKED_FROM_BYTES = 1000

_BYTES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The bytes. `X-Log-Offset` is where they begin, `X-Log-Size` the size of "
        "the log as far as it is known, `X-Log-State` one of `final`, `growing` and `lost`, and "
        "`X-Log-Line`, where that is known, how many newlines are before them. A final log has a "
        "strong ETag.",
        "content": {"application/octet-stream": {}},
    },
    304: {"description": "The client has just that."},
    **ERRORS,
}


@router.get("/bytes", response_class=Response, responses=_BYTES)
async def get_log_bytes(
    request: Request,
    execution_id: Id,
    name: LogName,
    offset: Offset = 0,
    length: Length = _DEFAULT_LENGTH,
    wait: Wait = 0.0,
) -> Response:
    """Return a part of a log, wherever it begins, without reading the rest."""
    services = services_of(request)
    if wait and offset >= 0:
        log = await services.workers.run_read(lambda: services.logs.open(execution_id, name))
        if isinstance(log, GrowingLog):
            seconds = min(wait, services.most_wait_seconds)
            await services.listeners.wait_for_more(log, offset, seconds)
    packs = "gzip" in request.headers.get("accept-encoding", "")
    known = request.headers.get("if-none-match", "")

    def answer() -> Response:
        log = services.logs.open(execution_id, name)
        # To say that nothing has changed, nothing need be read.
        if isinstance(log, FinalLog) and known:
            etag = _etag(log.head.etag.strip('"'), offset, length, packs)
            if etag in [one.strip() for one in known.split(",")]:
                return Response(status_code=304, headers=_headers(etag))
        part = log.read(offset, length)
        return _bytes_response(part, _etag(part.etag, offset, length, packs), packs)

    return await services.workers.run_read(answer)


def _bytes_response(part: LogBytes, etag: str | None, packs: bool) -> Response:
    headers = {
        **_headers(etag),
        "X-Log-Offset": str(part.offset),
        "X-Log-Size": str(part.size_bytes),
        "X-Log-State": part.state,
        "X-Log-Line": str(part.line),
        "Content-Encoding": "gzip",
    }
    if part.line is None:
        del headers["X-Log-Line"]
    content = part.data
    if packs and len(content) >= _PACKED_FROM_BYTES:
        content = _gzip(content)
    else:
        # Said, because what says nothing is packed on its way, in the thread of all requests.
        headers["Content-Encoding"] = "identity"
    return Response(content, headers=headers, media_type="application/octet-stream")


def _etag(content: str | None, offset: int, length: int, packs: bool) -> str | None:
    """Return the tag of one part in one encoding; None of a log that still grows."""
    return f'"{content}.{offset}.{length}{".gz" if packs else ""}"' if content else None


def _headers(etag: str | None) -> dict[str, str]:
    if etag is None:
        return {"Cache-Control": "no-store"}
    vary = "Authorization, Cookie, Accept-Encoding"
    return {"ETag": etag, "Cache-Control": "private, no-cache", "Vary": vary}


def _gzip(content: memoryview | bytes) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return packer.compress(content) + packer.flush()
