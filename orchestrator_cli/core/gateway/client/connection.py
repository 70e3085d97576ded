"""The connection to an `orchestrator serve`, and to the storage by the URLs that it signs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.retry import RetryPolicy, without_retries
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.gateway.client.codec import GatewayCodec, url_request
from orchestrator_cli.core.gateway.client.file_index import FileIndex
from orchestrator_cli.core.gateway.client.server_request import ask
from orchestrator_cli.core.gateway.client.signed_urls import SignedUrl, SignedUrls
from orchestrator_cli.core.http.transport import RateLimit
from orchestrator_cli.core.http.url import is_plaintext, parse_service_url
from orchestrator_cli.core.s3.connection.connection import Connection

if TYPE_CHECKING:
    from orchestrator_cli.core.http.curl.options import ClientOptions


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


class GatewayConnection(Connection):
    """Asks one server, and sends to the URLs it signs. Safe to share between threads."""

    def __init__(self, settings: ViaSettings, retry: RetryPolicy) -> None:
        """Check the settings. Raises UsageError for a URL that cannot be a server's."""
        self.base_url = _base_url(settings.url)
        self._settings = settings
        self._urls = SignedUrls()
        self.index = FileIndex(self.base_url, self._urls)
        super().__init__(
            GatewayCodec(self.base_url, settings.token, self._urls),
            partial(_client_options, settings),
            retry,
            max_in_flight=settings.max_in_flight,
            rate_limit=settings.rate_limit,
        )

    @property
    def sends_token_in_clear(self) -> bool:
        """True where the token goes over plain HTTP, for others to read."""
        return self._settings.token is not None and is_plaintext(self.base_url)

    def reopened(self) -> GatewayConnection:
        """Return a connection that works after this one was told to stop, without retries."""
        return GatewayConnection(self._settings, without_retries())

    def signed_url(self, key: str) -> SignedUrl:
        """Return a URL that reads an object for a while. Raises NotFoundError, ArchivedError."""
        request = url_request(key, f"look-up of {printable(key)}")
        return self._urls.get(key) or self.run(ask(request, lambda signed: signed))


def _client_options(settings: ViaSettings) -> ClientOptions:
    from orchestrator_cli.core.http.curl.options import ClientOptions

    return ClientOptions(settings.ca_bundle, settings.proxies)


def _base_url(text: str) -> str:
    address = parse_service_url(text, "--via", "https://orchestrator.example.com")
    if address.authorization is not None:
        raise UsageError("--via: a URL without a user")
    return address.url
