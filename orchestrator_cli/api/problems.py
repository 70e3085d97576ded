"""Errors as problem+json (RFC 9457); the type names the class of error, as an exit code does."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from orchestrator_cli.core.base.errors import (
    AccessError,
    ArchivedError,
    ConflictError,
    IntegrityError,
    NotFoundError,
    OrchestratorError,
    UnavailableError,
    UsageError,
)
from orchestrator_cli.core.base.text import printable, without_secrets

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5
_TYPE = "urn:orchestrator:error:"

# What went wrong between this server and the storage is no fault of the client's, and no defect.
_KINDS: dict[type[OrchestratorError], tuple[int, str]] = {
    UsageError: (400, "usage"),
    NotFoundError: (404, "not-found"),
    AccessError: (502, "storage-access"),
    ConflictError: (409, "conflict"),
    IntegrityError: (502, "integrity"),
    ArchivedError: (409, "archived"),
    UnavailableError: (503, "unavailable"),
}
_TITLES = {
    "usage": "The request cannot be used as given",
    "not-found": "No such execution or file",
    "storage-access": "The storage refuses this server's credentials",
    "conflict": "The key holds other content",
    "integrity": "What is stored does not match its checksum or form",
    "archived": "The file is archived: restore it first",
    "unavailable": "The storage is unavailable",
    "unauthenticated": "A valid bearer token is needed",
    "forbidden": "The token does not allow this",
    "busy": "Too many requests at once",
    "timeout": "The request took too long",
    "too-large": "The request is too large",
    "media-type": "The body is not JSON",
    "http": "The request is not served",
    "unexpected": "Unexpected error",
}


def problem(
    status: int, kind: str, detail: str, headers: dict[str, str] | None = None, **more: Any
) -> Response:
    """Return a problem answer. What is None is left out."""
    body = {"type": _TYPE + kind, "title": _TITLES[kind], "status": status, "detail": detail}
    body |= {name: value for name, value in more.items() if value is not None}
    content = json.dumps(body, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return Response(content, status, {"Cache-Control": "no-store", **(headers or {})}, MEDIA_TYPE)


def problem_from_error(error: OrchestratorError) -> Response:
    """Return the answer for an error of the library."""
    known = next((one for one in type(error).__mro__ if one in _KINDS), None)
    status, kind = _KINDS[known] if known else (500, "unexpected")
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
