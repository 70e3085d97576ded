"""The connection to an `orchestrator serve`, and to the storage by the URLs that it signs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from orchestrator_cli.core.base.cancellation import BoundToken, CancelToken
from orchestrator_cli.core.base.errors import AccessError, OrchestratorError, UsageError
from orchestrator_cli.core.base.retry import RetryPolicy
from orchestrator_cli.core.gateway.client.server_request import HINTS, ServerRequest, parse_answer
from orchestrator_cli.core.gateway.client.signed_request import SignedRequest
from orchestrator_cli.core.http.transport import RateLimit, Request, Response, Task, Transport
from orchestrator_cli.core.http.url import is_plaintext, parse_service_url
from orchestrator_cli.core.s3.connection.operation_runner import OperationRunner, map_request_error
from orchestrator_cli.core.s3.connection.session import USER_AGENT
from orchestrator_cli.core.s3.operations.request import (
    SMALL_RESPONSE_SECONDS,
    Operation,
    accept_response,
    http_request,
)

if TYPE_CHECKING:
    from orchestrator_cli.core.http.curl.loop import CurlLoop
    from orchestrator_cli.core.http.curl.options import ClientOptions

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ViaSettings:
    """Where the server is and who asks. `token` None: the server asks for none.

    `rate_limit` is for request bodies.
    """

    url: str
    token: str | None = None
    ca_bundle: str | None = None
    proxies: Mapping[str, str] = field(default_factory=dict)
    rate_limit: RateLimit | None = None


class GatewayConnection:
    """Asks one server, and sends to the URLs it signs. Safe to share between threads."""

    def __init__(self, settings: ViaSettings, retry: RetryPolicy) -> None:
        """Check the settings. Raises UsageError for a URL that is none of a server."""
        self.base_url = _base_url(settings.url)
        self.retry = replace(retry, map_error=map_request_error)
        self._settings = settings
        self._lock = threading.Lock()
        self._made_transport: Transport | None = None
        codec = _Codec(self.base_url, settings.token)
        self._runner = OperationRunner(codec, lambda: self._transport, self.retry)

    @property
    def sends_token_in_clear(self) -> bool:
        """Whether whoever is on the way to the server can read the token."""
        return self._settings.token is not None and is_plaintext(self.base_url)

    @property
    def min_latency_seconds(self) -> float | None:
        """How long the quickest response has taken so far; None before the first."""
        return self._runner.min_latency_seconds

    def run(self, operation: Operation[T]) -> T:
        """Run an operation and wait for its result. Raises the library's exceptions."""
        return self._runner.run(operation)

    def task(
        self, operation: Operation[T], on_throttled: Callable[[], object] | None = None
    ) -> Task[T]:
        """Return an operation as a task for a loop."""
        return self._runner.task(operation, on_throttled)

    def loop(self, max_in_flight: int = 256, stop: CancelToken | None = None) -> CurlLoop:
        """Return a loop for the thread that calls this; it is closed by the caller."""
        from orchestrator_cli.core.http.curl.loop import CurlLoop

        return CurlLoop(
            self._options,
            max_in_flight=max_in_flight,
            stop=stop or self.retry.token,
            rate_limit=self._settings.rate_limit,
        )

    @property
    def _options(self) -> ClientOptions:
        from orchestrator_cli.core.http.curl.options import ClientOptions

        return ClientOptions(self._settings.ca_bundle, self._settings.proxies, USER_AGENT)

    @property
    def _transport(self) -> Transport:
        with self._lock:
            if self._made_transport is None:
                from orchestrator_cli.core.http.curl.easy import EasyTransport

                token = BoundToken(self.retry.stop)
                rate_limit = self._settings.rate_limit
                self._made_transport = EasyTransport(self._options, token, rate_limit)
            return self._made_transport


class _Codec:
    """Sends the token to the server, and to nobody else."""

    request_types = (ServerRequest, SignedRequest)

    def __init__(self, base_url: str, token: str | None) -> None:
        self._base_url = base_url
        self._headers = {"accept": "application/json"}
        if token is not None:
            self._headers["authorization"] = f"Bearer {_check_token(token)}"

    def encode(self, request: ServerRequest | SignedRequest) -> Task[Request]:
        """Return the HTTP request."""
        yield from ()
        if isinstance(request, SignedRequest):
            return http_request(request.request, request.url, request.request.headers)
        headers = dict(self._headers)
        if request.record is not None:
            headers["content-type"] = "application/json"
        return Request(
            "GET" if request.record is None else "POST",
            self._base_url + request.path,
            headers,
            request.body,
            total_timeout_seconds=SMALL_RESPONSE_SECONDS,
        )

    def decode(self, request: ServerRequest | SignedRequest, response: Response) -> Any:
        """Return what is to be believed of a response. Raises what another one says."""
        if isinstance(request, ServerRequest):
            return parse_answer(response, request.what)
        try:
            return accept_response(request.request, response)
        except OrchestratorError as error:
            if isinstance(error, AccessError):
                error.hint = HINTS["storage-access"]
            raise


def _base_url(text: str) -> str:
    address = parse_service_url(text, "--via", "https://orchestrator.example.com")
    if address.authorization is not None:
        raise UsageError("--via: a URL without a user")
    return address.url


def _check_token(text: str) -> str:
    # It becomes a header.
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise UsageError("the token is no token: it has characters that none has")
    return text
