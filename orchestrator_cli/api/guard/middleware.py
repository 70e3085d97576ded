"""The middleware around the application: access, limits, errors, metrics and one line of log."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator_cli.api.guard.anonymous_clients import AnonymousClients
from orchestrator_cli.api.guard.auth import Token
from orchestrator_cli.api.guard.exchange import (
    ClientStalledError,
    ConnectionEndedError,
    RequestReader,
    ResponseRecorder,
)
from orchestrator_cli.api.guard.limits import MAX_TARGET_BYTES, SEND_SECONDS
from orchestrator_cli.api.guard.request_checks import PROBE_PATHS, check_request
from orchestrator_cli.api.guard.security_headers import COMMON_HEADERS
from orchestrator_cli.api.guard.token_file import TokenFile
from orchestrator_cli.api.metrics import ServerMetrics
from orchestrator_cli.api.problems import busy, problem

# Keys of a request's ASGI scope: its token, or None.
TOKEN = "orchestrator.token"
# The file of tokens.
TOKENS = "orchestrator.tokens"
# The method that the client sent. A HEAD is served as a GET.
ASKED_METHOD = "orchestrator.method"


@dataclass
class RequestGuardMiddleware:
    """An ASGI application around another one. `log` is called with one line of JSON per request.

    A request has to arrive completely, and its response to begin, within `deadline_seconds`.
    """

    app: ASGIApp
    tokens: TokenFile
    anonymous: AnonymousClients
    log: Callable[[str], None]
    deadline_seconds: float
    metrics: ServerMetrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.monotonic()
        response = ResponseRecorder(send, COMMON_HEADERS, min(SEND_SECONDS, self.deadline_seconds))
        self.metrics.begin_request()
        refused, token = check_request(scope, self.tokens)
        inner = _inner_scope(scope, token, self.tokens)
        try:
            with self._admitted(scope, token) as is_admitted:
                app = (refused or self.app) if is_admitted else busy({"Connection": "close"})
                await self._respond(app, inner, receive, response)
        finally:
            seconds = time.monotonic() - began
            # Starlette adds the matched route to the scope.
            route = getattr(inner.get("route"), "path", None)
            self.metrics.end_request(scope["method"], route, response.status, seconds)
            self.log(_log_line(scope, response, token, seconds))
        if response.ends_connection or _asks_to_close(scope):
            raise ConnectionEndedError

    @contextlib.contextmanager
    def _admitted(self, scope: Scope, token: Token | None) -> Iterator[bool]:
        """Yield False if a request has no token and too many such requests are being served."""
        if token is not None or not self.tokens.required:
            self.anonymous.mark_authenticated(scope["client"])
        elif scope["path"] not in PROBE_PATHS:
            self.anonymous.mark_anonymous(scope["client"])
            with self.anonymous.request() as is_admitted:
                yield is_admitted
            return
        yield True

    async def _respond(
        self, app: ASGIApp, scope: Scope, receive: Receive, response: ResponseRecorder
    ) -> None:
        reader = RequestReader(receive)
        try:
            async with asyncio.timeout(self.deadline_seconds) as deadline, reader.reading():

                async def send(message: Message) -> None:
                    if response.status is None:
                        await reader.wait_for_end()
                        # From here on, the time limits of ResponseRecorder apply.
                        deadline.reschedule(None)
                    await response.send(message)

                await app(scope, reader.receive, send)
        except TimeoutError:
            refused = problem(504, "timeout", "the request took too long")
            await response.send_unless_begun(scope, refused)
        except Exception as error:
            response.error = type(error).__name__
            refused = problem(500, "unexpected", "unexpected error", exit_code=1)
            await response.send_unless_begun(scope, refused)
            # The server then closes the connection, because the response is incomplete.
            if isinstance(error, ClientStalledError):
                raise


def _asks_to_close(scope: Scope) -> bool:
    return scope["http_version"] == "1.0" or any(
        name == b"connection" and b"close" in text.lower() for name, text in scope["headers"]
    )


def _inner_scope(scope: Scope, token: Token | None, tokens: TokenFile) -> dict[str, Any]:
    """Return the scope for the application. A HEAD becomes a GET; the server drops the body."""
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    return {
        **scope,
        "method": method,
        ASKED_METHOD: scope["method"],
        TOKEN: token,
        TOKENS: tokens,
    }


def _log_line(scope: Scope, response: ResponseRecorder, token: Token | None, seconds: float) -> str:
    client = scope.get("client")
    record: dict[str, Any] = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "method": scope["method"],
        "path": scope["raw_path"].decode("ascii", "replace")[:MAX_TARGET_BYTES],
        "status": response.status,
        "seconds": round(seconds, 4),
        "bytes": response.sent_bytes,
        "client": client[0] if client else None,
        "token": token.name if token else None,
    }
    return json.dumps(record | ({"error": response.error} if response.error else {}))
