"""Connections are used again where that is safe, and no request is sent twice that must not be."""

from __future__ import annotations

import gc
import io
import os
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator_cli import __version__
from orchestrator_cli.core.base.errors import AccessError, OrchestratorError, UsageError
from orchestrator_cli.core.base.rate_limiter import RateLimiter, ThrottledReader
from orchestrator_cli.core.http import wire
from orchestrator_cli.core.http.framing import TransportError
from orchestrator_cli.core.http.pool import HttpPool, make_pool
from orchestrator_cli.core.http.request_body import Body
from tests.support.certificates import Certificate
from tests.support.scripted import Peer, Scripted, scripted, serve_on

METHODS = ["GET", "HEAD", "PUT", "DELETE", "POST"]
REPEATABLE = ["GET", "HEAD", "PUT", "DELETE"]


@pytest.fixture(params=["plain", "tls"])
def tls(request: pytest.FixtureRequest, certificate: Certificate) -> Certificate | None:
    return certificate if request.param == "tls" else None


def pool_of(
    server: Scripted, tls: Certificate | None = None, connections: int = 4, seconds: float = 20
) -> HttpPool:
    ca_file = str(tls.file) if tls else None
    return make_pool(server.url, ca_file, connections, seconds, proxied=False)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# --- requests ------------------------------------------------------------------------------


def test_what_a_request_says() -> None:
    with scripted(serve_on) as server:
        pool = pool_of(server)
        answer = pool.request("GET", f"{server.url}/a/b%20c?x=1&y", headers={"X-Amz-Date": "d"})
        assert (answer.status, answer.data) == (200, b"/a/b%20c?x=1&y")
    (received,) = server.requests
    assert (received.method, received.target, received.body) == ("GET", "/a/b%20c?x=1&y", b"")
    assert received.headers == [
        ("host", server.url.removeprefix("http://")),
        ("user-agent", f"orchestrator/{__version__}"),
        ("accept-encoding", "identity"),
        ("x-amz-date", "d"),
    ]


@pytest.mark.parametrize(
    ("path", "target"),
    [("", "/"), ("/", "/"), ("?list-type=2", "/?list-type=2"), ("/?a=b", "/?a=b"), ("//a", "//a")],
)
def test_what_a_url_asks_for(path: str, target: str) -> None:
    with scripted(serve_on) as server:
        pool_of(server).request("GET", server.url + path)
    assert server.requests[0].target == target


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://s3.example.test", "s3.example.test"),
        ("http://s3.example.test:80", "s3.example.test"),
        ("https://s3.example.test:443", "s3.example.test"),
        ("http://s3.example.test:443", "s3.example.test:443"),
        ("http://S3.Example.test:9000", "s3.example.test:9000"),
        ("http://[::1]:9000", "[::1]:9000"),
        ("http://user:hunter2@s3.example.test:9000", "s3.example.test:9000"),
    ],
)
def test_the_host_is_named_without_the_port_that_goes_without_saying(
    url: str, host: str, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = certificate if url.startswith("https") else None
    with scripted(serve_on, tls=tls) as server:
        here = socket.getaddrinfo("127.0.0.1", int(server.url.rpartition(":")[2]))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: here[:1])
        make_pool(url, str(certificate.file), proxied=False).request("GET", f"{url}/k")
    assert server.requests[0].header("host") == host


def test_an_ipv6_literal_is_reached() -> None:
    try:
        opened = scripted(serve_on, host="::1")
        with opened as server:
            assert pool_of(server).request("GET", f"{server.url}/a").data == b"/a"
            assert server.requests[0].header("host") == server.url.removeprefix("http://")
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")


def test_a_scheme_in_capitals_is_the_same_scheme() -> None:
    with scripted(serve_on) as server:
        url = server.url.replace("http", "HTTP")
        assert make_pool(url, proxied=False).request("GET", f"{url}/a").data == b"/a"


@pytest.mark.parametrize(
    "other", ["http://other.example/a", "{}0/a", "{}.evil/a", "{}@evil/a", "/a"]
)
def test_a_url_of_another_host_is_a_defect(other: str) -> None:
    with scripted(serve_on) as server, pytest.raises(ValueError, match="another host"):
        pool_of(server).request("GET", other.format(server.url))
    assert server.connections == 0


