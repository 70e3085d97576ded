"""Errors as problem+json responses (RFC 9457). The type stands for the class of an error."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from orchestrator_cli.core.base.errors import OrchestratorError
from orchestrator_cli.core.base.text import printable, without_secrets
from orchestrator_cli.core.gateway.error_kinds import PROBLEM_PREFIX, PROBLEM_TYPE, kind_of_error

RETRY_AFTER_SECONDS = 5

# Errors between this server and the storage are 502 and 503: not the client's fault, and no defect.
_STATUSES: dict[str, int] = {
    "usage": 400,
    "not-found": 404,
    "storage-access": 502,
    "conflict": 409,
    "integrity": 502,
    "archived": 409,
    "unavailable": 503,
    "unexpected": 500,
}
_TITLES = {
    "usage": "The request is not valid",
    "not-found": "No such execution or file",
    "storage-access": "The storage refuses this server's credentials",
    "conflict": "The key holds other content",
    "integrity": "The stored object does not match its checksum, or is not valid",
    "archived": "The file is archived: restore it first",
    "unavailable": "The storage is unavailable",
    "unauthenticated": "A valid bearer token is needed",
    "forbidden": "The token does not allow this",
    "busy": "Too many requests at once",
    "timeout": "The request took too long",
    "too-large": "The request is too large",
    "media-type": "The body is not JSON",
    "http": "The request is not accepted",
    "unexpected": "Unexpected error",
}


def problem(
    status: int, kind: str, detail: str, headers: dict[str, str] | None = None, **more: Any
) -> Response:
    """Return a problem response. Fields of `more` that are None are left out."""
    body = {
        "type": PROBLEM_PREFIX + kind,
        "title": _TITLES[kind],
        "status": status,
        "detail": detail,
    }
    body |= {name: value for name, value in more.items() if value is not None}
    content = json.dumps(body, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return Response(content, status, {"Cache-Control": "no-store", **(headers or {})}, PROBLEM_TYPE)


def busy(headers: dict[str, str] | None = None) -> Response:
    """Return the response to a request that arrives while too many are being served."""
    retry = {"Retry-After": str(RETRY_AFTER_SECONDS), **(headers or {})}
    return problem(503, "busy", "too many requests at once", retry)


def status_of_error(error: OrchestratorError) -> int:
    """Return the HTTP status of an error of the library."""
    return _STATUSES[kind_of_error(error)]


def problem_from_error(error: OrchestratorError) -> Response:
    """Return the response for an error of the library."""
    kind, status = kind_of_error(error), status_of_error(error)
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if status == 503 else None
    return problem(
        status,
        kind,
        printable(without_secrets(error.message)),
        headers,
        exit_code=error.exit_code,
        hint=error.hint,
        code=error.code or None,
        request_id=error.request_id,
    )
