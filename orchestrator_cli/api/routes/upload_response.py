"""The responses of the endpoints that write: what a service returns, as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from fastapi import Request
from pydantic import BaseModel
from starlette.responses import Response

from orchestrator_cli.api.guard.auth import Token
from orchestrator_cli.api.guard.middleware import TOKEN
from orchestrator_cli.api.services import Services, services_of


async def respond(
    request: Request, work: Callable[[Services, Token | None], BaseModel]
) -> Response:
    """Return what `work` returns. It runs in a thread and is finished if the client disconnects."""
    services = services_of(request)
    token = cast("Token | None", request.scope.get(TOKEN))
    content = await services.workers.run(lambda: work(services, token).model_dump_json())
    return Response(content, 200, {"Cache-Control": "no-store"}, "application/json")
