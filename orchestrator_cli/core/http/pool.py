"""Connections to one server, used again and again; through a proxy where the environment says so.

About proxies, CAs and times it behaves as boto3 does.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping
from functools import partial
from typing import Protocol
from urllib.parse import SplitResult, urlsplit

from orchestrator_cli import __version__
from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.http.dial import Address
from orchestrator_cli.core.http.framing import TransportError
from orchestrator_cli.core.http.outgoing import prepare, render_head
from orchestrator_cli.core.http.request_body import Body, WireBody
from orchestrator_cli.core.http.trust import tls_context
from orchestrator_cli.core.http.url import host_of
from orchestrator_cli.core.http.wire import Answer, Connection

CONNECT_TIMEOUT_SECONDS = 10
# Between two reads or writes of one connection, not for a whole transfer.
STALL_TIMEOUT_SECONDS = 60
USER_AGENT = f"orchestrator/{__version__}"
_ALWAYS = {"user-agent": USER_AGENT, "accept-encoding": "identity"}
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
        is no bytes must be among the headers. A failing connection raises what
        `map_exception` makes an UnavailableError of.
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
    """Return a pool for the host of a URL, through the proxy that the environment names for it.

    Raises UsageError for what is no URL, a CA bundle without CAs, and a proxy of another kind.
    """
    parts = _server(url)
    times = min(CONNECT_TIMEOUT_SECONDS, stall_seconds), stall_seconds
    proxy = None
    if proxied:
        from orchestrator_cli.core.http.proxied import ProxiedPool, proxy_for

        proxy = proxy_for(url)
    secure = parts.scheme == "https" or (proxy or "").lower().startswith("https:")
    tls = tls_context(ca_bundle) if secure else None
    if proxy:
        return ProxiedPool(proxy, tls, connections, *times, _ALWAYS)
    port = parts.port or _PORTS[parts.scheme]
    address = Address(parts.hostname or "", port, tls, *times)
    return _DirectPool(origin_of(url), address, connections)


def origin_of(url: str) -> str:
    """Return what every URL of the same server begins with, as it is written in this one."""
    parts = urlsplit(url)
    return url[: len(parts.scheme) + len("://") + len(parts.netloc)]


def _server(url: str) -> SplitResult:
    """Take a URL apart. Raises UsageError where it names no server of HTTP."""
    try:
        parts = urlsplit(url)
        if parts.scheme in _PORTS and parts.hostname and parts.port != 0:
            return parts
    except ValueError:
        pass
    hint = "check the endpoint, and those of STS and of the container's credentials if they are set"
    raise UsageError("a URL that names no server of http:// or https://", hint=hint)


class _DirectPool:
    """Connections of our own."""

    def __init__(self, origin: str, address: Address, connections: int) -> None:
        """`origin` is what every URL begins with: scheme, host and port as they are written."""
        self._origin = origin
        self._address = address
        self._always = {"host": host_of(origin), **_ALWAYS}
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
        named, sent = prepare(method, self._always, headers or {}, body)
        head = render_head(method, self._target(url), named)
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

    def _target(self, url: str) -> str:
        target = url[len(self._origin) :]
        if not url.startswith(self._origin) or target[:1] not in ("/", "?", ""):
            raise ValueError(f"a URL of another host: {urlsplit(url).hostname}")
        return target if target[:1] == "/" else f"/{target}"


def _close_all(connections: list[Connection]) -> None:
    while connections:
        connections.pop().close()
