"""Through a proxy everything is the same, its credentials are sent to it alone and never shown."""

from __future__ import annotations

import base64
import io
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import pytest

from orchestrator_cli import __version__
from orchestrator_cli.core.base.errors import (
    AccessError,
    OrchestratorError,
    UnavailableError,
    UsageError,
)
from orchestrator_cli.core.http import framing
from orchestrator_cli.core.http.framing import MalformedError
from orchestrator_cli.core.http.pool import HttpPool, make_pool
from orchestrator_cli.core.http.request_body import Body
from orchestrator_cli.core.s3.errors import map_exception
from orchestrator_cli.core.s3.request import error_from_response
from tests.conftest import RunCommand
from tests.support.certificates import Certificate
from tests.support.scripted import Peer, Scripted, scripted, serve_on

HOST = "s3.example.test"  # has no address: only a proxy can reach it
SECRET = "hunter2%40home"
BASIC = "Basic " + base64.b64encode(b"us:er:hunter2@home").decode()


def tunnel_to(server: Scripted, peer: Peer) -> None:
    """Do what CONNECT asks for, whatever the name."""
    received = peer.request()
    assert received.method == "CONNECT"
    host, _, port = server.url.rpartition("//")[2].rpartition(":")
    with socket.create_connection((host, int(port)), 20) as upstream:
        peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        back = threading.Thread(target=_pump, args=(upstream, peer.socket))
        back.start()
        _pump(peer.socket, upstream)
        back.join(20)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@dataclass
class Route:
    """A way to a server through a proxy."""

    url: str
    proxy: Scripted
    server: Scripted
    pool: HttpPool


@pytest.fixture(params=["http", "https", "http by https", "https by https"])
def route(
    request: pytest.FixtureRequest, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Route]:
    target, _, way = request.param.partition(" by ")
    proxy_tls = certificate if way else None
    server_tls = certificate if target == "https" else None
    with scripted(serve_on, tls=server_tls) as server:
        serve = partial(tunnel_to, server) if server_tls else serve_on
        with scripted(serve, tls=proxy_tls) as proxy:
            monkeypatch.setenv(f"{target}_proxy", proxy.url.replace("//", f"//us%3Aer:{SECRET}@"))
            url = f"{target}://{HOST}:9000"
            pool = make_pool(url, str(certificate.file), 4)
            yield Route(url, proxy, server if server_tls else proxy, pool)


def test_requests_go_through_the_proxy(route: Route) -> None:
    data = os.urandom(100_000)
    bodies: list[Body] = [b"", data, bytearray(data), memoryview(data), io.BytesIO(data)]
    for body in bodies:
        size = len(body) if isinstance(body, bytes | bytearray | memoryview) else len(data)
        length = {"Content-Length": str(size), "x-a": "b"}
        answer = route.pool.request("PUT", f"{route.url}/a%20b?c=d", headers=length, body=body)
        assert answer.status == 200
        assert bytes(answer.data).endswith(b"/a%20b?c=d")
    sent = [one for one in route.server.requests if one.method == "PUT"]
    assert [one.body for one in sent] == [b"", *[data] * 4]
    for one in sent:
        assert one.header("host") == f"{HOST}:9000"
        assert one.header("user-agent") == f"orchestrator/{__version__}"
        assert one.header("accept-encoding") == "identity"
        assert one.header("transfer-encoding") is None
        assert one.header("x-a") == "b"
    assert route.proxy.connections == 1


def test_the_proxys_credentials_go_to_the_proxy_only(route: Route) -> None:
    route.pool.request("GET", f"{route.url}/a")
    assert route.proxy.requests[0].header("proxy-authorization") == BASIC
    if route.server is not route.proxy:
        assert route.server.requests[0].header("proxy-authorization") is None


