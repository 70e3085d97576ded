"""The FastAPI application: all routes, and errors as problem responses."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.routing import Match, Route

from orchestrator_cli import __version__
from orchestrator_cli.api.docs.openapi import complete_document
from orchestrator_cli.api.pages import file_routes, login
from orchestrator_cli.api.pages import routes as page_routes
from orchestrator_cli.api.problems import busy, problem, problem_from_error
from orchestrator_cli.api.routes import (
    live_upload_routes,
    log_routes,
    read_routes,
    service_routes,
    upload_routes,
)
from orchestrator_cli.api.services import Services
from orchestrator_cli.api.upload_service import ForbiddenError
from orchestrator_cli.api.worker_pool import BusyError
from orchestrator_cli.core.base.errors import OrchestratorError
from orchestrator_cli.core.base.text import printable

_MODULES = (
    service_routes,
    read_routes,
    log_routes,
    upload_routes,
    live_upload_routes,
    login,
    page_routes,
    file_routes,
)

# A page of a thousand files takes five milliseconds, and is one percent longer than at level 9,
# which takes eight.
_GZIP_LEVEL = 4


def make_app(services: Services) -> FastAPI:
    """Return the application without the guard middleware."""
    app = FastAPI(
        title="orchestrator",
        version=__version__,
        description="Executions, their files and logs, as they are stored in S3.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=_GZIP_LEVEL)
    _add_errors(app)
    _add_http_errors(app)
    for module in _MODULES:
        app.include_router(module.router)
    service_routes.add_documents(app, complete_document(app))
    return app


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(OrchestratorError)
    async def expected(_request: Request, error: OrchestratorError) -> Response:
        return problem_from_error(error)

    @app.exception_handler(BusyError)
    async def too_busy(_request: Request, _error: BusyError) -> Response:
        return busy()

    @app.exception_handler(ForbiddenError)
    async def forbidden(_request: Request, _error: ForbiddenError) -> Response:
        return problem(403, "forbidden", "this token is for executions of another bench")


def _add_http_errors(app: FastAPI) -> None:
    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        return problem(400, "usage", printable(f"{where}: {first['msg']}"), exit_code=2)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = _allowed(app, request)
        if error.status_code == 404:
            return problem(404, "not-found", "there is no such page or endpoint", exit_code=4)
        if error.status_code == 400:
            return problem(400, "usage", str(error.detail), exit_code=2)
        return problem(error.status_code, "http", str(error.detail), headers)


def _allowed(app: FastAPI, request: Request) -> str:
    """Return the methods of a path. Several routes may share it, each with methods of its own."""
    methods: set[str] = set()
    for route in (*app.routes, *(route for module in _MODULES for route in module.router.routes)):
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
