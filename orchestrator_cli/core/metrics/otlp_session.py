"""Send what OpenTelemetry's exporter sends with requests over libcurl, as everything else here."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests

from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.http.curl.easy import EasyTransport
from orchestrator_cli.core.http.curl.options import ClientOptions
from orchestrator_cli.core.http.transport import Request, Response, lower_headers
from orchestrator_cli.core.metrics.delivery import SEND_SECONDS

# More than any that is understood.
_MAX_RESPONSE_BYTES = 64 * 1024
# libcurl says these itself.
_NOT_SENT = frozenset({"content-length", "accept-encoding", "connection"})


class OtlpSession(requests.Session):
    """Sends requests, and keeps the response to the last one, or its error."""

    def __init__(self, proxies: Mapping[str, str]) -> None:
        super().__init__()
        self.trust_env = False
        self.origin = "an unknown address"
        self.response: Response | None = None
        self.error: Exception | None = None
        self._proxies = proxies

    def send(self, request: requests.PreparedRequest, **settings: Any) -> requests.Response:
        """Send one request. Raises requests' own error for one that got no whole response."""
        url = str(request.url)
        self.origin, self.response, self.error = _origin(url), None, None
        try:
            with contextlib.closing(EasyTransport(self._options(settings))) as http:
                self.response = http.send(_as_request(request, url))
        except Exception as error:
            self.error = error
            raise requests.exceptions.ConnectionError from error
        return _as_requests_has_it(self.response)

    def _options(self, settings: dict[str, Any]) -> ClientOptions:
        authority, certificate = settings.get("verify"), settings.get("cert")
        key = None
        if isinstance(certificate, tuple):
            certificate, key = certificate
        return ClientOptions(
            authority if isinstance(authority, str) else None,
            self._proxies,
            client_certificate=certificate,
            client_key=key,
        )


def _as_request(request: requests.PreparedRequest, url: str) -> Request:
    return Request(
        str(request.method),
        url,
        lower_headers(request.headers, _NOT_SENT),
        request.body if isinstance(request.body, bytes) else b"",
        max_body_bytes=_MAX_RESPONSE_BYTES,
        # The exporter's caller gives up after SEND_SECONDS and reports it; this later limit only
        # ends the request that is left behind.
        total_timeout_seconds=2 * SEND_SECONDS,
    )


def _as_requests_has_it(response: Response) -> requests.Response:
    theirs = requests.Response()
    theirs.status_code, theirs.raw = response.status, io.BytesIO(response.body)
    theirs.headers.update(response.headers)
    return theirs


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return printable(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}")
