"""Turn libcurl's error codes into TransportErrors.

Its texts differ between releases and TLS libraries, so none of them is looked at.
"""

from __future__ import annotations

import errno
from typing import NamedTuple

import pycurl

from orchestrator_cli.core.http.proxy import Proxy
from orchestrator_cli.core.http.transport import Request, TransportError
from orchestrator_cli.core.http.transport import TransportErrorKind as Kind
from orchestrator_cli.core.http.url import host_with_port

# Numbers that pycurl has no name for: CURLE_PROXY, CURLE_TOO_LARGE (of a head).
_E_PROXY = 97
_E_TOO_LARGE = 100
# What a SOCKS proxy says of credentials: CURLPX_LONG_PASSWD, _LONG_USER, _NO_AUTH, _USER_REJECTED.
_SOCKS_CREDENTIALS = frozenset({10, 11, 12, 33})
_SOCKS_NOT_ALLOWED = 23

_KINDS = {
    pycurl.E_UNSUPPORTED_PROTOCOL: Kind.MALFORMED,  # a response of HTTP/0.9, or of no HTTP
    pycurl.E_COULDNT_RESOLVE_PROXY: Kind.RESOLVE,
    pycurl.E_COULDNT_RESOLVE_HOST: Kind.RESOLVE,
    pycurl.E_COULDNT_CONNECT: Kind.UNREACHABLE,
    pycurl.E_FTP_WEIRD_SERVER_REPLY: Kind.MALFORMED,  # of HTTP servers too
    pycurl.E_PARTIAL_FILE: Kind.TRUNCATED,
    pycurl.E_SSL_CONNECT_ERROR: Kind.NOT_TLS,
    pycurl.E_PEER_FAILED_VERIFICATION: Kind.CERTIFICATE,
    pycurl.E_BAD_CONTENT_ENCODING: Kind.MALFORMED,
    pycurl.E_FILESIZE_EXCEEDED: Kind.TOO_LARGE,
    pycurl.E_SSL_CACERT_BADFILE: Kind.CA_FILE,
    _E_TOO_LARGE: Kind.MALFORMED,
}
_CONNECT_KINDS = {
    errno.ECONNREFUSED: Kind.REFUSED,
    errno.ETIMEDOUT: Kind.CONNECT_TIMEOUT,
    errno.ECONNRESET: Kind.BROKEN,
}
# OpenSSL's X509_V_ERR_UNSPECIFIED, of certificates whose names libcurl has compared,
# _CERT_NOT_YET_VALID and _CERT_HAS_EXPIRED.
_CERTIFICATE_KINDS = {
    1: Kind.CERTIFICATE_HOST,
    9: Kind.CERTIFICATE_DATES,
    10: Kind.CERTIFICATE_DATES,
}
_FINAL = frozenset({Kind.CERTIFICATE, *_CERTIFICATE_KINDS.values(), Kind.CA_FILE, Kind.PROXY_AUTH})
_TEXTS = {
    Kind.RESOLVE: "the host name of {peer} cannot be resolved",
    Kind.REFUSED: "connection refused by {peer}",
    Kind.UNREACHABLE: "{peer} cannot be reached",
    Kind.CONNECT_TIMEOUT: "{peer} did not accept a connection in time",
    Kind.STALLED: "{peer} did not answer in time",
    Kind.TOO_SLOW: "{peer} answered too slowly",
    Kind.CERTIFICATE: "the TLS certificate of {peer} is not trusted",
    Kind.CERTIFICATE_DATES: "the TLS certificate of {peer} has expired, or is not valid yet",
    Kind.CERTIFICATE_HOST: "the TLS certificate of {peer} is of another host",
    Kind.CA_FILE: "the CA certificates for {peer} cannot be read",
    Kind.NOT_TLS: "{peer} does not speak TLS 1.2 or later",
    Kind.PROXY_AUTH: "{peer} asks for credentials",
    Kind.PROXY_REFUSED: "{peer} refused the connection",
    Kind.BROKEN: "the connection to {peer} broke",
    Kind.TRUNCATED: "the response of {peer} was cut short",
    Kind.MALFORMED: "{peer} sent what is no valid HTTP/1.1 response",
    Kind.TOO_LARGE: "the response of {peer} is larger than any that was asked for",
}