@pytest.mark.parametrize(
    "url",
    ["ftp://host/", "http://", "http://host:port/", "http://host:0", "http://[::1", "", "host"],
)
def test_what_is_no_url_of_a_server(url: str) -> None:
    with pytest.raises(UsageError, match="names no server"):
        make_pool(url, proxied=False)


@pytest.mark.parametrize(
    "text", ["a\r\nx-injected: 1", "a\n", "\ra", "a\0b", "a\r\n\r\nGET / HTTP/1.1", "ключ"]
)
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("x-amz-meta-a", "the header x-amz-meta-a has"),
        ("Authorization", "the credentials have"),
        ("x-amz-security-token", "the credentials have"),
    ],
)
def test_no_header_can_be_made_into_two(name: str, said: str, text: str) -> None:
    with scripted(serve_on) as server, pytest.raises(OrchestratorError, match=said) as caught:
        pool_of(server).request("GET", f"{server.url}/", headers={name: text})
    assert server.connections == 0
    assert type(caught.value) is (UsageError if "header" in said else AccessError)
    assert "ключ" not in caught.value.message


@pytest.mark.parametrize(
    "path", ["/a b", "/a\r\nx: y", "/a HTTP/1.1\r\n\r\nGET /b", "/a\n", "/\u20ac"]
)
def test_no_url_can_be_made_into_two(path: str) -> None:
    with scripted(serve_on) as server, pytest.raises(UsageError, match="the URL has"):
        pool_of(server).request("GET", server.url + path)
    assert server.connections == 0


def test_a_name_with_a_line_break_is_refused_too() -> None:
    with scripted(serve_on) as server, pytest.raises(UsageError):
        pool_of(server).request("GET", f"{server.url}/", headers={"a\r\nb": "c"})
    assert server.connections == 0


# --- bodies --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 5, 300_000])
def test_the_length_is_always_right(size: int, tls: Certificate | None) -> None:
    data = os.urandom(size)
    pace = RateLimiter(1 << 40)
    bodies: list[Body] = [
        data,
        bytearray(data),
        memoryview(data),
        io.BytesIO(data),
        ThrottledReader(data, pace),
    ]
    wrong = {"Content-Length": str(size + 1)}
    right = {"Content-Length": str(size)}
    with scripted(serve_on, tls=tls) as server:
        pool = pool_of(server, tls)
        for body in bodies:
            headers = right if isinstance(body, io.BytesIO) else wrong if size else {}
            pool.request("PUT", f"{server.url}/a", headers=headers, body=body)
            pool.request("POST", f"{server.url}/a", headers=headers, body=body)
    assert [one.body == data for one in server.requests] == [True] * 2 * len(bodies)
    assert {one.header("content-length") for one in server.requests} == {str(size)}
    assert server.connections == 1


def test_a_body_of_unknown_length_is_a_defect() -> None:
    with scripted(serve_on) as server, pytest.raises(ValueError, match="invalid literal"):
        pool_of(server).request("PUT", f"{server.url}/a", body=io.BytesIO(b"hello"))
    assert server.connections == 0


# --- one request after the other -------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_connection_is_used_again(method: str, tls: Certificate | None) -> None:
    def serve(peer: Peer) -> None:
        while True:
            body = peer.request().target.encode()
            length = f"Content-Length: {len(body)}"
            peer.send(f"HTTP/1.1 200 OK\r\n{length}\r\n\r\n".encode())
            peer.send(b"" if method == "HEAD" else body)

    with scripted(serve, tls=tls) as server:
        pool = pool_of(server, tls)
        for number in range(5):
            answer = pool.request(method, f"{server.url}/{number}", body=b"x" * 20_000)
            assert answer.data == (b"" if method == "HEAD" else b"/%d" % number)
    assert server.connections == 1


