"""What every request passes: access, limits, one line of log, and a problem for every failure."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator_cli.api.auth import UPLOADS, Token, TokenFile
from orchestrator_cli.api.metrics import ServerMetrics
from orchestrator_cli.api.problems import problem

# Where a request's token is found in its scope.
TOKEN = "orchestrator.token"
# And its method as it was asked: a HEAD is served as a GET.
ASKED_METHOD = "orchestrator.method"
# The task that answers, while it does: to be cancelled once the client has gone.
TASK = "orchestrator.task"
OPEN_PATHS = frozenset({"/healthz", "/readyz"})
# They tell nothing of what is stored, and a browser that opens them has no token to send.
READABLE_PATHS = frozenset({"/docs", "/openapi.json"})
MAX_TARGET_BYTES = 8192
MAX_HEADER_BYTES = 16 * 1024
MAX_BODY_BYTES = 1024 * 1024
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


@dataclass
class RequestGuardMiddleware:
    """An ASGI application around another. `log` takes one line of JSON."""

    app: ASGIApp
    tokens: TokenFile
    log: Callable[[str], None]
    deadline_seconds: float
    metrics: ServerMetrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        seen = _Seen(send)
        began = time.monotonic()
        self.metrics.begin()
        refused, token = self._check(scope)
        inside = _inside(scope, token)
        scope[TASK] = asyncio.current_task()
        try:
            async with asyncio.timeout(self.deadline_seconds):
                await (refused or self.app)(inside, receive, seen.send)
        except TimeoutError:
            await seen.answer(scope, problem(504, "timeout", "the request took too long"))
        except Exception as error:  # noqa: BLE001 - the last line of defence
            seen.error = type(error).__name__
            await seen.answer(scope, problem(500, "unexpected", "unexpected error", exit_code=1))
        finally:
            del scope[TASK]
            seconds = time.monotonic() - began
            # Routing leaves there which route it was.
            route = getattr(inside.get("route"), "path", None)
            self.metrics.end(scope["method"], route, seen.status, seconds)
            self.log(_line(scope, seen, token, seconds))

    def _check(self, scope: Scope) -> tuple[Response | None, Token | None]:
        headers = _headers(scope)
        refused = _check_size(scope, headers)
        if refused is not None or scope["path"] in OPEN_PATHS:
            return refused, None
        if not self.tokens.required:
            return _check_host(headers) or _check_type(scope, headers), None
        if scope["path"] in READABLE_PATHS and scope["method"] in ("GET", "HEAD"):
            return None, None
        scheme, _, presented = headers.get("authorization", "").partition(" ")
        token = self.tokens.find(presented.strip()) if scheme.lower() == "bearer" else None
        if token is None:
            challenge = {"WWW-Authenticate": "Bearer"}
            return problem(401, "unauthenticated", "no valid bearer token", challenge), None
        if not token.allows(scope["method"], scope["path"]):
            return problem(403, "forbidden", f"this token is for {_purpose(token)} only"), token
        return _check_type(scope, headers), token


def _purpose(token: Token) -> str:
    if token.scope == "read":
        return "reading"
    return f"uploads to {token.execution_id}" if token.execution_id else "uploads"


def _inside(scope: Scope, token: Token | None) -> dict[str, Any]:
    """Return the scope as the application sees it: a HEAD is a GET whose body nobody sends."""
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    return {**scope, "method": method, ASKED_METHOD: scope["method"], TOKEN: token}


def _check_size(scope: Scope, headers: dict[str, str]) -> Response | None:
    if len(scope["raw_path"]) + len(scope["query_string"]) > MAX_TARGET_BYTES:
        return problem(414, "too-large", f"a URL has at most {MAX_TARGET_BYTES} bytes")
    if sum(len(name) + len(text) for name, text in scope["headers"]) > MAX_HEADER_BYTES:
        return problem(431, "too-large", f"headers have at most {MAX_HEADER_BYTES} bytes")
    length = headers.get("content-length", "0")
    # Without a length nobody can say beforehand how much comes.
    if "transfer-encoding" in headers or (length.isdigit() and int(length) > MAX_BODY_BYTES):
        limit = f"a body has a Content-Length of {MAX_BODY_BYTES} bytes at most"
        return problem(413, "too-large", limit)
    return None


def _check_type(scope: Scope, headers: dict[str, str]) -> Response | None:
    """Refuse what a web page could send from another site without asking first."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    uploads = UPLOADS.fullmatch(scope["path"])
    if scope["method"] != "POST" or not uploads or kind == "application/json":
        return None
    return problem(415, "media-type", "a body is application/json")


def _check_host(headers: dict[str, str]) -> Response | None:
    """Refuse other names of this machine: a web page could have its own name lead here."""
    host = headers.get("host", "")
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    if name.lower() in _LOOPBACK_NAMES:
        return None
    return problem(421, "http", "without tokens only localhost is served")


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): text.decode("latin-1") for name, text in scope["headers"]}


class _Seen:
    """What was sent of an answer."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int | None = None
        self.sent_bytes = 0
        self.error: str | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], *_HEADERS]
        else:
            self.sent_bytes += len(message.get("body", b""))
        await self._send(message)

    async def answer(self, scope: Scope, response: Response) -> None:
        """Send an answer, unless one has begun."""

        async def nothing() -> Message:
            return {"type": "http.disconnect"}

        if self.status is None:
            await response(scope, nothing, self.send)


def _line(scope: Scope, seen: _Seen, token: Token | None, seconds: float) -> str:
    client = scope.get("client")
    record: dict[str, Any] = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "method": scope["method"],
        "path": scope["raw_path"].decode("ascii", "replace")[:MAX_TARGET_BYTES],
        "status": seen.status,
        "seconds": round(seconds, 4),
        "bytes": seen.sent_bytes,
        "client": client[0] if client else None,
        "token": token.name if token else None,
    }
    return json.dumps(record | ({"error": seen.error} if seen.error else {}))
