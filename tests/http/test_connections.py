"""Connections are used again where that is safe, and no request is sent twice that must not be."""

from __future__ import annotations

import errno
import gc
import os
import threading
import warnings
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import pytest

from orchestrator_cli.core.http.curl.driver import CurlDriver
from orchestrator_cli.core.http.curl.easy import EasyTransport
from orchestrator_cli.core.http.curl.options import ClientOptions
from orchestrator_cli.core.http.transport import Request, Transport, TransportError
from orchestrator_cli.core.http.transport import TransportErrorKind as Kind
from tests.http.conftest import MakeTransport
from tests.http.servers import BytesReader, wait_until
from tests.support.servers.certificates import Certificate
from tests.support.servers.scripted import Peer, Scripted, scripted, serve_on

METHODS = ["GET", "HEAD", "PUT", "DELETE", "POST"]
REPEATABLE = ["GET", "PUT", "DELETE"]


def serve_any(peer: Peer) -> None:
    """Answer as `serve_on` does, HEAD without a body."""
    while True:
        received = peer.request()
        body = b"" if received.method == "HEAD" else received.target.encode()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


def is_open(peer: Peer) -> bool:
    return peer.socket.fileno() >= 0


def all_are_closed(server: Scripted) -> bool:
    return not any(map(is_open, server.peers))


@pytest.mark.parametrize("method", METHODS)
def test_a_connection_is_used_again(
    method: str, transport: Transport, tls: Certificate | None
) -> None:
    with scripted(serve_any, tls=tls) as server:
        for number in range(5):
            response = transport.send(Request(method, f"{server.url}/{number}", body=b"x" * 20_000))
            assert response.body == (b"" if method == "HEAD" else b"/%d" % number)
    assert server.connections == 1


def test_one_kind_of_request_leaves_nothing_behind_for_the_next(transport: Transport) -> None:
    with scripted(serve_any) as server:
        for method, body in [(m, b) for m in METHODS for b in (b"", b"x" * 10)] * 3:
            transport.send(Request(method, f"{server.url}/a", {"x-a": "b"}, body=body))
            transport.send(Request("GET", f"{server.url}/a"))
    for sent in server.requests[1::2]:
        assert (sent.method, sent.body, sent.header("x-a")) == ("GET", b"", None)
        assert sent.header("content-length") is None


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
)
def test_one_that_may_end_is_not_used_again(
    answer: bytes, transport: Transport, tls: Certificate | None
) -> None:
    def once(peer: Peer) -> None:
        peer.request()
        peer.send(answer)
        peer.wait()

    with scripted(once, tls=tls) as server:
        bodies = [transport.send(Request("GET", server.url)).body for _ in range(3)]
    assert bodies == [b"ok"] * 3
    assert server.connections == 3


SPOOFED = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nspoofed"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("size", [0, 40_000])
def test_bytes_that_come_unasked_are_no_answer(
    size: int, method: str, transport: Transport, tls: Certificate | None
) -> None:
    body = b"" if method == "HEAD" else b"x" * size

    def spoof(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + body)
        assert received.wait(20)
        peer.send(SPOOFED)
        sent.set()
        peer.wait()

    received, sent = threading.Event(), threading.Event()
    with scripted(spoof, serve_on, tls=tls) as server:
        assert transport.send(Request(method, f"{server.url}/1")).body == body
        received.set()
        assert sent.wait(20)
        assert transport.send(Request("GET", f"{server.url}/2")).body == b"/2"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("size", [0, 40_000])
def test_bytes_behind_an_answer_are_no_answer(size: int, method: str, transport: Transport) -> None:
    """Nor after HEAD, to which some servers send a body all the same."""
    body = b"" if method == "HEAD" else b"x" * size

    def spoof(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + body + SPOOFED)
        peer.wait()

    with scripted(spoof, serve_on) as server:
        assert transport.send(Request(method, f"{server.url}/1")).body == body
        assert transport.send(Request("GET", f"{server.url}/2")).body == b"/2"


