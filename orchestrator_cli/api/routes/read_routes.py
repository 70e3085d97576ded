"""The endpoints that read executions, their files and their logs."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from orchestrator_cli.api.guard.middleware import ASKED_METHOD
from orchestrator_cli.api.json import encode
from orchestrator_cli.api.logs.growing_content import GrowingContent
from orchestrator_cli.api.logs.growing_log import GrowingLog
from orchestrator_cli.api.reads.execution_query import ExecutionQuery
from orchestrator_cli.api.reads.read_service import MAX_TAIL_BYTES, ReadService
from orchestrator_cli.api.routes.plain_route import PlainRoute
from orchestrator_cli.api.schemas import (
    ERRORS,
    REDIRECT,
    Cursor,
    ExecutionPage,
    ExecutionWithLiveness,
    FileDetails,
    FilePage,
    Id,
)
from orchestrator_cli.api.services import Services, services_of
from orchestrator_cli.core.base.errors import NotFoundError, UsageError
from orchestrator_cli.core.executions.logs.names import ANY_LOG

router = APIRouter()
_EXECUTION = "/executions/{execution_id}"
Prefix = Annotated[
    str, Query(description="Only paths with this prefix, such as logs/.", max_length=1024)
]
Glob = Annotated[
    str | None,
    Query(description="Only paths that match this pattern; * also matches /.", max_length=256),
]
Limit = Annotated[int, Query(ge=1, le=1000, description="The most files in a page.")]
FilePath = Annotated[
    str, Path(description="The path of the file, as it is listed.", max_length=1024)
]
LogName = Annotated[str, Path(description=f"{ANY_LOG}.", max_length=64)]
_TEXT = "text/plain; charset=utf-8"
_LOG_HEADERS = {
    "Content-Disposition": "inline",
    "Cache-Control": "no-store",
    # With a Content-Encoding, the gzip middleware does not buffer the stream.
    "Content-Encoding": "identity",
}
_LOG_AS_TEXT = "With `tail`, or for a log that is still being written: its text."
Tail = Annotated[
    int | None,
    Query(ge=0, le=100_000, description="Return the last N lines as text, 4 MiB at most."),
]


@router.get("/executions", tags=["executions"], response_model=ExecutionPage, responses=ERRORS)
async def list_executions(request: Request, query: Annotated[ExecutionQuery, Query()]) -> Response:
    """List the executions of a time window."""
    return await _respond(request, lambda reads: reads.executions(query.selection(reads.now())))


async def get_execution(request: Request, execution_id: Id) -> Response:
    """Return the validated metadata of an execution, its manifest included."""
    return await _respond(request, lambda reads: reads.execution(execution_id))


async def list_artifacts(
    request: Request,
    execution_id: Id,
    prefix: Prefix = "",
    glob: Glob = None,
    limit: Limit = 1000,
    cursor: Cursor = None,
) -> Response:
    """List an execution's files, logs included, with presigned URLs."""
    if not prefix.isprintable():
        raise UsageError("prefix: it has control characters")
    return await _respond(
        request, lambda reads: reads.files(execution_id, prefix, glob, limit, cursor)
    )


router.add_api_route(
    _EXECUTION,
    get_execution,
    tags=["executions"],
    response_model=ExecutionWithLiveness,
    responses=ERRORS,
    route_class_override=PlainRoute,
)
router.add_api_route(
    f"{_EXECUTION}/artifacts",
    list_artifacts,
    tags=["files"],
    response_model=FilePage,
    responses=ERRORS,
    route_class_override=PlainRoute,
)


@router.get(
    f"{_EXECUTION}/files/{{path:path}}",
    tags=["files"],
    response_model=FileDetails,
    responses=ERRORS,
)
async def get_file(request: Request, execution_id: Id, path: FilePath) -> Response:
    """Return what is known of one file, with a presigned URL."""
    return await _respond(request, lambda reads: reads.file(execution_id, path))


@router.get(
    f"{_EXECUTION}/artifacts/{{path:path}}",
    tags=["files"],
    response_class=Response,
    status_code=307,
    responses=REDIRECT,
)
async def get_artifact(request: Request, execution_id: Id, path: FilePath) -> Response:
    """Redirect to a presigned URL of one file."""
    method = request.scope[ASKED_METHOD]
    return await _redirect(request, lambda reads: reads.file_url(execution_id, path, method))


@router.get(
    f"{_EXECUTION}/logs/{{name}}",
    tags=["files"],
    response_class=Response,
    status_code=307,
    responses=REDIRECT | {200: {"description": _LOG_AS_TEXT, "content": {"text/plain": {}}}},
)
async def get_log(request: Request, execution_id: Id, name: LogName, tail: Tail = None) -> Response:
    """Redirect to a presigned URL of a log, which a browser shows in place.

    With `tail`, return its last lines instead. A log that is still being written is returned as
    text, as far as it is stored.
    """
    services = services_of(request)
    method = request.scope[ASKED_METHOD]
    if tail is not None:
        lines = await services.workers.run_read(
            lambda: _last_lines(services, execution_id, name, tail)
        )
        return Response(lines, headers=_LOG_HEADERS, media_type=_TEXT)
    try:
        return await _redirect(request, lambda reads: reads.log_url(execution_id, name, method))
    except NotFoundError as error:
        not_found = error
    growing = await services.workers.run_read(
        lambda: _open_growing(services, execution_id, name, not_found)
    )
    content = _iter_content(services, growing.content()) if method == "GET" else ()
    return StreamingResponse(content, headers=_LOG_HEADERS, media_type=_TEXT)


def _last_lines(services: Services, execution_id: str, name: str, lines: int) -> bytes:
    try:
        return services.reads.log_tail(execution_id, name, lines)
    except NotFoundError as error:
        return _open_growing(services, execution_id, name, error).tail(lines, MAX_TAIL_BYTES)


def _open_growing(
    services: Services, execution_id: str, name: str, not_found: NotFoundError
) -> GrowingLog:
    """Return the live log in place of a stored one that was not found, or raise `not_found`."""
    log = None if not_found.is_fatal else services.logs.open(execution_id, name)
    if isinstance(log, GrowingLog):
        return log
    raise not_found


async def _iter_content(services: Services, content: GrowingContent) -> AsyncIterator[bytes]:
    while data := await services.workers.run_read(content.step):
        yield data


async def _redirect(request: Request, work: Callable[[ReadService], str]) -> Response:
    services = services_of(request)
    url = await services.workers.run_read(lambda: work(services.reads))
    response = RedirectResponse(url, 307, {"Cache-Control": "no-store"})
    # RedirectResponse encodes the URL again, which could break its signature.
    response.headers["location"] = url
    return response


async def _respond(request: Request, work: Callable[[ReadService], dict[str, Any]]) -> Response:
    """Return what `work` returns as JSON, or 304 if the client's copy is current."""
    services = services_of(request)
    content, etag = await services.workers.run_read(
        lambda: _with_etag(encode(work(services.reads)))
    )
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", "Vary": "Authorization"}
    if_none_match = request.headers.get("if-none-match", "")
    if if_none_match.strip() == "*" or etag in map(str.strip, if_none_match.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type="application/json")


def _with_etag(content: bytes) -> tuple[bytes, str]:
    return content, f'W/"{hashlib.sha256(content).hexdigest()[:32]}"'
