"""The endpoints that read a log by byte offset."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from orchestrator_cli.api.json import encode, json_response
from orchestrator_cli.api.logs.final_log import FinalLog
from orchestrator_cli.api.logs.growing_log import GrowingLog
from orchestrator_cli.api.logs.log_bytes import MAX_READ_BYTES, LogBytes
from orchestrator_cli.api.logs.log_search import LogSearch, find_line
from orchestrator_cli.api.routes.log_messages import LinePosition, LogErrors, LogSearchQuery
from orchestrator_cli.api.routes.read_routes import LogName
from orchestrator_cli.api.schemas import ERRORS, Id
from orchestrator_cli.api.services import Services, services_of
from orchestrator_cli.core.base.errors import NotFoundError, OrchestratorError
from orchestrator_cli.core.base.quantities import rfc3339
from orchestrator_cli.core.base.text import without_secrets
from orchestrator_cli.core.gateway.limits import MAX_WAIT_SECONDS

router = APIRouter(prefix="/executions/{execution_id}/logs/{name}", tags=["files"])
Offset = Annotated[
    int,
    Query(
        ge=-(2**53), le=2**53, description="The first byte; a negative offset counts from the end."
    ),
]
Length = Annotated[int, Query(ge=0, le=MAX_READ_BYTES, description="The most bytes to return.")]
Wait = Annotated[
    float,
    Query(
        ge=0,
        le=MAX_WAIT_SECONDS,
        description="For a growing log: wait up to this many seconds for new bytes.",
    ),
]
_DEFAULT_LENGTH = 256 * 1024
_MIN_GZIP_BYTES = 1000

LineNumber = Annotated[int, Query(ge=1, le=2**53, description="The number of a line, from 1.")]
_RECORDS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One JSON object per line. A hit has `offset`, `end` and `text` of a line "
        "and, if the search began at the first byte, its number `line`. An object with `read` and "
        "`size` tells the progress. The last one has `complete`: whether the whole log was "
        "searched.",
        "content": {"application/x-ndjson": {}},
    },
    **ERRORS,
}
_BYTES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The bytes. `X-Log-Offset` is the offset of the first one, `X-Log-Size` the "
        "size of the log so far, and `X-Log-State` one of `final`, `growing` and `lost`. If they "
        "are known, `X-Log-Line` is the number of newlines before the first byte, and `X-Log-Time` "
        "about when it arrived. A final log has a strong ETag.",
        "content": {"application/octet-stream": {}},
    },
    304: {"description": "The client's copy is current."},
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
    """Return a part of a log without reading the rest of it."""
    services = services_of(request)
    if wait and offset >= 0:
        log = await services.workers.run_read(lambda: services.logs.open(execution_id, name))
        if isinstance(log, GrowingLog):
            seconds = min(wait, services.max_wait_seconds)
            await services.listeners.wait_for_more(log, offset, seconds)
    accepts_gzip = "gzip" in request.headers.get("accept-encoding", "")
    if_none_match = request.headers.get("if-none-match", "")

    def respond() -> Response:
        log = services.logs.open(execution_id, name)
        # A 304 needs no read.
        if isinstance(log, FinalLog) and if_none_match:
            etag = _etag(log.etag, offset, length, accepts_gzip)
            if etag in [one.strip() for one in if_none_match.split(",")]:
                return Response(status_code=304, headers=_headers(etag))
        part = log.read(offset, length)
        return _bytes_response(part, _etag(part.etag, offset, length, accepts_gzip), accepts_gzip)

    return await services.workers.run_read(respond)


@router.get("/lines", response_model=LinePosition, responses=ERRORS)
async def get_line(request: Request, execution_id: Id, name: LogName, n: LineNumber) -> Response:
    """Return the offset of a line. An index (see `orchestrator index`) makes this fast."""
    services = services_of(request)

    def find() -> dict[str, Any]:
        log, index = services.logs.open(execution_id, name), services.logs.index(execution_id, name)
        point_before = index.point_before_line if index else lambda _: (0, 0)
        offset = find_line(log, n - 1, point_before)
        if offset is None:
            raise NotFoundError(f"the log has no line {n:,}")
        return {"line": n, "offset": offset}

    return json_response(await services.workers.run_read(find))


@router.get("/search", response_class=Response, responses=_RECORDS)
async def search_in_log(
    request: Request, execution_id: Id, name: LogName, query: Annotated[LogSearchQuery, Query()]
) -> Response:
    """Search a log, and stream the lines that match as they are found.

    The search ends when the client disconnects.
    """
    services = services_of(request)
    search = await services.workers.run_read(
        lambda: LogSearch(services.logs.open(execution_id, name), query.parsed())
    )
    # With a Content-Encoding, the gzip middleware does not buffer the stream.
    headers = {"Cache-Control": "no-store", "Content-Encoding": "identity"}
    records = _records(services, search)
    return StreamingResponse(records, headers=headers, media_type="application/x-ndjson")


@router.get("/errors", response_model=LogErrors, responses=ERRORS)
async def get_errors(request: Request, execution_id: Id, name: LogName) -> Response:
    """Return the lines that show an error, if the log has an index or is small."""
    services = services_of(request)

    def read() -> dict[str, Any]:
        index = services.logs.index(execution_id, name)
        found = index.errors if index else []
        errors = [{"offset": offset, "line": line + 1} for offset, line in found]
        searched = index.searched_bytes if index else 0
        return {"known": index is not None, "errors": errors, "searched_bytes": searched}

    return json_response(await services.workers.run_read(read))


async def _records(services: Services, search: LogSearch) -> AsyncIterator[bytes]:
    try:
        while records := await services.workers.run_read(search.step):
            yield b"".join(encode(record) + b"\n" for record in records)
    except OrchestratorError as error:
        # The status is sent already, so the last record reports the error.
        yield encode({"complete": False, "error": without_secrets(error.message)}) + b"\n"
    finally:
        search.close()


def _bytes_response(part: LogBytes, etag: str | None, accepts_gzip: bool) -> Response:
    headers = {
        **_headers(etag),
        "X-Log-Offset": str(part.offset),
        "X-Log-Size": str(part.size_bytes),
        "X-Log-State": part.state,
        "Content-Encoding": "gzip",
    }
    if part.line is not None:
        headers["X-Log-Line"] = str(part.line)
    if part.time_ms is not None:
        arrived = datetime.fromtimestamp(part.time_ms / 1000, UTC)
        headers["X-Log-Time"] = rfc3339(arrived)
    content = part.data
    if accepts_gzip and len(content) >= _MIN_GZIP_BYTES:
        content = _gzip(content)
    else:
        # Without a Content-Encoding, the gzip middleware would compress it in the event loop.
        headers["Content-Encoding"] = "identity"
    return Response(content, headers=headers, media_type="application/octet-stream")


def _etag(log_etag: str | None, offset: int, length: int, gzipped: bool) -> str | None:
    """Return the ETag of a part in one encoding; None for a growing log."""
    return f'"{log_etag}.{offset}.{length}{".gz" if gzipped else ""}"' if log_etag else None


def _headers(etag: str | None) -> dict[str, str]:
    if etag is None:
        return {"Cache-Control": "no-store"}
    vary = "Authorization, Cookie, Accept-Encoding"
    return {"ETag": etag, "Cache-Control": "private, no-cache", "Vary": vary}


def _gzip(content: memoryview | bytes) -> bytes:
    compressor = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return compressor.compress(content) + compressor.flush()
