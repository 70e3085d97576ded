"""Set libcurl's options: some once for each handle, others for each request."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import pycurl

from orchestrator_cli import __version__
from orchestrator_cli.core.http.ca_bundle import default_ca_file
from orchestrator_cli.core.http.curl.errors import Route
from orchestrator_cli.core.http.proxy import Proxy, proxy_for
from orchestrator_cli.core.http.transport import (
    CONNECT_TIMEOUT_SECONDS,
    STALL_TIMEOUT_SECONDS,
    InvalidRequestError,
    Request,
)

# Middleboxes silently drop connections that are idle for longer.
_MAX_IDLE_SECONDS = 90
_BUFFER_BYTES = 256 * 1024
_LENGTH = "content-length"
# libcurl adds these where they are not named; an empty one is not sent.
_UNWANTED = ("expect", "accept")
_TLS_VERSION = pycurl.SSLVERSION_TLSv1_2


class ClientOptions(NamedTuple):
    """Settings of a transport.

    `ca_bundle` is a file of CA certificates in PEM; None: the system's, else botocore's.
    `proxies` has `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, named as the environment
    variables in lower or upper case; the environment itself is never read.
    `client_certificate` and `client_key` are files in PEM by which a server knows us.
    `connect_timeout_seconds` is for name resolution, connection and TLS together.
    `stall_timeout_seconds` is how long nothing may move in either direction.
    """

    ca_bundle: str | None = None
    proxies: Mapping[str, str] = MappingProxyType({})
    user_agent: str = f"orchestrator/{__version__}"
    connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS
    stall_timeout_seconds: float = STALL_TIMEOUT_SECONDS
    client_certificate: str | None = None
    client_key: str | None = None

    def ca_file(self) -> str | None:
        """Return the file whose CA certificates are trusted."""
        return self.ca_bundle or default_ca_file()

    def route_to(self, url: str) -> Route:
        """Return the proxy and CA file for a URL. Raises InvalidProxyError."""
        return Route(proxy_for(url, self.proxies), self.ca_file())


def configure_handle(curl: pycurl.Curl, options: ClientOptions) -> None:
    """Set the options that are the same for every request of a handle."""
    for option, value in {
        pycurl.NOSIGNAL: 1,
        pycurl.PATH_AS_IS: 1,
        pycurl.FOLLOWLOCATION: 0,
        pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_1_1,
        pycurl.PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
        pycurl.CONNECTTIMEOUT_MS: _milliseconds(options.connect_timeout_seconds),
        pycurl.BUFFERSIZE: _BUFFER_BYTES,
        pycurl.UPLOAD_BUFFERSIZE: _BUFFER_BYTES,
        pycurl.MAXAGE_CONN: _MAX_IDLE_SECONDS,
        pycurl.TCP_NODELAY: 1,
        pycurl.TCP_KEEPALIVE: 1,
        pycurl.SSLVERSION: _TLS_VERSION,
        pycurl.PROXY_SSLVERSION: _TLS_VERSION,
        pycurl.USERAGENT: options.user_agent,
        # Otherwise libcurl looks into the environment.
        pycurl.NOPROXY: "",
    }.items():
        curl.setopt(option, value)
    ca_file = options.ca_file()
    if ca_file is not None:
        curl.setopt(pycurl.CAINFO, ca_file)
        curl.setopt(pycurl.PROXY_CAINFO, ca_file)
    if options.client_certificate is not None:
        curl.setopt(pycurl.SSLCERT, options.client_certificate)
    if options.client_key is not None:
        curl.setopt(pycurl.SSLKEY, options.client_key)


def configure_proxy(curl: pycurl.Curl, proxy: Proxy | None) -> None:
    """Set the proxy; None: none, whatever the environment says."""
    curl.setopt(pycurl.PROXY, proxy.url if proxy else "")
    if proxy and proxy.username is not None:
        curl.setopt(pycurl.PROXYUSERNAME, proxy.username)
        curl.setopt(pycurl.PROXYPASSWORD, proxy.password)
    else:
        curl.unsetopt(pycurl.PROXYUSERNAME)
        curl.unsetopt(pycurl.PROXYPASSWORD)


def configure_method(curl: pycurl.Curl, method: str, *, has_body: bool) -> None:
    """Set the method, and whether a body is sent and received."""
    curl.setopt(pycurl.HTTPGET, 1)
    curl.setopt(pycurl.CUSTOMREQUEST, method)
    curl.setopt(pycurl.UPLOAD, has_body)
    curl.setopt(pycurl.NOBODY, method == "HEAD")


def header_lines(headers: Mapping[str, str]) -> list[bytes]:
    """Return headers as libcurl takes them. Raises InvalidRequestError."""
    lines = ["accept-encoding: identity"] if "accept-encoding" not in headers else []
    lines += [f"{name}:" for name in _UNWANTED if name not in headers]
    for name, value in headers.items():
        if name != _LENGTH:
            # libcurl takes "name:" for a header that it should leave out.
            lines.append(f"{name}: {value}" if value else f"{name};")
    text = "\n".join(lines)
    # A line break in a name or value would begin a header, or a request, of somebody else's.
    if text.count("\n") != len(lines) - 1 or "\r" in text or "\0" in text:
        raise _invalid_header(headers)
    try:
        return text.encode("latin-1").split(b"\n")
    except UnicodeEncodeError as error:
        raise _invalid_header(headers) from error


def check_url(url: str) -> str:
    """Return a URL that can be sent as it is. Raises InvalidRequestError."""
    if not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidRequestError("the URL has characters that cannot be sent")
    if not url[:8].lower().startswith(("http://", "https://")):
        raise InvalidRequestError("the URL is not one of http:// or https://")
    return url


def _invalid_header(headers: Mapping[str, str]) -> InvalidRequestError:
    at_fault = next((name for name, text in headers.items() if not _is_sendable(text)), None)
    named = f"the header {at_fault}" if at_fault else "the name of a header"
    return InvalidRequestError(f"{named} has characters that cannot be sent", at_fault)


def _is_sendable(text: str) -> bool:
    return not any(character in "\r\n\0" or character > "\xff" for character in text)


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def total_timeout_milliseconds(request: Request) -> int:
    """Return libcurl's limit for a whole request; 0: none."""
    seconds = request.total_timeout_seconds
    return 0 if seconds is None else _milliseconds(seconds)
