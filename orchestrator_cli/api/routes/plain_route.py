"""A route that most requests pass without the general validation of parameters."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute


class PlainRoute(APIRoute):
    """Calls its endpoint directly for a request without a query.

    There is nothing to validate in it: the endpoint's query parameters all have defaults, and its
    path parameters are strings of any kind. FastAPI would look at each of them.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of requests."""
        validating = super().get_route_handler()

        async def handle(request: Request) -> Response:
            if request.scope["query_string"]:
                return await validating(request)
            response: Response = await self.endpoint(request=request, **request.path_params)
            return response

        return handle
