"""Connections to one server, used again and again; through a proxy where the environment says so.

About proxies, CAs and times it behaves as boto3 does.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from orchestrator_cli import __version__
from orchestrator_cli.core.dial import Address
from orchestrator_cli.core.framing import TransportError
from orchestrator_cli.core.sigv4 import host_header
from orchestrator_cli.core.wire import (
    IN_MEMORY,
    SLICE_BYTES,
    Answer,
    Body,
    Connection,
    ExactBody,
    WireBody,
)

if TYPE_CHECKING:
    from ssl import SSLContext

CONNECT_TIMEOUT_SECONDS = 10
# Between two reads or writes of one connection, not for a whole transfer.
STALL_TIMEOUT_SECONDS = 60
USER_AGENT = f"orchestrator/{__version__}"
_PORTS = {"http": 80, "https": 443}
# Sending these twice is as good as once; a POST may begin two uploads.
_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})


class HttpPool(Protocol):
    """Sends requests to one server. Safe to share between threads.

    `answer_seconds` is how long the quickest answer has taken, on a connection that was there.
    """

    @property
    def answer_seconds(self) -> float | None:
        """None before the first answer."""
        ...

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body = b"",
        into: bytearray | None = None,
    ) -> Answer:
        """Send one request and return its answer, whatever its status; redirects are not followed.

        The answer's body may be a view of `into`, where it fits there. The length of a body that
        is no bytes must be among the headers. A failing connection raises what `translate` makes
        an UnavailableError of.
        """
        ...


def make_pool(
    url: str,
    ca_bundle: str | None = None,
    connections: int = 1,
    stall_seconds: float = STALL_TIMEOUT_SECONDS,
    *,
    proxied: bool = True,
) -> HttpPool:
    """Return a pool for the host of a URL, through the proxy that the environment names for it."""
    ca_bundle = ca_bundle or _fallback_bundle()
    proxy = _proxy_for(url) if proxied else None
    if proxy:
        return _ProxiedPool(proxy, ca_bundle, connections, stall_seconds)
    return _DirectPool(url, ca_bundle, connections, stall_seconds)


class _DirectPool:
    """Connections of our own."""

    def __init__(
        self, url: str, ca_bundle: str | None, connections: int, stall_seconds: float
    ) -> None:
        parts = urlsplit(url)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._address = Address(
            parts.hostname or "",
            parts.port or _PORTS[parts.scheme],
            _tls(ca_bundle) if parts.scheme == "https" else None,
            min(CONNECT_TIMEOUT_SECONDS, stall_seconds),
            stall_seconds,
        )
        self._always = {
            "host": host_header(url),
            "user-agent": USER_AGENT,
            "accept-encoding": "identity",
        }
        self._most = connections
        self.answer_seconds: float | None = None
        # The last one used is the first one taken, so that the others can be closed as idle.
        self._idle: list[Connection] = []
        # Held from outside, so that no garbage collection finds an open socket first.
        weakref.finalize(self, _close_all, self._idle).atexit = False

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
        head = self._head(method, url, headers or {}, body)
        sent: WireBody = (
            body
            if isinstance(body, IN_MEMORY)
            else ExactBody(body, _declared_length(headers or {}))
        )
        connection = self._taken()
        exchange = partial(self._exchanged, method=method, head=head, body=sent, into=into)
        try:
            return exchange(connection)
        except TransportError as error:
            # A server closes what it finds idle, just when it is used again: nothing has failed.
            idled = connection.used and error.unanswered and method in _REPEATABLE
            if not idled:
                raise
        return exchange(Connection(self._address))

    def _exchanged(
        self,
        connection: Connection,
        method: str,
        head: bytes,
        body: WireBody,
        into: bytearray | None,
    ) -> Answer:
        keeps = False
        begun = time.monotonic()
        try:
            answer, keeps = connection.exchange(method, head, body, into)
            seconds = time.monotonic() - begun
            self.answer_seconds = min(self.answer_seconds or seconds, seconds)
        finally:
            if keeps and len(self._idle) < self._most:
                self._idle.append(connection)
            else:
                connection.close()
        return answer

    def _taken(self) -> Connection:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return Connection(self._address)
            if connection.is_usable():
                return connection
            connection.close()

    def _head(self, method: str, url: str, headers: Mapping[str, str], body: Body) -> bytes:
        target = url.removeprefix(self._origin) or "/"
        if not target.startswith("/"):
            target = f"/{target}" if target.startswith("?") else _other_host(url)
        named = {**self._always, **{name.lower(): text for name, text in headers.items()}}
        if isinstance(body, bytes | bytearray | memoryview) and (body or method in ("PUT", "POST")):
            named["content-length"] = str(len(body))
        lines = [f"{method} {target} HTTP/1.1"]
        lines += [f"{name}: {text}" for name, text in named.items()]
        text = "\r\n".join([*lines, "", ""])
        # A line break in a name or value would begin a header, or a request, of somebody else's.
        if text.count("\n") != len(lines) + 1 or text.count("\r") != len(lines) + 1:
            raise ValueError("a header with a line break")
        return text.encode("latin-1")


def _declared_length(headers: Mapping[str, str]) -> int:
    return next(int(text) for name, text in headers.items() if name.lower() == "content-length")


def _close_all(connections: list[Connection]) -> None:
    while connections:
        connections.pop().close()


def _other_host(url: str) -> str:
    raise ValueError(f"a URL of another host: {urlsplit(url).netloc}")


class _ProxiedPool:
    """Connections through a proxy, which urllib3 knows how to talk to."""

    def __init__(
        self, proxy: str, ca_bundle: str | None, connections: int, stall_seconds: float
    ) -> None:
        import urllib3

        self.answer_seconds: float | None = None
        self._http = urllib3.ProxyManager(
            proxy,
            maxsize=connections,
            retries=False,
            timeout=urllib3.Timeout(
                connect=min(CONNECT_TIMEOUT_SECONDS, stall_seconds), read=stall_seconds
            ),
            headers={"User-Agent": USER_AGENT},
            blocksize=SLICE_BYTES,
            ca_certs=ca_bundle,
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
        sent: Any = body
        if isinstance(body, bytes | bytearray | memoryview):
            sent = bytes(body) or None
        else:
            body.seek(0)
        answer = self._http.request(
            method,
            url,
            body=sent,
            # urllib3 would leave its own defaults out.
            headers={**self._http.headers, **(headers or {})},
            redirect=False,
            decode_content=False,
        )
        named = {name.lower(): text for name, text in answer.headers.items()}
        return Answer(answer.status, named, answer.data)


def _proxy_for(url: str) -> str | None:
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    if proxy_bypass(parts.netloc):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return proxy if not proxy or "://" in proxy else f"http://{proxy}"


def _tls(ca_bundle: str | None) -> SSLContext:
    import ssl

    context = ssl.create_default_context(cafile=ca_bundle)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _fallback_bundle() -> str | None:
    """Return botocore's own CAs where the system has none, as some Pythons of macOS."""
    import ssl

    system = ssl.get_default_verify_paths()
    if system.cafile or system.capath:
        return None
    from importlib.util import find_spec

    found = find_spec("botocore")
    bundle = Path(found.origin).with_name("cacert.pem") if found and found.origin else None
    return str(bundle) if bundle is not None and bundle.exists() else None
