"""The endpoints that read a log by byte offset."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from orchestrator_cli.api.json import encode, json_answer
from orchestrator_cli.api.logs.final_log import FinalLog
from orchestrator_cli.api.logs.growing_log import GrowingLog
from orchestrator_cli.api.logs.log_bytes import MAX_READ_BYTES, LogBytes
from orchestrator_cli.api.logs.log_search import LogSearch, find_line
from orchestrator_cli.api.routes.log_messages import LinePlace, LogErrors, LogSearchQuery
from orchestrator_cli.api.routes.read_routes import LogName
from orchestrator_cli.api.schemas import ERRORS, Id
from orchestrator_cli.api.services import Services, services_of
from orchestrator_cli.core.base.errors import NotFoundError, OrchestratorError
from orchestrator_cli.core.base.text import without_secrets

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

LineNumber = Annotated[int, Query(ge=1, le=2**53, description="The number of a line, from 1.")]
_RECORDS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A line of JSON for each line that is found: `offset`, `end`, `text`, and "
        "`line` where all before it was read; one now and then with `read` and `size`; and a last "
        "one with `complete`: whether the whole log was searched.",
        "content": {"application/x-ndjson": {}},
    },
    **ERRORS,
}
_BYTES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The bytes. `X-Log-Offset` is where they begin, `X-Log-Size` the size of "
        "the log as far as it is known, `X-Log-State` one of `final`, `growing` and `lost`, and "
        "`X-Log-Line`, where that is known, how many newlines are before them, and `X-Log-Time` "
        "about when they arrived. A final log has a strong ETag.",
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
            etag = _etag(log.etag, offset, length, packs)
            if etag in [one.strip() for one in known.split(",")]:
                return Response(status_code=304, headers=_headers(etag))
        part = log.read(offset, length)
        return _bytes_response(part, _etag(part.etag, offset, length, packs), packs)

    return await services.workers.run_read(answer)


@router.get("/lines", response_model=LinePlace, responses=ERRORS)
async def get_line(request: Request, execution_id: Id, name: LogName, n: LineNumber) -> Response:
    """Return where a line begins. Without an index (`orchestrator index`), it is counted."""
    services = services_of(request)

    def find() -> dict[str, Any]:
        log, index = services.logs.open(execution_id, name), services.logs.index(execution_id, name)
        look = index.point_before_line if index else lambda _: (0, 0)
        offset = find_line(log, n - 1, look)
        if offset is None:
            raise NotFoundError(f"the log has no line {n:,}")
        return {"line": n, "offset": offset}

    return json_answer(await services.workers.run_read(find))


@router.get("/search", response_class=Response, responses=_RECORDS)
async def search_in_log(
    request: Request, execution_id: Id, name: LogName, query: Annotated[LogSearchQuery, Query()]
) -> Response:
    """Search a whole log, and stream what is found as it is found.

    It ends when the client leaves. With an index (`orchestrator index`), errors are known at once.
    """
    services = services_of(request)
    search = await services.workers.run_read(
        lambda: LogSearch(services.logs.open(execution_id, name), query.parsed())
    )
    # Said, because what says nothing is packed, and then waits until there is more of it.
    headers = {"Cache-Control": "no-store", "Content-Encoding": "identity"}
    records = _records(services, search)
    return StreamingResponse(records, headers=headers, media_type="application/x-ndjson")


@router.get("/errors", response_model=LogErrors, responses=ERRORS)
async def get_errors(request: Request, execution_id: Id, name: LogName) -> Response:
    """Return the lines that tell of an error, where that is known or the log is small."""
    services = services_of(request)

    def known() -> dict[str, Any]:
        index = services.logs.index(execution_id, name)
        found = index.errors if index else []
        errors = [{"offset": offset, "line": line + 1} for offset, line in found]
        searched = index.searched_bytes if index else 0
        return {"known": index is not None, "errors": errors, "searched_bytes": searched}

    return json_answer(await services.workers.run_read(known))


async def _records(services: Services, search: LogSearch) -> AsyncIterator[bytes]:
    try:
        while records := await services.workers.run_read(search.step):
            yield b"".join(encode(record) + b"\n" for record in records)
    except OrchestratorError as error:
        # The answer has begun; that its last record says `complete` tells that nothing is missing.
        yield encode({"complete": False, "error": without_secrets(error.message)}) + b"\n"
    finally:
        search.close()


def _bytes_response(part: LogBytes, etag: str | None, packs: bool) -> Response:
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
        headers["X-Log-Time"] = arrived.isoformat(timespec="milliseconds").replace("+00:00", "Z")
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
