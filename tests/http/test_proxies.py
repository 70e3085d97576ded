"""Through a proxy everything is the same, its credentials are sent to it alone and never shown."""

from __future__ import annotations

import base64
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from orchestrator_cli.core.http.proxy import InvalidProxyError, Proxy, proxy_for
from orchestrator_cli.core.http.transport import Body, Request, Transport, TransportError
from orchestrator_cli.core.http.transport import TransportErrorKind as Kind
from tests.http.conftest import MakeTransport
from tests.http.servers import BytesReader, port_of, refusing_port, relay, tunnel_to
from tests.support.servers.certificates import Certificate
from tests.support.servers.scripted import Peer, Scripted, scripted, serve_on

HOST = "s3.example.test"  # has no address: only a proxy can reach it
SECRET = "hunter2%40home"
BASIC = "Basic " + base64.b64encode(b"us:er:hunter2@home").decode()


def with_credentials(url: str) -> str:
    return url.replace("//", f"//us%3Aer:{SECRET}@")


@dataclass
class Route:
    """A way to a server through a proxy."""

    url: str
    proxy: Scripted
    server: Scripted
    transport: Transport


@pytest.fixture(params=["http", "https", "http by https", "https by https"])
def route(
    request: pytest.FixtureRequest, certificate: Certificate, make_transport: MakeTransport
) -> Iterator[Route]:
    target, _, way = request.param.partition(" by ")
    proxy_tls = certificate if way else None
    server_tls = certificate if target == "https" else None
    with scripted(serve_on, tls=server_tls) as server:
        serve = partial(tunnel_to, server) if server_tls else serve_on
        with scripted(serve, tls=proxy_tls) as proxy:
            transport = make_transport(proxies={f"{target}_proxy": with_credentials(proxy.url)})
            url = f"{target}://{HOST}:9000"
            yield Route(url, proxy, server if server_tls else proxy, transport)


def test_requests_go_through_the_proxy(route: Route) -> None:
    data = os.urandom(100_000)
    bodies: list[Body] = [b"", data, bytearray(data), memoryview(data), BytesReader(data)]
    for body in bodies:
        response = route.transport.send(
            Request("PUT", f"{route.url}/a%20b?c=d", {"x-a": "b"}, body=body)
        )
        assert response.status == 200
        assert response.body.endswith(b"/a%20b?c=d")
        assert "via" not in response.headers
    sent = [one for one in route.server.requests if one.method == "PUT"]
    assert [one.body for one in sent] == [b"", *[data] * 4]
    for one in sent:
        assert one.header("host") == f"{HOST}:9000"
        assert one.header("accept-encoding") == "identity"
        assert one.header("transfer-encoding") is None
        assert one.header("x-a") == "b"
    # libcurl does not use these again where the proxy speaks TLS and the server does not.
    is_used_again = route.url.startswith("https:") or route.proxy.url.startswith("http:")
    assert route.proxy.connections == (1 if is_used_again else len(bodies))


def test_the_proxys_credentials_go_to_the_proxy_only(route: Route) -> None:
    route.transport.send(Request("GET", f"{route.url}/a", {"authorization": "AWS4 signed"}))
    first = route.proxy.requests[0]
    assert first.header("proxy-authorization") == BASIC
    if route.server is not route.proxy:
        assert first.header("authorization") is None
        assert first.header("x-a") is None
        assert route.server.requests[0].header("proxy-authorization") is None


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_each_setting_of_a_proxy_is_heeded(name: str, make_transport: MakeTransport) -> None:
    with scripted(serve_on) as proxy:
        transport = make_transport(proxies={name: proxy.url.removeprefix("http://")})
        transport.send(Request("GET", f"http://{HOST}/a"))
    assert proxy.requests[0].target == f"http://{HOST}/a"
    assert proxy.requests[0].header("proxy-authorization") is None


