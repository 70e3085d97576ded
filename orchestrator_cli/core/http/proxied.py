"""Connections through a proxy, which urllib3 knows how to talk to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.http.framing import MalformedError, checked_length
from orchestrator_cli.core.http.outgoing import check_headers, prepare
from orchestrator_cli.core.http.request_body import SLICE_BYTES, Body, ExactBody
from orchestrator_cli.core.http.wire import Answer

if TYPE_CHECKING:
    from ssl import SSLContext

    from urllib3 import BaseHTTPResponse

_ENDS = frozenset({"content-length", "transfer-encoding"})


def proxy_for(url: str) -> str | None:
    """Return the proxy that the environment names for a URL. Raises UsageError."""
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    if proxy_bypass(parts.netloc):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    scheme = proxy.partition("://")[0].lower()
    if scheme not in ("http", "https"):
        hint = "name one in HTTPS_PROXY or HTTP_PROXY, or this host in NO_PROXY"
        what = f"the proxy is of {printable(scheme)}://, and only http:// and https:// are known"
        raise UsageError(what, hint=hint)
    return proxy


class ProxiedPool:
    """Sends requests through a proxy. Safe to share between threads."""

    # How long an answer takes is the proxy's matter too: nobody knows.
    answer_seconds: float | None = None

    def __init__(
        self,
        proxy: str,
        tls: SSLContext | None,
        connections: int,
        connect_seconds: float,
        stall_seconds: float,
        always: Mapping[str, str],
    ) -> None:
        """`tls` is for the server, and for a proxy that speaks TLS itself; `always` is sent."""
        import urllib3

        self._always = always
        self._http = urllib3.ProxyManager(
            proxy,
            proxy_headers=_proxy_headers(proxy),
            proxy_ssl_context=tls,
            ssl_context=tls,
            maxsize=connections,
            retries=False,
            timeout=urllib3.Timeout(connect=connect_seconds, read=stall_seconds),
            blocksize=SLICE_BYTES,
        )

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body = b"",
        into: bytearray | None = None,
    ) -> Answer:
        """Send one request and return its answer."""
        named, sent = prepare(method, self._always, headers or {}, body)
        check_headers(named)
        answer = self._http.request(
            method,
            url,
            body=map(bytes, sent.pieces()) if isinstance(sent, ExactBody) else bytes(sent) or None,
            headers=named,
            redirect=False,
            preload_content=False,
            decode_content=False,
        )
        try:
            content = _read(answer)
        except BaseException:
            answer.close()
            raise
        found = {name.lower(): text for name, text in answer.headers.items()}
        if answer.status < 300 and answer.status != 204 and not _ENDS & found.keys():
            # It may be half of one: urllib3 does not miss the end of a head.
            raise MalformedError("the answer does not say where it ends")
        return Answer(answer.status, found, content)


def _read(answer: BaseHTTPResponse) -> bytearray:
    content = bytearray()
    while data := answer.read(SLICE_BYTES):
        content += data
        checked_length(len(content))
    return content


def _proxy_headers(proxy: str) -> dict[str, str]:
    import urllib3

    parts = urlsplit(proxy)
    if parts.username is None:
        return {}
    user, password = unquote(parts.username), unquote(parts.password or "")
    return dict(urllib3.make_headers(proxy_basic_auth=f"{user}:{password}"))