LAST_CHUNKS = b"\r\n2\r\nok\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n" + LAST_CHUNKS,
    ],
)
def test_one_that_may_end_is_not_used_again(answer: bytes, tls: Certificate | None) -> None:
    def once(peer: Peer) -> None:
        peer.request()
        peer.send(answer)
        peer.wait()

    with scripted(once, tls=tls) as server:
        pool = pool_of(server, tls)
        assert [pool.request("GET", f"{server.url}/").data for _ in range(3)] == [b"ok"] * 3
    assert server.connections == 3


SPOOFED = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nspoofed"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("when", ["at once", "later"])
@pytest.mark.parametrize("size", [0, 5, 40_000])
def test_bytes_that_nobody_asked_for_are_no_answer(
    when: str, method: str, size: int, tls: Certificate | None
) -> None:
    """Nor after HEAD, to which some servers send a body all the same."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
    body = b"" if method == "HEAD" else b"x" * size

    def spoof(peer: Peer) -> None:
        peer.request()
        if when == "at once":
            peer.send(head + body + SPOOFED)
        else:
            peer.send(head + body)
            received.wait(20)
            peer.send(SPOOFED)
        sent.set()
        peer.wait()

    received, sent = threading.Event(), threading.Event()
    with scripted(spoof, serve_on, tls=tls) as server:
        pool = pool_of(server, tls)
        assert pool.request(method, f"{server.url}/1").data == body
        received.set()
        assert sent.wait(20)
        assert pool.request("GET", f"{server.url}/2").data == b"/2"


def test_as_many_stay_open_as_may(tls: Certificate | None) -> None:
    together = threading.Barrier(5)

    def serve(peer: Peer) -> None:
        peer.request()
        together.wait(20)
        peer.answer(b"ok")
        serve_on(peer)

    with scripted(serve, tls=tls) as server, ThreadPoolExecutor(5) as threads:
        pool = pool_of(server, tls, connections=2)
        for _ in threads.map(lambda _: pool.request("GET", f"{server.url}/"), range(5)):
            pass
        assert server.connections == 5
        wait_until(lambda: sum(thread_lives(peer) for peer in server.peers) == 2)
        for _ in range(4):
            pool.request("GET", f"{server.url}/")
    assert server.connections == 5


def thread_lives(peer: Peer) -> bool:
    return peer.socket.fileno() >= 0


def test_many_threads_share_a_pool(tls: Certificate | None) -> None:
    with scripted(serve_on, tls=tls) as server, ThreadPoolExecutor(64) as threads:
        pool = pool_of(server, tls, connections=64)

        def ask(number: int) -> bool:
            url, body = f"{server.url}/{number}", b"%d" % number * 1000
            return pool.request("PUT", url, body=body).data == b"/%d" % number

        assert all(threads.map(ask, range(1000)))
    assert server.connections <= 64
    assert sorted(one.body[: len(one.target) - 1] for one in server.requests) == sorted(
        b"%d" % number for number in range(1000)
    )


# --- connections that the server has closed --------------------------------------------------


def serve_once(peer: Peer) -> None:
    peer.answer(peer.request().target.encode())
    peer.end()


def serve_once_and_vanish(peer: Peer) -> None:
    """As a server that is stopped: TLS does not come to its end."""
    peer.answer(peer.request().target.encode())


def serve_once_and_reset(peer: Peer) -> None:
    peer.answer(peer.request().target.encode())
    peer.reset()


ENDS = [serve_once, serve_once_and_vanish, serve_once_and_reset]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("method", METHODS)
def test_one_that_was_closed_while_idle_is_replaced(
    method: str, end: Callable[[Peer], None], tls: Certificate | None
) -> None:
    with scripted(end, end, serve_on, tls=tls) as server:
        pool = pool_of(server, tls)
        pool.request("GET", f"{server.url}/1")
        wait_until(lambda: not any(map(thread_lives, server.peers)))
        assert pool.request("GET", f"{server.url}/2").data == b"/2"
        wait_until(lambda: not any(map(thread_lives, server.peers)))
        pool.request("PUT", f"{server.url}/3", body=b"x")
        assert pool.request(method, f"{server.url}/4", body=b"y").status == 200 or method == "HEAD"
    sent = [one.target for one in server.requests]
    assert sent == ["/1", "/2", "/3", "/4"]


def close_on_second(peer: Peer) -> None:
    """Take a second request and close: the race that no look beforehand can win."""
    peer.answer(peer.request().target.encode())
    peer.request()


@pytest.mark.parametrize("method", REPEATABLE)
def test_one_that_is_closed_when_it_is_used_again_is_replaced(
    method: str, tls: Certificate | None
) -> None:
    def serve(peer: Peer) -> None:
        peer.request()
        peer.answer(b"" if method == "HEAD" else b"ok")

    body = b"x" * 50_000
    with scripted(close_on_second, serve, tls=tls) as server:
        pool = pool_of(server, tls)
        pool.request("GET", f"{server.url}/1")
        opened = io.BytesIO(body)
        opened.read(17)
        length = {"content-length": str(len(body))}
        answer = pool.request(method, f"{server.url}/2", headers=length, body=opened)
        assert answer.status == 200
    assert [one.target for one in server.requests] == ["/1", "/2", "/2"]
    assert [one.body for one in server.requests[1:]] == [body, body]


def test_a_post_is_not_sent_twice(tls: Certificate | None) -> None:
    with scripted(close_on_second, serve_on, tls=tls) as server:
        pool = pool_of(server, tls)
        pool.request("GET", f"{server.url}/1")
        with pytest.raises(TransportError):
            pool.request("POST", f"{server.url}/2", body=b"x")
    assert [one.target for one in server.requests] == ["/1", "/2"]


def test_a_fresh_connection_that_is_closed_is_an_error(tls: Certificate | None) -> None:
    def leave(peer: Peer) -> None:
        peer.request()

    with scripted(leave, tls=tls) as server:
        pool = pool_of(server, tls)
        with pytest.raises(TransportError):
            pool.request("GET", f"{server.url}/1")
        assert len(server.requests) == 1
    # Nor is one that fails again tried a third time.
    with scripted(close_on_second, leave, tls=tls) as server:
        pool = pool_of(server, tls)
        pool.request("GET", f"{server.url}/1")
        with pytest.raises(TransportError):
            pool.request("GET", f"{server.url}/2")
        assert len(server.requests) == 3


@pytest.mark.parametrize("begun", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n"])
def test_what_was_answered_in_part_is_not_sent_again(begun: bytes) -> None:
    def begin(peer: Peer) -> None:
        peer.answer(peer.request().target.encode())
        peer.request()
        peer.send(begun)

    with scripted(begin, serve_on) as server:
        pool = pool_of(server)
        pool.request("GET", f"{server.url}/1")
        with pytest.raises(TransportError):
            pool.request("PUT", f"{server.url}/2", body=b"x")
    assert len(server.requests) == 2


def test_what_times_out_is_not_sent_again() -> None:
    def stall(peer: Peer) -> None:
        peer.answer(peer.request().target.encode())
        peer.request()
        peer.wait()

    with scripted(stall, serve_on) as server:
        pool = pool_of(server, seconds=0.2)
        pool.request("GET", f"{server.url}/1")
        with pytest.raises(TransportError, match="timed out"):
            pool.request("PUT", f"{server.url}/2", body=b"x")
    assert len(server.requests) == 2


def test_after_a_restart_of_the_server_every_thread_goes_on(tls: Certificate | None) -> None:
    together = threading.Barrier(8)

    def first(peer: Peer) -> None:
        peer.request()
        together.wait(20)
        peer.answer(b"ok")
        peer.request()  # and end, as a server that is stopped

    with scripted(*[first] * 8, serve_on, tls=tls) as server, ThreadPoolExecutor(8) as threads:
        pool = pool_of(server, tls, connections=8)

        def ask(number: int) -> int:
            return pool.request("PUT", f"{server.url}/{number}", body=b"x").status

        assert list(threads.map(ask, range(8))) == [200] * 8
        assert list(threads.map(ask, range(16))) == [200] * 16


def test_an_idle_one_that_is_forgotten_between_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forwarders drop what is idle for minutes and tell nobody: each use would cost a time-out."""
    with scripted(serve_on) as server:
        pool = pool_of(server)
        pool.request("GET", f"{server.url}/")
        pool.request("GET", f"{server.url}/")
        assert server.connections == 1
        monkeypatch.setattr(wire, "_LONGEST_IDLE_SECONDS", 0)
        pool.request("GET", f"{server.url}/")
        assert server.connections == 2


