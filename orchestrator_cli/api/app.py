"""The application: routes over the library. `make_app` is where more can be added."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Match, Route

from orchestrator_cli import __version__
from orchestrator_cli.api.docs.openapi import complete_document
from orchestrator_cli.api.docs.page import CONTENT_SECURITY_POLICY, render_docs
from orchestrator_cli.api.json import encode, json_answer
from orchestrator_cli.api.metrics import MEDIA_TYPE as METRICS_TYPE
from orchestrator_cli.api.metrics import ServerMetrics
from orchestrator_cli.api.middleware import ASKED_METHOD
from orchestrator_cli.api.problems import RETRY_AFTER_SECONDS, problem, problem_from_error
from orchestrator_cli.api.read_service import ReadService
from orchestrator_cli.api.schemas import ERRORS, REDIRECT, ExecutionPage, FilePage, Id
from orchestrator_cli.api.upload_routes import add_uploads
from orchestrator_cli.api.upload_service import ForbiddenError, UploadService
from orchestrator_cli.api.worker_pool import BoundedWorkerPool, BusyError
from orchestrator_cli.core.base.errors import OrchestratorError, UsageError
from orchestrator_cli.core.base.quantities import parse_instant
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.metadata import ExecutionMetadata, Result

Cursor = Annotated[
    str | None, Query(description="next_cursor of the page before.", max_length=3000)
]


def make_app(
    reads: ReadService, uploads: UploadService, workers: BoundedWorkerPool, metrics: ServerMetrics
) -> FastAPI:
    """Return the application, without what guards it."""
    app = FastAPI(
        title="orchestrator",
        version=__version__,
        description="Executions, their files and logs, as they are stored in S3.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(GZipMiddleware, minimum_size=1000)
    _add_errors(app)
    _add_http_errors(app)
    _add_service(app, reads, workers, metrics)
    _add_executions(app, reads, workers)
    _add_files(app, reads, workers)
    add_uploads(app, uploads, workers, ERRORS)
    complete_document(app)
    return app


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(OrchestratorError)
    async def expected(_request: Request, error: OrchestratorError) -> Response:
        return problem_from_error(error)

    @app.exception_handler(BusyError)
    async def busy(_request: Request, _error: BusyError) -> Response:
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        return problem(503, "busy", "too many requests at once", headers)

    @app.exception_handler(ForbiddenError)
    async def forbidden(_request: Request, _error: ForbiddenError) -> Response:
        return problem(403, "forbidden", "this token is for another bench's executions")


def _add_http_errors(app: FastAPI) -> None:
    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        return problem(400, "usage", printable(f"{where}: {first['msg']}"), exit_code=2)

    @app.exception_handler(HTTPException)
    async def unserved(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = _allowed(app, request)
        if error.status_code == 404:
            return problem(404, "not-found", "nothing is served there", exit_code=4)
        if error.status_code == 400:
            return problem(400, "usage", str(error.detail), exit_code=2)
        return problem(error.status_code, "http", str(error.detail), headers)


def _allowed(app: FastAPI, request: Request) -> str:
    """Return the methods of a path; routes of one path name their own only."""
    found: set[str] = set()
    for route in app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return ", ".join(sorted(found | ({"HEAD"} if "GET" in found else set())))


def _add_service(
    app: FastAPI, reads: ReadService, workers: BoundedWorkerPool, metrics: ServerMetrics
) -> None:
    @app.get("/healthz", tags=["service"], response_class=Response)
    async def healthz() -> Response:
        """Say that the process answers."""
        return json_answer({"status": "ok"})

    @app.get("/readyz", tags=["service"], response_class=Response, responses=ERRORS)
    async def readyz() -> Response:
        """Say whether the bucket can be listed."""
        await workers.run_read(reads.check_ready)
        return json_answer({"status": "ok"})

    @app.get(
        "/metrics",
        tags=["service"],
        response_class=PlainTextResponse,
        responses={200: {"content": {"text/plain": {}}}, **ERRORS},
    )
    async def get_metrics() -> Response:
        """Count the requests of this process, in Prometheus' text format."""
        return Response(metrics.exposition(), media_type=METRICS_TYPE)

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        page = render_docs(app.openapi(), _base(request), reads.now().date())
        headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY, "Cache-Control": "no-store"}
        return Response(page, headers=headers, media_type="text/html")


def _base(request: Request) -> str:
    """Return where this server is, as the client asked for it: TLS ends before it."""
    base = str(request.base_url).rstrip("/")
    forwarded = request.headers.get("x-forwarded-proto", "")
    return base.replace("http://", "https://", 1) if forwarded == "https" else base


