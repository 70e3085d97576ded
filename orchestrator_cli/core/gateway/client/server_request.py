"""One request to an `orchestrator serve` and its response; problems become the library's errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from orchestrator_cli.core.base.errors import (
    AccessError,
    OrchestratorError,
    UnavailableError,
    UsageError,
)
from orchestrator_cli.core.base.foreign_json import parse_json
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.gateway.error_kinds import ERRORS_BY_KIND, PROBLEM_PREFIX, PROBLEM_TYPE
from orchestrator_cli.core.http.transport import Response
from orchestrator_cli.core.s3.error_codes import PROXY_HINT, NotS3Error, is_throttling
from orchestrator_cli.core.s3.operations.request import (
    BeforeRetry,
    Operation,
    redirect_target,
    retry_after,
)

T = TypeVar("T")

_ERRORS: dict[str, type[OrchestratorError]] = {
    **ERRORS_BY_KIND,
    "too-large": UsageError,
    "media-type": UsageError,
    "unauthenticated": AccessError,
    "forbidden": AccessError,
    "busy": UnavailableError,
    "timeout": UnavailableError,
}
# What comes of a value of another type, or of a number without end.
_UNREADABLE = (LookupError, TypeError, ValueError, AttributeError, OverflowError)
# Their details need no more words.
_WHOLE_STORIES = frozenset({"not-found", "archived"})
_CAN_PASS = frozenset({"unavailable", "busy", "timeout"})
HINTS = {
    "unauthenticated": "set ORCHESTRATOR_VIA_TOKEN or --via-token-file to a token of that server",
    "forbidden": "`orchestrator serve --new-token NAME` makes a token to read with, "
    "--scope upload one to upload with",
    "storage-access": "the server's own credentials or clock are the matter, not the token",
}


@dataclass(slots=True)
class ServerRequest:
    """One request to the server; with a `record` it is a POST, with `content` a PUT of bytes.

    `replaces` makes it a PUT of the record. The response to an `is_raw` one is taken as it is; that
    to one with `url_of` is the URL of the object with that key.
    For `what`, `takes_long`, `before_retry` and `is_retried` see `OperationRequest`.
    """

    path: str
    what: str
    record: Mapping[str, Any] | None = None
    content: bytes | None = None
    replaces: bool = False
    is_raw: bool = False
    url_of: str | None = None
    takes_long: bool = False
    before_retry: BeforeRetry | None = None
    is_retried: bool = True

    @property
    def method(self) -> str:
        """The HTTP method."""
        if self.replaces or self.content is not None:
            return "PUT"
        return "GET" if self.record is None else "POST"

    @property
    def kind(self) -> str:
        """What it has in common with the requests that are throttled when it is."""
        return f"serve {self.method}"

    @property
    def content_type(self) -> str | None:
        """The type of the body; None without one."""
        if self.content is not None:
            return "application/octet-stream"
        return None if self.record is None else "application/json"

    @property
    def body(self) -> bytes:
        """The body as it is sent."""
        if self.record is None:
            return self.content or b""
        return json.dumps(self.record, ensure_ascii=False).encode()


def ask(request: ServerRequest, parse: Callable[[Any], T]) -> Operation[T]:
    """Ask the server, and return what `parse` makes of its response.

    Raises UsageError where no `orchestrator serve` of this kind has sent the response.
    """
    record = yield request
    try:
        return parse(record)
    except _UNREADABLE as error:
        raise incompatible_server() from error


def incompatible_server() -> OrchestratorError:
    """Return the error for a response that cannot be read."""
    return UsageError(
        "what answered is no `orchestrator serve` that this release understands",
        hint="check --via, and whether the server is as new as this command",
    )


class NotServeError(NotS3Error):
    """The response is that of a portal or a load balancer, and not of an `orchestrator serve`."""


def parse_response(response: Response, what: str, base_url: str) -> dict[str, Any]:
    """Return what the server sent. Raises its problem as the library's error.

    `base_url` names the server in errors.
    """
    try:
        record = parse_json(response.body)
    except ValueError:
        record = None
    if response.status == 200 and isinstance(record, dict):
        return record
    error = _problem(response, record, what, base_url)
    error.retry_after_seconds = retry_after(response) if error.retryable else None
    try:
        raise error
    finally:
        # It would hold itself, and all that its traceback does.
        del error


def _problem(response: Response, record: Any, what: str, base_url: str) -> OrchestratorError:
    problem = record if _media_type(response) == PROBLEM_TYPE and isinstance(record, dict) else {}
    kind = str(problem.get("type", "")).removeprefix(PROBLEM_PREFIX)
    if kind not in _ERRORS:
        return _unknown(response, kind, what, base_url)
    detail = printable(problem.get("detail", "no detail"))
    error = error_from_kind(kind, detail if kind in _WHOLE_STORIES else f"{what}: {detail}")
    error.hint = error.hint or _text(problem.get("hint"))
    error.request_id = _text(problem.get("request_id"))
    error.code = _text(problem.get("code"))
    error.is_throttled = kind == "busy" or is_throttling(error.code)
    return error


def error_from_kind(kind: str, message: str) -> OrchestratorError:
    """Return the library's error for a server's word for it."""
    error = _ERRORS.get(kind, OrchestratorError)
    return error(message, hint=HINTS.get(kind), retryable=kind in _CAN_PASS)


def _unknown(response: Response, kind: str, what: str, base_url: str) -> OrchestratorError:
    """Return the error for a response that no `serve` sends, such as a load balancer's."""
    status = response.status
    message = f"{what}: {base_url} answered {status}"
    if kind not in ("", "http"):
        return OrchestratorError(message, hint="the server's log may tell more")
    if status >= 500 or status in (408, 421, 425, 429):
        error = UnavailableError(message, retryable=True)
        error.is_throttled = status in (429, 503)
        return error
    if status == 407:
        text = f"{message}: the proxy asks for credentials"
        return AccessError(text, hint=PROXY_HINT, is_fatal=True)
    target = redirect_target(response)
    if target is not None or (_media_type(response) == "text/html" and status not in (404, 405)):
        hint = "check --via, and whether the network asks for a login"
        text = f"{what}: what answered at {base_url} is no `orchestrator serve`"
        return NotServeError(f"{text}{target or ''}", hint=hint, retryable=True)
    hint = "check --via: it names the root of an `orchestrator serve` of this release or newer"
    return UsageError(message, hint=hint)


def _media_type(response: Response) -> str:
    return response.headers.get("content-type", "").partition(";")[0]


def _text(value: Any) -> str | None:
    return printable(value) if isinstance(value, str) else None