def test_an_unasked_408_is_no_answer(tls: Certificate | None) -> None:
    """Load balancers send it to an idle connection before they close it."""

    def idle_out(peer: Peer) -> None:
        peer.answer(peer.request().target.encode())
        peer.answer(b"", "408 Request Timeout", "Connection: close")

    with scripted(idle_out, serve_on, tls=tls) as server:
        pool = pool_of(server, tls)
        pool.request("GET", f"{server.url}/1")
        wait_until(lambda: not any(map(thread_lives, server.peers)))
        assert pool.request("POST", f"{server.url}/2", body=b"x").data == b"/2"


# --- what is left ----------------------------------------------------------------------------


def test_a_pool_that_is_dropped_leaves_no_socket_open(tls: Certificate | None) -> None:
    together = threading.Barrier(4)

    def serve(peer: Peer) -> None:
        peer.request()
        together.wait(20)
        peer.answer(b"ok")
        peer.wait()

    with warnings.catch_warnings(record=True) as caught, scripted(serve, tls=tls) as server:
        warnings.simplefilter("always")

        def use() -> None:
            pool = pool_of(server, tls)
            # In a cycle, which only the garbage collector finds.
            cycle: list[object] = [pool]
            cycle.append(cycle)
            with ThreadPoolExecutor(4) as threads:
                list(threads.map(lambda _: pool.request("GET", f"{server.url}/"), range(4)))

        asking = threading.Thread(target=use)
        asking.start()
        asking.join()
        gc.collect()
        wait_until(lambda: not any(map(thread_lives, server.peers)))
    assert [one for one in caught if issubclass(one.category, ResourceWarning)] == []