def _add_executions(app: FastAPI, reads: ReadService, workers: BoundedWorkerPool) -> None:
    @app.get("/executions", tags=["executions"], response_model=ExecutionPage, responses=ERRORS)
    async def list_executions(
        request: Request,
        since: Annotated[
            str | None,
            Query(
                description="From when: 2026-01-30, 2026-01-30T08:00:00Z, or ago as 2d. "
                "[default: a day ago]",
                max_length=64,
                examples=["2d"],
            ),
        ] = None,
        until: Annotated[
            str | None, Query(description="Until when, as since.", max_length=64)
        ] = None,
        result: Annotated[Result | None, Query(description="Only these.")] = None,
        suite: Annotated[
            str | None, Query(description="Only of this test suite.", max_length=256)
        ] = None,
        limit: Annotated[int, Query(ge=1, le=1000, description="Executions a page.")] = 100,
        cursor: Cursor = None,
    ) -> Response:
        """List the executions of a time window, oldest first."""
        wanted = {"result": result, "test_suite": suite}
        chosen = {name: str(text) for name, text in wanted.items() if text is not None}
        start, end = _instant("since", since), _instant("until", until)
        return await _answer(
            request, workers, lambda: reads.executions(start, end, chosen, limit, cursor)
        )

    @app.get(
        "/executions/{execution_id}",
        tags=["executions"],
        response_model=ExecutionMetadata,
        responses=ERRORS,
    )
    async def get_execution(request: Request, execution_id: Id) -> Response:
        """Return the validated metadata of an execution, its manifest included."""
        return await _answer(request, workers, lambda: reads.execution(execution_id))


def _add_files(app: FastAPI, reads: ReadService, workers: BoundedWorkerPool) -> None:
    @app.get(
        "/executions/{execution_id}/artifacts",
        tags=["files"],
        response_model=FilePage,
        responses=ERRORS,
    )
    async def list_artifacts(
        request: Request,
        execution_id: Id,
        prefix: Annotated[
            str, Query(description="Only paths that begin so: logs/", max_length=1024)
        ] = "",
        glob: Annotated[
            str | None,
            Query(description="Only paths that match; * also matches /.", max_length=256),
        ] = None,
        limit: Annotated[int, Query(ge=1, le=1000, description="Files a page.")] = 1000,
        cursor: Cursor = None,
    ) -> Response:
        """List an execution's files, logs included, with presigned URLs."""
        _check_text(prefix)
        return await _answer(
            request, workers, lambda: reads.files(execution_id, prefix, glob, limit, cursor)
        )

    @app.get(
        "/executions/{execution_id}/artifacts/{path:path}",
        tags=["files"],
        response_class=Response,
        status_code=307,
        responses=REDIRECT,
    )
    async def get_artifact(
        request: Request,
        execution_id: Id,
        path: Annotated[str, Path(description="As listed.", max_length=1024)],
    ) -> Response:
        """Redirect to one file."""
        method = request.scope[ASKED_METHOD]
        return _redirect(await workers.run_read(lambda: reads.file_url(execution_id, path, method)))

    @app.get(
        "/executions/{execution_id}/logs/{name}",
        tags=["files"],
        response_class=Response,
        status_code=307,
        responses=REDIRECT | {200: {"description": "With tail.", "content": {"text/plain": {}}}},
    )
    async def get_log(
        request: Request,
        execution_id: Id,
        name: Annotated[str, Path(description="stdout, stderr, runner or bench.", max_length=64)],
        tail: Annotated[
            int | None,
            Query(ge=0, le=100_000, description="The last N lines as text, 4 MiB at most."),
        ] = None,
    ) -> Response:
        """Redirect to a log, which a browser shows in place; or return its last lines."""
        if tail is None:
            method = request.scope[ASKED_METHOD]
            return _redirect(
                await workers.run_read(lambda: reads.log_url(execution_id, name, method))
            )
        lines = await workers.run_read(lambda: reads.log_tail(execution_id, name, tail))
        headers = {"Content-Disposition": "inline", "Cache-Control": "no-store"}
        return Response(lines, headers=headers, media_type="text/plain; charset=utf-8")


def _redirect(url: str) -> Response:
    response = RedirectResponse(url, 307, {"Cache-Control": "no-store"})
    # As it was signed: encoding it anew could change it.
    response.headers["location"] = url
    return response


async def _answer(
    request: Request, workers: BoundedWorkerPool, work: Callable[[], dict[str, Any]]
) -> Response:
    """Answer with what the work returns, or with 304 where the client has just that."""
    content, etag = await workers.run_read(lambda: _with_etag(encode(work())))
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", "Vary": "Authorization"}
    asked = request.headers.get("if-none-match", "")
    if asked.strip() == "*" or etag in [one.strip() for one in asked.split(",")]:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type="application/json")


def _with_etag(content: bytes) -> tuple[bytes, str]:
    return content, f'W/"{hashlib.sha256(content).hexdigest()[:32]}"'


def _instant(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_instant(text, datetime.now(UTC))
    except ValueError as error:
        raise UsageError(printable(f"{name}: {error}")) from error


def _check_text(prefix: str) -> None:
    if not prefix.isprintable():
        raise UsageError("prefix: it has control characters")
