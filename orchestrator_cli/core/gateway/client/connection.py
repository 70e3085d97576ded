"""The connection to an `orchestrator serve`, and to the storage by the URLs that it signs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from orchestrator_cli.core.base.cancellation import BoundToken, CancelToken
from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.retry import RetryPolicy
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.gateway.client.codec import GatewayCodec, UrlRequest
from orchestrator_cli.core.gateway.client.file_index import FileIndex
from orchestrator_cli.core.gateway.client.signed_urls import SignedUrl, SignedUrls
from orchestrator_cli.core.http.transport import RateLimit, Task, Transport
from orchestrator_cli.core.http.url import is_plaintext, parse_service_url
from orchestrator_cli.core.s3.connection.operation_runner import OperationRunner, map_request_error
from orchestrator_cli.core.s3.connection.session import USER_AGENT
from orchestrator_cli.core.s3.operations.request import Operation

if TYPE_CHECKING:
    from orchestrator_cli.core.http.curl.loop import CurlLoop
    from orchestrator_cli.core.http.curl.options import ClientOptions

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ViaSettings:
    """The server's URL and our token for it. `token` is None where the server needs none.

    `rate_limit` is for request bodies; `max_in_flight` for small requests in a loop.
    """

    url: str
    token: str | None = None
    ca_bundle: str | None = None
    proxies: Mapping[str, str] = field(default_factory=dict)
    rate_limit: RateLimit | None = None
    max_in_flight: int = 16


class GatewayConnection:
    """Asks one server, and sends to the URLs it signs. Safe to share between threads."""

    def __init__(self, settings: ViaSettings, retry: RetryPolicy) -> None:
        """Check the settings. Raises UsageError for a URL that is none of a server."""
        self.base_url = _base_url(settings.url)
        self.retry = replace(retry, map_error=map_request_error)
        self._settings = settings
        self._lock = threading.Lock()
        self._made_transport: Transport | None = None
        self.max_in_flight = settings.max_in_flight
        self._urls = SignedUrls()
        self.index = FileIndex(self.base_url, self._urls)
        codec = GatewayCodec(self.base_url, settings.token, self._urls)
        self._runner = OperationRunner(codec, lambda: self._transport, self.retry)

    @property
    def sends_token_in_clear(self) -> bool:
        """True where the token goes over plain HTTP, for others to read."""
        return self._settings.token is not None and is_plaintext(self.base_url)

    @property
    def min_latency_seconds(self) -> float | None:
        """How long the quickest response has taken so far; None before the first."""
        return self._runner.min_latency_seconds

    def run(self, operation: Operation[T]) -> T:
        """Run an operation and wait for its result. Raises the library's exceptions."""
        return self._runner.run(operation)

    def signed_url(self, key: str) -> SignedUrl:
        """Return a URL that reads an object for a while. Raises NotFoundError, ArchivedError."""
        return self._urls.get(key) or self.run(_ask_url(key))

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


def _ask_url(key: str) -> Operation[SignedUrl]:
    signed: SignedUrl = yield UrlRequest(key, f"look-up of {printable(key)}")
    return signed


def _base_url(text: str) -> str:
    address = parse_service_url(text, "--via", "https://orchestrator.example.com")
    if address.authorization is not None:
        raise UsageError("--via: a URL without a user")
    return address.url