def test_the_environment_is_not_read(
    make_transport: MakeTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    with refusing_port() as port, scripted(serve_on) as server:
        for name in ("http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        assert make_transport().send(Request("GET", f"{server.url}/a")).body == b"/a"
        monkeypatch.setenv("NO_PROXY", "*")
        monkeypatch.setenv("no_proxy", "*")
        proxied = make_transport(proxies={"http_proxy": server.url})
        proxied.send(Request("GET", f"http://{HOST}/a"))
    assert server.requests[1].target == f"http://{HOST}/a"


@pytest.mark.parametrize(
    ("url", "no_proxy", "is_proxied"),
    [
        ("http://127.0.0.1:9000/", "127.0.0.1", False),
        ("http://127.0.0.1:9000/", "127.0.0.1:9000", False),
        ("http://127.0.0.1:9000/", "127.0.0.1:9001", True),
        ("http://10.1.2.3/", "10.0.0.0/8", False),
        ("http://11.1.2.3/", "10.0.0.0/8", True),
        ("http://10.1.2.3/", "192.168.0.0/16, 10.1.2.0/24", False),
        ("http://[fd00::1]:9000/", "fd00::/8", False),
        ("http://[fd00::1]:9000/", "fd00::1", False),
        ("http://[fd00::1]:9000/", "[fd00::1]:9000", False),
        ("http://s3.example.test/", "10.0.0.0/8", True),
        ("http://s3.example.test/", "*", False),
        ("http://s3.example.test/", ".example.test", False),
        ("http://s3.example.test/", "*.example.test", False),
        ("http://s3.example.test/", "example.test", False),
        ("http://S3.EXAMPLE.test/", "Example.Test", False),
        ("http://s3.example.test/", "ample.test", True),
        ("http://s3.example.test/", "other,  example.test ,", False),
        ("http://s3.example.test/", "", True),
        ("http://s3.example.test/", "no/network", True),
    ],
)
def test_no_proxy_names_hosts_that_are_reached_directly(
    url: str, no_proxy: str, is_proxied: bool
) -> None:
    settings = {"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": no_proxy}
    assert (proxy_for(url, settings) is not None) is is_proxied


def test_lower_case_wins_and_an_empty_one_means_none() -> None:
    settings = {"HTTP_PROXY": "http://upper", "http_proxy": "http://lower:1"}
    assert proxy_for("http://a/", settings) == Proxy("http", "lower", 1)
    assert proxy_for("http://a/", {**settings, "http_proxy": ""}) is None
    assert proxy_for("https://a/", settings) is None
    assert proxy_for("http://a/", {"HTTP_PROXY": "http://upper"}) == Proxy("http", "upper", 80)
    assert proxy_for("http://a/", {}) is None


def test_the_credentials_of_a_proxy_are_not_in_what_is_shown() -> None:
    proxy = proxy_for("http://a/", {"all_proxy": "socks5h://us%3Aer:p%40ss@[::1]"})
    assert proxy is not None
    assert (proxy.username, proxy.password) == ("us:er", "p@ss")
    assert proxy.url == "socks5h://[::1]:1080"
    assert "p@ss" not in repr(proxy)


@pytest.mark.parametrize("named", ["ftp://user:hunter2@host", "http://host:port", "http://"])
def test_a_proxy_that_cannot_be_used_is_refused_without_its_password(
    named: str, transport: Transport
) -> None:
    with pytest.raises(InvalidProxyError) as caught:
        proxy_for("http://a/", {"http_proxy": named})
    assert "hunter2" not in str(caught.value)


def socks(server: Scripted, peer: Peer) -> None:
    """Speak as much of SOCKS 5 as it takes, and check the credentials."""

    def take(size: int) -> bytes:
        return peer.socket.recv(size, socket.MSG_WAITALL)

    methods = take(take(2)[1])
    assert b"\2" in methods
    peer.send(b"\5\2")
    assert take(take(2)[1]) == b"us:er"
    assert take(take(1)[0]) == b"hunter2@home"
    peer.send(b"\1\0")
    assert take(4) == b"\5\1\0\3"
    assert take(take(1)[0]) == HOST.encode()
    take(2)
    peer.send(b"\5\0\0\1\0\0\0\0\0\0")
    with socket.create_connection(("127.0.0.1", port_of(server)), 20) as upstream:
        relay(peer.socket, upstream)


def test_a_socks_proxy_resolves_the_name(
    make_transport: MakeTransport, tls: Certificate | None
) -> None:
    with scripted(serve_on, tls=tls) as server, scripted(partial(socks, server)) as proxy:
        named = with_credentials(proxy.url.replace("http", "socks5h"))
        transport = make_transport(proxies={"all_proxy": named})
        scheme = "https" if tls else "http"
        assert transport.send(Request("GET", f"{scheme}://{HOST}/a")).body == b"/a"


# --- refusals --------------------------------------------------------------------------------


def failure(transport: Transport, url: str) -> TransportError:
    with pytest.raises(TransportError) as caught:
        transport.send(Request("GET", url))
    error = caught.value
    for secret in ("hunter2", "us%3Aer", "us:er"):
        assert secret not in f"{error} {error!r}"
    assert HOST in str(error)
    return error


@pytest.fixture
def refused(make_transport: MakeTransport) -> Callable[[str, str], TransportError]:
    def ask(scheme: str, status: str) -> TransportError:
        def refuse(peer: Peer) -> None:
            peer.request()
            peer.answer(b"<html>no</html>", status, "Content-Type: text/html")

        with scripted(refuse) as proxy:
            transport = make_transport(proxies={f"{scheme}_proxy": with_credentials(proxy.url)})
            error = failure(transport, f"{scheme}://{HOST}/b/k")
            assert f"the proxy {proxy.url}" in str(error)
        return error

    return ask


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_other_credentials_is_a_final_error(
    scheme: str, refused: Callable[[str, str], TransportError]
) -> None:
    error = refused(scheme, "407 Proxy Authentication Required")
    assert error.kind is Kind.PROXY_AUTH
    assert "with status 407" in str(error)
    assert "asks for credentials" in str(error)
    assert not error.is_retryable


def test_a_proxy_that_lets_nobody_through_is_told_by_its_status(
    refused: Callable[[str, str], TransportError],
) -> None:
    error = refused("https", "403 Forbidden")
    assert error.kind is Kind.PROXY_REFUSED
    assert "with status 403" in str(error)
    assert not error.is_retryable
    error = refused("https", "503 Service Unavailable")
    assert "with status 503" in str(error)
    assert error.is_retryable


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there_is_named(scheme: str, make_transport: MakeTransport) -> None:
    with refusing_port() as port:
        proxy = with_credentials(f"http://127.0.0.1:{port}")
        transport = make_transport(proxies={f"{scheme}_proxy": proxy})
        error = failure(transport, f"{scheme}://{HOST}/b/k")
    assert error.kind is Kind.REFUSED
    assert str(error).startswith(f"connection refused by the proxy http://127.0.0.1:{port} (on the")


def test_a_proxy_whose_name_nobody_knows_is_named(make_transport: MakeTransport) -> None:
    # A name that is too long for one: nobody is asked for it.
    host = "a" * 64 + ".example"
    transport = make_transport(proxies={"http_proxy": f"http://{host}:3128"})
    error = failure(transport, f"http://{HOST}/b/k")
    assert error.kind is Kind.RESOLVE
    assert f"of the proxy http://{host}:3128 cannot" in str(error)


@pytest.mark.parametrize(
    ("scheme", "kind"), [("http", Kind.STALLED), ("https", Kind.CONNECT_TIMEOUT)]
)
def test_a_proxy_that_says_nothing_is_given_up(
    scheme: str, kind: Kind, make_transport: MakeTransport
) -> None:
    with scripted(Peer.wait) as proxy:
        transport = make_transport(
            proxies={"all_proxy": proxy.url},
            stall_timeout_seconds=0.2,
            connect_timeout_seconds=0.3,
        )
        assert failure(transport, f"{scheme}://{HOST}/b/k").kind is kind


def test_a_certificate_behind_a_proxy_is_looked_at(
    certificate: Certificate, make_transport: MakeTransport
) -> None:
    with (
        scripted(Peer.wait, tls=certificate) as server,
        scripted(partial(tunnel_to, server)) as proxy,
    ):
        transport = make_transport(ca_bundle=None, proxies={"https_proxy": proxy.url})
        error = failure(transport, f"https://{HOST}/b/k")
    assert error.kind is Kind.CERTIFICATE
    assert str(error).startswith(f"the TLS certificate of {HOST}:443 is not trusted")


def test_the_certificate_of_a_proxy_is_looked_at(
    certificate: Certificate, make_transport: MakeTransport
) -> None:
    with scripted(Peer.wait, tls=certificate) as proxy:
        transport = make_transport(ca_bundle=None, proxies={"https_proxy": proxy.url})
        error = failure(transport, f"https://{HOST}/b/k")
    assert error.kind is Kind.CERTIFICATE
    assert str(error).startswith(f"the TLS certificate of the proxy {proxy.url} is not trusted")


@pytest.mark.parametrize(
    ("reply", "kind", "is_retryable"),
    [
        (b"\5\xff", Kind.PROXY_AUTH, False),
        (b"\5\0\5\5\0\1\0\0\0\0\0\0", Kind.PROXY_REFUSED, True),
        (b"\5\0\5\2\0\1\0\0\0\0\0\0", Kind.PROXY_REFUSED, False),
    ],
)
def test_a_socks_proxy_that_refuses_says_whether_to_retry(
    reply: bytes, kind: Kind, is_retryable: bool, make_transport: MakeTransport
) -> None:
    def refuse(peer: Peer) -> None:
        peer.socket.recv(100)
        peer.send(reply[:2])
        if reply[2:]:
            peer.socket.recv(100)
            peer.send(reply[2:])
        peer.wait()

    with scripted(refuse) as proxy:
        named = proxy.url.replace("http", "socks5h")
        error = failure(make_transport(proxies={"all_proxy": named}), f"http://{HOST}/b/k")
    assert (error.kind, error.is_retryable) == (kind, is_retryable)
    assert named in str(error)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\n",
    ],
)
def test_an_answer_that_breaks_off_is_none(answer: bytes, make_transport: MakeTransport) -> None:
    def cut(peer: Peer) -> None:
        peer.request()
        peer.send(answer)

    with scripted(cut) as proxy:
        error = failure(make_transport(proxies={"http_proxy": proxy.url}), f"http://{HOST}/k")
    assert error.kind is Kind.TRUNCATED
    assert f"(through the proxy {proxy.url})" in str(error)
