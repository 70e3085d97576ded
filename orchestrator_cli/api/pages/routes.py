"""The routes of the pages: the list, an execution, a log, and the comparison of two executions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from orchestrator_cli.api.guard.middleware import TOKENS
from orchestrator_cli.api.pages.assets import module_names
from orchestrator_cli.api.pages.comparison import compare_executions
from orchestrator_cli.api.pages.execution_list import list_page
from orchestrator_cli.api.pages.execution_view import ExecutionViewer, PageQuery
from orchestrator_cli.api.pages.failure import comparison_url, failure_url
from orchestrator_cli.api.pages.log_view import log_view
from orchestrator_cli.api.pages.rendering import render_page
from orchestrator_cli.api.pages.signed_links import sign_files
from orchestrator_cli.api.problems import status_of_error
from orchestrator_cli.api.services import Services, services_of
from orchestrator_cli.api.worker_pool import BusyError
from orchestrator_cli.core.base.errors import OrchestratorError
from orchestrator_cli.core.base.text import without_secrets

router = APIRouter(include_in_schema=False)
# A page that takes longer is given up; a person is waiting for it.
_PAGE_SECONDS = 30.0
_EXECUTION = "/ui/executions/{execution_id}"


@router.get("/ui")
async def get_root() -> Response:
    """Redirect to the list of executions."""
    return RedirectResponse("./ui/", 307)


@router.get("/ui/")
async def get_executions(request: Request) -> Response:
    """Show the list of executions."""

    def read(services: Services) -> dict[str, Any]:
        return {"page": list_page(services.reads, request.query_params)}

    return await _page(request, "executions.html", read)


@router.get(_EXECUTION)
async def get_execution(request: Request, execution_id: str) -> Response:
    """Show one execution."""
    params = request.query_params
    folder = params.get("dir", "").strip("/")[:1024]
    query = PageQuery(
        f"{folder}/" if folder else "",
        params.get("after", "")[:1024],
        params.get("shots", "")[:1024],
    )

    def read(services: Services) -> dict[str, Any]:
        view = ExecutionViewer(services.reads, services.logs).view(execution_id, query)
        signed = _signed(request, view.metadata.execution_id)
        return {"view": view, "signed": signed, "viewers": services.viewers}

    return await _page(request, "execution.html", read)


@router.get(_EXECUTION + "/why")
async def get_failure(request: Request, execution_id: str) -> Response:
    """Redirect to the first error in an execution's logs."""

    def find(services: Services) -> Response:
        url = failure_url(services.reads, services.logs, execution_id)
        return RedirectResponse(f"../{url}", 303, {"Cache-Control": "no-store"})

    return await _respond(request, find)


@router.get(_EXECUTION + "/passed")
async def get_comparison_with_passed(request: Request, execution_id: str) -> Response:
    """Redirect to the comparison with the last execution of its suite that passed."""

    def find(services: Services) -> Response:
        url = comparison_url(services.reads, execution_id)
        return RedirectResponse(f"../../{url}", 303, {"Cache-Control": "no-store"})

    return await _respond(request, find)


@router.get(_EXECUTION + "/logs/{name}")
async def get_log_page(request: Request, execution_id: str, name: str) -> Response:
    """Show one log."""

    def read(services: Services) -> dict[str, Any]:
        view = log_view(services.reads, services.logs, execution_id, name)
        return {"view": view, "modules": module_names("log/")}

    return await _page(request, "log.html", read)


@router.get("/ui/compare/{first}/{second}")
async def get_comparison(request: Request, first: str, second: str) -> Response:
    """Show two executions side by side."""
    log = request.query_params.get("log", "")[:64]

    def read(services: Services) -> dict[str, Any]:
        return {"view": compare_executions(services.reads, first, second, log)}

    return await _page(request, "compare.html", read)


async def _page(
    request: Request, template: str, read: Callable[[Services], dict[str, Any]]
) -> Response:
    """Return a page with the values that `read` returns, or an error page."""
    return await _respond(
        request, lambda services: render_page(request, template, **read(services))
    )


async def _respond(request: Request, make: Callable[[Services], Response]) -> Response:
    """Return the response that `make` makes in a thread, or an error page if it raises."""
    services = services_of(request)
    try:
        async with asyncio.timeout(_PAGE_SECONDS):
            return await services.workers.run_read(lambda: make(services))
    except TimeoutError:
        hint = "Reload the page later."
        message = "The storage does not respond."
        return render_page(request, "error.html", 503, message=message, hint=hint)
    except OrchestratorError as error:
        message = without_secrets(error.message)
        status = status_of_error(error)
        return render_page(request, "error.html", status, message=message, hint=error.hint)
    except BusyError:
        hint = "Try again in a few seconds."
        return render_page(request, "error.html", 503, message="Too many requests.", hint=hint)


def _signed(request: Request, execution_id: str) -> str:
    key = request.scope[TOKENS].signing_key()
    return sign_files(execution_id, services_of(request).reads.now(), key)
