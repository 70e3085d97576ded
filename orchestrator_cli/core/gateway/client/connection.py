"""The client of an `orchestrator serve`: its answers, and its problems as the library's errors."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from orchestrator_cli.core.base.cancellation import BoundToken
from orchestrator_cli.core.base.errors import (
    AccessError,
    OrchestratorError,
    UnavailableError,
    UsageError,
)
from orchestrator_cli.core.base.retry import RetryPolicy
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.gateway.messages import (
    ERROR_KINDS,
    PROBLEM_PREFIX,
    PROBLEM_TYPE,
    SignedPut,
)
from orchestrator_cli.core.http.transport import Body, RateLimit, Request, Response, Transport
from orchestrator_cli.core.http.url import is_plaintext, parse_service_url
from orchestrator_cli.core.s3.connection.operation_runner import map_request_error
from orchestrator_cli.core.s3.connection.session import USER_AGENT
from orchestrator_cli.core.s3.operations.request import (
    SMALL_RESPONSE_SECONDS,
    S3Response,
    error_from_response,
    require_etag,
)

_ERRORS: dict[str, type[OrchestratorError]] = {
    **{kind: error for error, kind in ERROR_KINDS.items()},
    "too-large": UsageError,
    "media-type": UsageError,
    "unauthenticated": AccessError,
    "forbidden": AccessError,
    "busy": UnavailableError,
    "timeout": UnavailableError,
}
_CAN_PASS = frozenset({"unavailable", "busy", "timeout"})
_HINTS = {
    "unauthenticated": "set ORCHESTRATOR_VIA_TOKEN or --via-token-file to a token of that server",
    "forbidden": "`orchestrator serve --new-token NAME --scope upload` makes a token to upload",
    "storage-access": "the server's own credentials are the matter, not the token",
}


@dataclass(frozen=True, slots=True)
class ViaSettings:
    """Where the server is and who asks. `token` None: the server asks for none."""

    url: str
    token: str | None = None
    ca_bundle: str | None = None
    concurrency: int = 16
    proxies: Mapping[str, str] = field(default_factory=dict)


class GatewayClient:
    """Asks one server, and sends bodies to the URLs it signs. Safe to share between threads.

    `rate_limit` is for request bodies; it is set before the first request.
    `min_latency_seconds` is how long the quickest response has taken; None before the first.
    """

    def __init__(self, settings: ViaSettings, retry: RetryPolicy) -> None:
        """Check the settings. Raises UsageError for a URL that is none of a server."""
        self.base_url = _base_url(settings.url)
        self.retry = replace(retry, map_error=map_request_error)
        self.rate_limit: RateLimit | None = None
        self.min_latency_seconds: float | None = None
        self._settings = settings
        self._lock = threading.Lock()
        self._made_transport: Transport | None = None
        self._headers = {"accept": "application/json"}
        if settings.token is not None:
            self._headers["authorization"] = f"Bearer {_token(settings.token)}"

    @property
    def sends_token_in_clear(self) -> bool:
        """Whether whoever is on the way to the server can read the token."""
        return self._settings.token is not None and is_plaintext(self.base_url)

    def get(self, path: str, what: str) -> dict[str, Any]:
        """Ask for what the server has at a path."""
        return self.retry.call(lambda: self._ask("GET", path, None, what), what)

    def post(self, path: str, record: Mapping[str, Any], what: str) -> dict[str, Any]:
        """Ask the server to do something that can be repeated."""
        body = json.dumps(record, ensure_ascii=False).encode()
        return self.retry.call(lambda: self._ask("POST", path, body, what), what)

    def post_once(self, path: str, record: Mapping[str, Any], what: str) -> dict[str, Any]:
        """Ask as `post` does, but without asking again; from inside the retry policy."""
        body = json.dumps(record, ensure_ascii=False).encode()
        return self._ask("POST", path, body, what)

    def put(self, signed: SignedPut, body: Body, what: str) -> S3Response:
        """Send a body to a signed URL, once. Raises what the storage answers."""
        answer = self._transport.send(Request("PUT", signed.url, signed.headers, body))
        if answer.status < 300:
            stored = S3Response(answer.status, answer.headers, answer.body)
            require_etag(stored, what)
            return stored
        error = error_from_response(answer, what)
        if isinstance(error, AccessError):
            error.hint = _HINTS["storage-access"]
        raise error

    @property
    def _transport(self) -> Transport:
        with self._lock:
            if self._made_transport is None:
                self._made_transport = self._make_transport()
            return self._made_transport

    def _make_transport(self) -> Transport:
        from orchestrator_cli.core.http.curl.easy import EasyTransport
        from orchestrator_cli.core.http.curl.options import ClientOptions

        settings = self._settings
        options = ClientOptions(settings.ca_bundle, settings.proxies, USER_AGENT)
        return EasyTransport(options, BoundToken(self.retry.stop), self.rate_limit)

    def _ask(self, method: str, path: str, body: bytes | None, what: str) -> dict[str, Any]:
        headers = dict(self._headers)
        if body is not None:
            headers["content-type"] = "application/json"
        url = self.base_url + path
        answer = self._transport.send(
            Request(method, url, headers, body or b"", total_timeout_seconds=SMALL_RESPONSE_SECONDS)
        )
        self.min_latency_seconds = min(self.min_latency_seconds or answer.seconds, answer.seconds)
        record = _parse(answer)
        if answer.status == 200 and isinstance(record, dict):
            return cast("dict[str, Any]", record)
        raise _problem(answer, record, what)


def _base_url(text: str) -> str:
    address = parse_service_url(text, "--via", "https://orchestrator.example.com")
    if address.authorization is not None:
        raise UsageError("--via: a URL without a user")
    return address.url


def _token(text: str) -> str:
    # It becomes a header.
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise UsageError("the token is no token: it has characters that none has")
    return text


def _parse(answer: Response) -> Any:
    try:
        return json.loads(answer.body)
    except ValueError:
        return None


def _problem(answer: Response, record: Any, what: str) -> OrchestratorError:
    media_type = answer.headers.get("content-type", "").partition(";")[0]
    told = record if media_type == PROBLEM_TYPE and isinstance(record, dict) else {}
    kind = str(told.get("type", "")).removeprefix(PROBLEM_PREFIX)
    if kind not in _ERRORS:
        return _unknown(answer, kind, what)
    detail = printable(told.get("detail", "no detail"))
    error = error_from_kind(kind, detail if kind == "not-found" else f"{what}: {detail}")
    error.hint = error.hint or _text(told.get("hint"))
    error.request_id = _text(told.get("request_id"))
    error.code = _text(told.get("code"))
    return error


def error_from_kind(kind: str, message: str) -> OrchestratorError:
    """Return the library's error for a server's word for it."""
    error = _ERRORS.get(kind, OrchestratorError)
    return error(message, hint=_HINTS.get(kind), retryable=kind in _CAN_PASS)


def _unknown(answer: Response, kind: str, what: str) -> OrchestratorError:
    """Return the error for what is no problem of ours, such as a load balancer's own."""
    message = f"{what}: the server answered {answer.status}"
    if answer.status in (408, 429, 502, 503, 504):
        return UnavailableError(message, retryable=True)
    if kind in ("", "http"):
        hint = "check --via: it names the root of an `orchestrator serve` of this release or newer"
        return UsageError(message, hint=hint)
    return OrchestratorError(message, hint="the server's log may tell more")


def _text(value: Any) -> str | None:
    return printable(value) if isinstance(value, str) else None