def test_many_threads_share_a_transport(certificate: Certificate, tls: Certificate | None) -> None:
    options = ClientOptions(ca_bundle=str(certificate.file))
    with (
        scripted(serve_on, tls=tls) as server,
        ThreadPoolExecutor(16) as threads,
        closing(EasyTransport(options)) as transport,
    ):

        def ask(number: int) -> bool:
            url, body = f"{server.url}/{number}", b"%d" % number * 1000
            return transport.send(Request("PUT", url, body=body)).body == b"/%d" % number

        assert all(threads.map(ask, range(300)))
    assert server.connections <= 16
    assert sorted(one.body[: len(one.target) - 1] for one in server.requests) == sorted(
        b"%d" % number for number in range(300)
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


@pytest.mark.parametrize("end", [serve_once, serve_once_and_vanish, serve_once_and_reset])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST"])
def test_one_that_was_closed_while_idle_is_replaced(
    method: str, end: Callable[[Peer], None], transport: Transport, tls: Certificate | None
) -> None:
    with scripted(end, end, serve_any, tls=tls) as server:
        for number in (1, 2):
            transport.send(Request("GET", f"{server.url}/{number}"))
            wait_until(lambda: all_are_closed(server))
        assert transport.send(Request(method, f"{server.url}/3", body=b"y")).status == 200
    assert [one.target for one in server.requests] == ["/1", "/2", "/3"]


def close_on_second(peer: Peer) -> None:
    """Take a second request and close: the race that no look beforehand can win."""
    peer.answer(peer.request().target.encode())
    peer.request()


@pytest.mark.parametrize("method", REPEATABLE)
def test_one_that_is_closed_when_it_is_used_again_is_replaced(
    method: str, transport: Transport, tls: Certificate | None
) -> None:
    data = os.urandom(50_000)
    with scripted(close_on_second, serve_any, tls=tls) as server:
        transport.send(Request("GET", f"{server.url}/1"))
        body = BytesReader(data)
        body.read(17)
        assert transport.send(Request(method, f"{server.url}/2", body=body)).status == 200
    assert [one.target for one in server.requests] == ["/1", "/2", "/2"]
    assert [one.body for one in server.requests[1:]] == [data, data]


@pytest.mark.parametrize("body", [b"", b"x", b"x" * 50_000])
def test_a_post_is_not_sent_twice(
    body: bytes, transport: Transport, tls: Certificate | None
) -> None:
    with scripted(close_on_second, serve_on, tls=tls) as server:
        transport.send(Request("GET", f"{server.url}/1"))
        with pytest.raises(TransportError) as caught:
            transport.send(Request("POST", f"{server.url}/2", body=body))
        # The next one is sent as ever.
        assert transport.send(Request("POST", f"{server.url}/3", body=body)).body == b"/3"
    assert [one.target for one in server.requests] == ["/1", "/2", "/3"]
    assert caught.value.kind is Kind.BROKEN


def test_a_fresh_connection_that_is_closed_is_an_error(
    transport: Transport, tls: Certificate | None
) -> None:
    def leave(peer: Peer) -> None:
        peer.request()

    with scripted(leave, tls=tls) as server:
        with pytest.raises(TransportError) as caught:
            transport.send(Request("GET", f"{server.url}/1"))
        assert caught.value.kind is Kind.BROKEN
    assert len(server.requests) == 1


@pytest.mark.parametrize("begun", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n"])
def test_what_was_answered_in_part_is_not_sent_again(begun: bytes, transport: Transport) -> None:
    def begin(peer: Peer) -> None:
        peer.answer(peer.request().target.encode())
        peer.request()
        peer.send(begun)

    with scripted(begin, serve_on) as server:
        transport.send(Request("GET", f"{server.url}/1"))
        with pytest.raises(TransportError):
            transport.send(Request("POST", f"{server.url}/2", body=b"x"))
    assert len(server.requests) == 2


def test_what_stalls_is_not_sent_again(make_transport: MakeTransport) -> None:
    def stall(peer: Peer) -> None:
        peer.answer(peer.request().target.encode())
        peer.request()
        peer.wait()

    transport = make_transport(stall_timeout_seconds=0.2)
    with scripted(stall, serve_on) as server:
        transport.send(Request("GET", f"{server.url}/1"))
        with pytest.raises(TransportError) as caught:
            transport.send(Request("PUT", f"{server.url}/2", body=b"x"))
        assert caught.value.kind is Kind.STALLED
        assert transport.send(Request("PUT", f"{server.url}/3", body=b"x")).body == b"/3"
    assert [one.target for one in server.requests] == ["/1", "/2", "/3"]


def test_an_unasked_408_is_no_answer(transport: Transport, tls: Certificate | None) -> None:
    """Load balancers send it to an idle connection before they close it."""

    def idle_out(peer: Peer) -> None:
        peer.answer(peer.request().target.encode())
        peer.answer(b"", "408 Request Timeout", "Connection: close")

    with scripted(idle_out, serve_on, tls=tls) as server:
        transport.send(Request("GET", f"{server.url}/1"))
        wait_until(lambda: all_are_closed(server))
        assert transport.send(Request("POST", f"{server.url}/2", body=b"x")).body == b"/2"


# --- what is left ----------------------------------------------------------------------------


def test_a_transport_that_is_dropped_leaves_no_socket_open(tls: Certificate | None) -> None:
    ca_bundle = str(tls.file) if tls else None
    with warnings.catch_warnings(), scripted(serve_on, tls=tls) as server:
        warnings.simplefilter("error")
        before = len(os.listdir("/dev/fd"))

        def use() -> None:
            transport = EasyTransport(ClientOptions(ca_bundle=ca_bundle))
            transport.send(Request("GET", server.url))

        use()
        gc.collect()
        wait_until(lambda: all_are_closed(server))
        # The server's own end is among them, and closed by a thread of its own.
        wait_until(lambda: len(os.listdir("/dev/fd")) <= before)


def test_what_a_body_raises_is_raised_and_its_half_of_a_request_left_behind(
    transport: Transport, tls: Certificate | None
) -> None:
    class Broken(BytesReader):
        def read(self, size: int, /) -> bytes:
            raise OSError(5, "Input/output error")

    with scripted(serve_on, tls=tls) as server:
        transport.send(Request("GET", f"{server.url}/1"))
        with pytest.raises(OSError, match="Input/output"):
            transport.send(Request("PUT", f"{server.url}/2", body=Broken(b"hello")))
        assert transport.send(Request("PUT", f"{server.url}/3", body=b"x")).body == b"/3"
    assert [one.target for one in server.requests] == ["/1", "/3"]


def test_a_body_that_is_shorter_than_it_says_is_an_error_at_once(transport: Transport) -> None:
    short = BytesReader(b"hell")
    short.size_bytes = 5
    with scripted(serve_on) as server, pytest.raises(ValueError, match="another size"):
        transport.send(Request("PUT", server.url, body=short))
    assert server.requests == []


@pytest.mark.skipif(not os.path.isdir("/dev/fd"), reason="cannot see what is open")
def test_requests_go_on_with_more_descriptors_than_select_can_take(transport: Transport) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    opened = []
    try:
        with suppress(OSError):
            opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1200)]
        if not opened or opened[-1] < 1024:
            pytest.skip("no more files may be open")
        with scripted(serve_on) as server:
            for _ in range(2):
                assert transport.send(Request("GET", f"{server.url}/a")).body == b"/a"
    finally:
        for descriptor in opened:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.skipif(not os.path.isdir("/dev/fd"), reason="cannot see what is open")
def test_too_few_descriptors_are_told_as_that() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    least = os.open(os.devnull, os.O_RDONLY)
    os.close(least)
    refused: list[int | None] = []
    try:
        # However many it takes: never enough, and never an error of libcurl's own.
        for more in range(64):
            resource.setrlimit(resource.RLIMIT_NOFILE, (least + more, hard))
            try:
                CurlDriver(ClientOptions()).close()
                break
            except OSError as error:
                refused.append(error.errno)
            # What one had opened is in a cycle of references.
            gc.collect()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert set(refused) == {errno.EMFILE}
    assert len(refused) < 64


def test_neither_body_nor_response_is_held_when_a_request_has_ended(transport: Transport) -> None:
    class Body(BytesReader):
        pass

    body = Body(b"x" * 1000)
    held = weakref.ref(body)
    with scripted(serve_on) as server:
        transport.send(Request("PUT", f"{server.url}/a", body=body))
        del body
        gc.collect()
        assert held() is None