def test_a_proxy_without_credentials_is_sent_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(serve_on) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.removeprefix("http://"))
        make_pool(f"http://{HOST}").request("GET", f"http://{HOST}/a")
    assert proxy.requests[0].target == f"http://{HOST}/a"
    assert proxy.requests[0].header("proxy-authorization") is None


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_which_variable_names_the_proxy(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(serve_on) as proxy:
        monkeypatch.setenv(variable, proxy.url)
        make_pool(f"http://{HOST}").request("GET", f"http://{HOST}/a")
        assert len(proxy.requests) == 1


@pytest.mark.parametrize("hosts", ["127.0.0.1", "*", ".example,127.0.0.1", "127.0.0.1:{port}"])
def test_a_host_of_no_proxy_is_reached_without(hosts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(serve_on) as server:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("NO_PROXY", hosts.format(port=server.url.rpartition(":")[2]))
        answer = make_pool(server.url).request("GET", f"{server.url}/a")
        assert answer.data == b"/a"
    assert server.requests[0].target == "/a"


def test_who_knows_that_there_is_no_proxy_asks_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with scripted(serve_on) as server:
        assert make_pool(server.url, proxied=False).request("GET", f"{server.url}/a").status == 200


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "SOCKS4", "ftp"])
def test_a_proxy_of_another_kind_is_a_setting_that_cannot_be_used(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", f"{scheme}://user:{SECRET}@127.0.0.1:1080")
    with pytest.raises(UsageError, match=scheme.lower()) as caught:
        make_pool(f"http://{HOST}")
    assert "HTTPS_PROXY" in str(caught.value.hint)
    assert "hunter2" not in f"{caught.value.message} {caught.value.hint}"


def test_a_command_says_so_too(
    cli: RunCommand, s3env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = {"ALL_PROXY": "socks5://127.0.0.1:1080", "NO_PROXY": "", "no_proxy": ""}
    result = cli("ls", env=proxy).expect(2)
    assert "socks5" in result.err


# --- refusals --------------------------------------------------------------------------------


def failure(request: Callable[[], object]) -> OrchestratorError:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - urllib3's or ours
        request()
    error = map_exception(raised.value, "read of k")
    assert isinstance(error, OrchestratorError)
    text = f"{error} {error.message} {error.hint}"
    for secret in ("hunter2", "us%3Aer", "us:er", "://"):
        assert secret not in text
    return error


@pytest.fixture
def refused(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., OrchestratorError]:
    def ask(scheme: str, status: str) -> OrchestratorError:
        def refuse(peer: Peer) -> None:
            peer.request()
            peer.answer(b"<html>no</html>", status, "Content-Type: text/html")

        with scripted(refuse) as proxy:
            named = proxy.url.replace("//", f"//us%3Aer:{SECRET}@")
            monkeypatch.setenv(f"{scheme}_proxy", named)
            url = f"{scheme}://{HOST}/b/k"
            pool = make_pool(url, str(certificate.file))

            def get() -> None:
                raise error_from_response(pool.request("GET", url), "read of k")

            return failure(get)

    return ask


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_other_credentials(
    scheme: str, refused: Callable[..., OrchestratorError]
) -> None:
    error = refused(scheme, "407 Proxy Authentication Required")
    assert type(error) is AccessError
    assert error.message == "read of k: the proxy asks for credentials"
    assert not error.retryable


def test_a_proxy_that_lets_nobody_through(refused: Callable[..., OrchestratorError]) -> None:
    error = refused("https", "403 Forbidden")
    assert error.message == "read of k: the proxy answered 403"
    assert not error.retryable
    assert refused("https", "503 Service Unavailable").retryable


def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        for scheme in ("http", "https"):
            port = bound.getsockname()[1]
            monkeypatch.setenv(f"{scheme}_proxy", f"http://us%3Aer:{SECRET}@127.0.0.1:{port}")
            url = f"{scheme}://{HOST}/b/k"
            error = failure(partial(make_pool(url).request, "GET", url))
            assert isinstance(error, UnavailableError)
            assert error.message == "read of k: connection refused"
            assert error.retryable


def test_a_proxy_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(Peer.wait) as proxy:
        for scheme in ("http", "https"):
            monkeypatch.setenv(f"{scheme}_proxy", proxy.url)
            url = f"{scheme}://{HOST}/b/k"
            pool = make_pool(url, stall_seconds=0.2)
            error = failure(partial(pool.request, "GET", url))
            assert error.message == "read of k: no answer in time"


def test_a_certificate_behind_a_proxy_is_looked_at(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        scripted(Peer.wait, tls=certificate) as server,
        scripted(partial(tunnel_to, server)) as proxy,
    ):
        monkeypatch.setenv("https_proxy", proxy.url)
        url = f"https://{HOST}/b/k"
        error = failure(partial(make_pool(url).request, "GET", url))
    assert error.message == "read of k: the server's TLS certificate is not trusted"


# --- answers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", "the connection broke"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            "the connection broke",
        ),
        # urllib3 takes half a head for a whole one.
        (b"HTTP/1.1 200 OK\r\nContent-Le", "the answer does not say where it ends"),
        (b"HTTP/1.1 200 OK\r\n", "the answer does not say where it ends"),
    ],
)
def test_an_answer_that_breaks_off_is_none(
    answer: bytes, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(peer: Peer) -> None:
        peer.request()
        peer.send(answer)

    with scripted(cut) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        error = failure(partial(make_pool(f"http://{HOST}").request, "GET", f"http://{HOST}/k"))
    assert isinstance(error, UnavailableError)
    assert error.message == f"read of k: {words}"


def test_more_than_was_ever_asked_for_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            peer.send(b"100000\r\n" + bytes(0x100000) + b"\r\n")

    monkeypatch.setattr(framing, "MOST_BODY_BYTES", 4 * 1024 * 1024)
    with scripted(endless) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        pool = make_pool(f"http://{HOST}")
        with pytest.raises(MalformedError, match="longer than"):
            pool.request("GET", f"http://{HOST}/k")


def test_what_is_stored_compressed_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    def packed(peer: Peer) -> None:
        while True:
            peer.request()
            peer.answer(b"\x1f\x8bno gzip", "200 OK", "Content-Encoding: gzip")

    with scripted(packed) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        pool = make_pool(f"http://{HOST}")
        for _ in range(2):
            answer = pool.request("GET", f"http://{HOST}/k")
            assert answer.data == b"\x1f\x8bno gzip"
            assert answer.headers["content-encoding"] == "gzip"
    assert proxy.connections == 1


def test_headers_that_cannot_be_sent_are_refused_here_too(route: Route) -> None:
    with pytest.raises(UsageError):
        route.pool.request("GET", f"{route.url}/a", headers={"x-amz-meta-a": "b\r\nc: d"})
    assert route.proxy.connections == 0


def test_a_body_that_is_shorter_than_it_says_is_an_error(route: Route) -> None:
    length = {"content-length": "5"}
    with pytest.raises(ValueError, match="another size"):
        route.pool.request("PUT", f"{route.url}/a", headers=length, body=io.BytesIO(b"hell"))
    assert [one for one in route.server.requests if one.method == "PUT"] == []


def test_commands_go_through_a_proxy(
    cli: RunCommand, s3env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support.proxy import run_proxy

    # Nobody listens there, but the proxy knows where the server is.
    with run_proxy(s3env["AWS_ENDPOINT_URL"]) as proxy:
        env = {"AWS_ENDPOINT_URL": "http://localhost:9", "HTTP_PROXY": proxy.endpoint_url}
        execution = cli("new", env=env).ok().out.strip()
        cli("upload", execution, "-", "--name", "logs/stdout.log", stdin=b"a log\n", env=env).ok()
        assert cli("logs", execution, env=env).ok().out == "a log\n"
        assert proxy.count() > 3