def test_a_request_that_is_interrupted_leaves_its_connection_behind(
    tls: Certificate | None,
) -> None:
    class Interrupted(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise KeyboardInterrupt

    with scripted(serve_on, tls=tls) as server:
        pool = pool_of(server, tls)
        pool.request("GET", f"{server.url}/1")
        length = {"content-length": "5"}
        with pytest.raises(KeyboardInterrupt):
            pool.request("PUT", f"{server.url}/2", headers=length, body=Interrupted(b"hello"))
        # Its half of a request must not begin the next one.
        assert pool.request("PUT", f"{server.url}/3", body=b"x").data == b"/3"
    assert server.connections == 2


# --- trust -----------------------------------------------------------------------------------


def test_plain_http_does_not_ask_for_cas(tmp_path: Path) -> None:
    with scripted(serve_on) as server:
        pool = make_pool(server.url, str(tmp_path / "none.pem"), proxied=False)
        assert pool.request("GET", f"{server.url}/a").data == b"/a"


def test_a_ca_bundle_that_is_none_is_said(tmp_path: Path) -> None:
    missing, empty, garbage = (tmp_path / name for name in ("missing", "empty", "garbage"))
    empty.write_text("")
    garbage.write_bytes(bytes(range(256)))
    said = {missing: "No such file", empty: "no certificate", garbage: "no certificate"}
    for file, words in said.items():
        with pytest.raises(UsageError, match=words) as caught:
            make_pool("https://s3.example.test", str(file), proxied=False)
        assert str(file) in caught.value.message
        assert "AWS_CA_BUNDLE" in str(caught.value.hint)


def test_ssl_cert_file_is_the_systems(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))
    with scripted(serve_on, tls=certificate) as server:
        pool = make_pool(server.url, proxied=False)
        assert pool.request("GET", f"{server.url}/a").data == b"/a"


@pytest.mark.parametrize("directory", ["missing", "empty"])
def test_where_the_system_has_no_cas_botocores_are_trusted(
    directory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    from orchestrator_cli.core.http.trust import tls_context

    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / directory))
    assert ssl.create_default_context().cert_store_stats()["x509_ca"] == 0
    assert tls_context(None).cert_store_stats()["x509_ca"] > 50