class Route(NamedTuple):
    """The proxy and the file of CA certificates that a request uses, if any."""

    proxy: Proxy | None
    ca_file: str | None


def error_from_curl(curl: pycurl.Curl, code: int, request: Request, route: Route) -> TransportError:
    """Return the error for a request that ended with one of libcurl's error codes."""
    proxy_status = _proxy_status(curl, route.proxy)
    kind = _kind_of(curl, code, proxy_status)
    proxy_failed = _is_of_proxy(curl, code, kind, route.proxy, proxy_status)
    if kind is Kind.CERTIFICATE:
        result = pycurl.PROXY_SSL_VERIFYRESULT if proxy_failed else pycurl.SSL_VERIFYRESULT
        kind = _CERTIFICATE_KINDS.get(curl.getinfo(result), kind)
    error = make_error(kind, request, route, proxy_status=proxy_status, proxy_failed=proxy_failed)
    if kind is Kind.PROXY_REFUSED:
        error.is_retryable = _refusal_can_pass(curl, proxy_status)
    return error


def make_error(
    kind: Kind,
    request: Request,
    route: Route,
    *,
    proxy_status: int | None = None,
    proxy_failed: bool = False,
) -> TransportError:
    """Return an error of this kind; `proxy_failed`: of the proxy rather than of the server."""
    server = host_with_port(request.url)
    proxy = route.proxy.url if route.proxy else None
    peer = f"the proxy {proxy}" if proxy_failed else server
    message = _TEXTS[kind].format(peer=peer)
    if proxy_status:
        message += f" with status {proxy_status}"
    if kind in (Kind.CERTIFICATE, Kind.CA_FILE) and route.ca_file:
        message += f" (CA certificates: {route.ca_file})"
    if proxy:
        message += f" (on the way to {server})" if proxy_failed else f" (through the proxy {proxy})"
    return TransportError(message, kind, is_retryable=kind not in _FINAL)


def _kind_of(curl: pycurl.Curl, code: int, proxy_status: int | None) -> Kind:
    if proxy_status:
        return Kind.PROXY_AUTH if proxy_status == 407 else Kind.PROXY_REFUSED
    if code == _E_PROXY:
        credentials = curl.getinfo(pycurl.PROXY_ERROR) in _SOCKS_CREDENTIALS
        return Kind.PROXY_AUTH if credentials else Kind.PROXY_REFUSED
    if code == pycurl.E_OPERATION_TIMEDOUT:
        return Kind.TOO_SLOW if curl.getinfo(pycurl.REQUEST_SIZE) else Kind.CONNECT_TIMEOUT
    kind = _KINDS.get(code, Kind.BROKEN)
    system_error = curl.getinfo(pycurl.OS_ERRNO)
    if kind is Kind.UNREACHABLE:
        return _CONNECT_KINDS.get(system_error, kind)
    if kind is Kind.NOT_TLS and system_error:
        return Kind.BROKEN
    return kind


def _proxy_status(curl: pycurl.Curl, proxy: Proxy | None) -> int | None:
    """Return the status by which an HTTP proxy refused a tunnel."""
    if proxy is None or not proxy.is_http:
        return None
    status = int(curl.getinfo(pycurl.HTTP_CONNECTCODE))
    return status if status >= 300 else None


def _is_of_proxy(
    curl: pycurl.Curl, code: int, kind: Kind, proxy: Proxy | None, proxy_status: int | None
) -> bool:
    if proxy is None:
        return False
    if proxy_status or code in (pycurl.E_COULDNT_RESOLVE_PROXY, _E_PROXY):
        return True
    if kind in (Kind.REFUSED, Kind.UNREACHABLE, Kind.CONNECT_TIMEOUT):
        return True
    return bool(curl.getinfo(pycurl.PROXY_SSL_VERIFYRESULT))


def _refusal_can_pass(curl: pycurl.Curl, proxy_status: int | None) -> bool:
    if proxy_status:
        return proxy_status >= 500
    return int(curl.getinfo(pycurl.PROXY_ERROR)) != _SOCKS_NOT_ALLOWED
