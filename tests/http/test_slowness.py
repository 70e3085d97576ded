"""What is slow is waited for, what stalls is not, and an answer that comes early is the answer."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest

from orchestrator_cli.core.http.transport import Request, Transport, TransportError
from orchestrator_cli.core.http.transport import TransportErrorKind as Kind
from tests.http.conftest import MakeTransport
from tests.http.servers import OK, BytesReader
from tests.support.servers.certificates import Certificate
from tests.support.servers.scripted import Peer, scripted

MIB = 1024 * 1024
LARGE = bytes(32 * MIB)
Script = Callable[[Peer], None]


# --- silence ---------------------------------------------------------------------------------


def never_read(peer: Peer) -> None:
    peer.stop_reading()


def never_answer(peer: Peer) -> None:
    peer.request()
    peer.wait()


def stop_in_head(peer: Peer) -> None:
    peer.request()
    peer.send(OK + b"Content-Le")
    peer.wait()


def stop_in_body(peer: Peer) -> None:
    peer.request()
    peer.send(OK + b"Content-Length: 50000\r\n\r\nhello")
    peer.wait()


def stop_before_the_end(peer: Peer) -> None:
    peer.request()
    peer.send(OK + b"\r\nhello")
    peer.wait()


@pytest.mark.parametrize(
    "script", [never_read, never_answer, stop_in_head, stop_in_body, stop_before_the_end]
)
def test_silence_is_bounded(
    script: Script, make_transport: MakeTransport, tls: Certificate | None
) -> None:
    transport = make_transport(stall_timeout_seconds=0.2)
    body = LARGE if script is never_read else b"hello"
    with scripted(script, tls=tls) as server:
        started = time.monotonic()
        with pytest.raises(TransportError) as caught:
            transport.send(Request("PUT", server.url, body=body))
        assert time.monotonic() - started < 10
    assert caught.value.kind is Kind.STALLED
    assert caught.value.is_retryable


def test_a_handshake_that_stalls_is_bounded(make_transport: MakeTransport) -> None:
    transport = make_transport(connect_timeout_seconds=0.3)
    with scripted(Peer.wait) as server:
        started = time.monotonic()
        with pytest.raises(TransportError) as caught:
            transport.send(Request("GET", server.url.replace("http", "https")))
        assert time.monotonic() - started < 10
    assert caught.value.kind is Kind.CONNECT_TIMEOUT


# --- slowness --------------------------------------------------------------------------------


def read_slowly(peer: Peer) -> None:
    """Take half a megabyte in 1.6 seconds."""
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
    _, size = peer.request_head()
    left = size - len(peer.taken())
    while left > 0:
        time.sleep(0.05)
        left -= len(peer.socket.recv(16 * 1024))
    peer.answer()


def test_a_slow_reader_is_waited_for_as_long_as_it_reads(
    make_transport: MakeTransport, tls: Certificate | None
) -> None:
    """Also after libcurl has handed all of it to the system, which then sends it for long."""
    transport = make_transport(stall_timeout_seconds=0.6)
    with scripted(read_slowly, tls=tls) as server:
        started = time.monotonic()
        assert transport.send(Request("PUT", server.url, body=bytes(MIB // 2))).status == 200
        assert time.monotonic() - started > 1.2


def test_a_slow_answer_is_waited_for_as_long_as_it_comes(make_transport: MakeTransport) -> None:
    def trickle(peer: Peer) -> None:
        peer.request()
        peer.send(OK + b"Content-Length: 12\r\n\r\n")
        for _ in range(12):
            time.sleep(0.08)
            peer.send(b"x")

    transport = make_transport(stall_timeout_seconds=0.5)
    with scripted(trickle) as server:
        assert transport.send(Request("GET", server.url)).body == b"x" * 12


# --- the rate limit --------------------------------------------------------------------------


class Rate:
    """So many bytes a second, from when the first are asked for."""

    def __init__(self, bytes_per_second: int) -> None:
        self.bytes_per_second = bytes_per_second
        self.reserved_bytes = 0
        self._free_at = 0.0

    def reserve(self, size_bytes: int, /) -> float:
        now = time.monotonic()
        start = max(now, self._free_at)
        self.reserved_bytes += size_bytes
        self._free_at = start + size_bytes / self.bytes_per_second
        return start - now


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_body_is_sent_at_the_rate_that_is_allowed(
    in_memory: bool, make_transport: MakeTransport
) -> None:
    """And the waiting is no stall."""
    rate = Rate(200_000)
    transport = make_transport(rate_limit=rate, stall_timeout_seconds=0.05)
    data = bytes(range(256)) * 400

    def answer(peer: Peer) -> None:
        for _ in range(2):
            peer.request()
            peer.answer()

    with scripted(answer) as server:
        started = time.monotonic()
        for _ in range(2):
            body = data if in_memory else BytesReader(data)
            assert transport.send(Request("PUT", server.url, body=body)).status == 200
        assert time.monotonic() - started > 0.85
    assert [one.body == data for one in server.requests] == [True, True]
    assert rate.reserved_bytes == 2 * len(data)


def test_a_paused_request_that_is_given_up_does_not_hold_the_next(
    make_transport: MakeTransport,
) -> None:
    class Never:
        def reserve(self, size_bytes: int, /) -> float:
            return 3600.0

    def answer(peer: Peer) -> None:
        peer.request_head()
        peer.answer(b"", "503 Slow Down", "Connection: close")

    transport = make_transport(rate_limit=Never())
    with scripted(answer) as server:
        for _ in range(2):
            assert transport.send(Request("PUT", server.url, body=b"hello")).status == 503


# --- answers that come early -----------------------------------------------------------------


def early(peer: Peer) -> None:
    peer.request_head()
    peer.answer(b"<Code>SlowDown</Code>", "503 Slow Down", "Connection: close")


def early_and_reset(peer: Peer) -> None:
    early(peer)
    # What was not read makes a reset of this.
    peer.socket.close()


def early_and_deaf(peer: Peer) -> None:
    early(peer)
    peer.stop_reading()


def early_without_a_word_of_closing(peer: Peer) -> None:
    peer.request_head()
    peer.answer(b"<Code>SlowDown</Code>", "503 Slow Down")
    peer.stop_reading()


def early_and_polite(peer: Peer) -> None:
    early(peer)
    socket.socket.shutdown(peer.socket, socket.SHUT_WR)
    peer.wait()


@pytest.mark.parametrize(
    "script", [early_and_deaf, early_without_a_word_of_closing, early_and_polite]
)
def test_an_answer_before_the_end_of_the_body_is_the_answer(
    script: Script, transport: Transport, tls: Certificate | None
) -> None:
    with scripted(script, tls=tls) as server:
        started = time.monotonic()
        response = transport.send(Request("PUT", server.url, body=LARGE))
        assert time.monotonic() - started < 10
    assert (response.status, response.body) == (503, b"<Code>SlowDown</Code>")


def test_an_answer_that_comes_with_a_reset_is_the_answer_or_a_reason_to_try_again(
    transport: Transport, tls: Certificate | None
) -> None:
    """A reset that comes while libcurl is sending keeps it from reading what came before."""
    with scripted(early_and_reset, tls=tls) as server:
        try:
            told = transport.send(Request("PUT", server.url, body=LARGE)).body
        except TransportError as error:
            told = error.kind.value.encode() if error.is_retryable else b""
    assert told in (b"<Code>SlowDown</Code>", b"broken")


def test_a_body_that_is_refused_with_a_reset_is_an_error(
    transport: Transport, tls: Certificate | None
) -> None:
    def refuse(peer: Peer) -> None:
        peer.request_head()
        peer.reset()

    with scripted(refuse, tls=tls) as server, pytest.raises(TransportError) as caught:
        transport.send(Request("PUT", server.url, body=LARGE))
    assert caught.value.kind is Kind.BROKEN


# --- a limit for the response -------------------------------------------------------------------


def send_for_ever(head: bytes, piece: bytes) -> Script:
    """Return a script that takes the request, and sends a piece again and again."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(head)
        while True:
            time.sleep(0.02)
            peer.send(piece)

    return script


@pytest.mark.parametrize(
    "script",
    [
        send_for_ever(b"HTTP/1.1 200 OK\r\n", b"X-A: 1\r\n"),
        send_for_ever(OK + b"Content-Length: 100000\r\n\r\n", b"x"),
        send_for_ever(b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
        send_for_ever(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    ],
    ids=["headers", "body", "102", "spaces"],
)
def test_a_response_that_never_ends_is_bounded(
    script: Script, make_transport: MakeTransport
) -> None:
    transport = make_transport(stall_timeout_seconds=1)
    with scripted(script) as server, pytest.raises(TransportError) as caught:
        transport.send(Request("PUT", server.url, body=b"hello", response_timeout_seconds=0.2))
    assert caught.value.kind is Kind.TOO_SLOW
    assert caught.value.is_retryable


def test_the_limit_of_a_response_begins_once_the_request_is_sent(
    make_transport: MakeTransport, tls: Certificate | None
) -> None:
    transport = make_transport(stall_timeout_seconds=0.6)
    with scripted(read_slowly, tls=tls) as server:
        request = Request("PUT", server.url, body=bytes(MIB // 2), response_timeout_seconds=0.5)
        assert transport.send(request).status == 200
