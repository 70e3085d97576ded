"""A response is exactly what was sent, or there is none: nothing cut short, nothing ambiguous."""

from __future__ import annotations

import gzip
import tracemalloc

import pytest

from orchestrator_cli.core.http.transport import Request, Response, Transport, TransportError
from orchestrator_cli.core.http.transport import TransportErrorKind as Kind
from tests.http.conftest import MakeTransport
from tests.http.servers import OK
from tests.support.servers.certificates import Certificate
from tests.support.servers.scripted import Peer, scripted

MIB = 1024 * 1024
BODY = bytes(range(256)) * 80  # more than is received at once
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
HELLO = b"Content-Length: 5\r\n\r\nhello"


def receive(
    transport: Transport, raw: bytes, tls: Certificate | None, method: str = "GET"
) -> Response:
    """Return what becomes of an answer after which the server closes the connection."""

    def answer(peer: Peer) -> None:
        peer.request()
        peer.send(raw)
        peer.end()

    with scripted(answer, tls=tls) as server:
        return transport.send(Request(method, server.url))


ANSWERS = {
    "a length": (OK + HELLO, b"hello"),
    "no content": (OK + b"Content-Length: 0\r\n\r\n", b""),
    "names in any case": (OK + b"CONTENT-length:5\r\ncOnNeCtIoN:Keep-Alive\r\n\r\nhello", b"hello"),
    "spaces around": (OK + b"Content-Length: \t 5 \t \r\n\r\nhello", b"hello"),
    "the same length twice": (OK + b"Content-Length: 5\r\n" + HELLO, b"hello"),
    "no reason": (b"HTTP/1.1 200\r\n" + HELLO, b"hello"),
    "an empty reason": (b"HTTP/1.1 200 \r\n" + HELLO, b"hello"),
    "chunks": (CHUNKED + b"5\r\nhello\r\n00A\r\n, friends!\r\n0\r\n\r\n", b"hello, friends!"),
    "chunks with extensions": (CHUNKED + b'5;a="b;c"\r\nhello\r\n0 ; last\r\n\r\n', b"hello"),
    "trailers": (CHUNKED + b"5\r\nhello\r\n0\r\nx-a: 1\r\nx-b: 2\r\n\r\n", b"hello"),
    "chunks and no content": (CHUNKED + b"0\r\n\r\n", b""),
    "no coding at all": (OK + b"Transfer-Encoding: identity\r\n" + HELLO, b"hello"),
    "to the end": (OK + b"\r\n" + BODY, BODY),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\n" + HELLO, b"hello"),
    "100 Continue before": (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + HELLO, b"hello"),
    "several interim answers": (
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 3 + OK + HELLO,
        b"hello",
    ),
    "a folded header": (OK + b"X-A: b\r\n c: d\r\n" + HELLO, b"hello"),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "304": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b""),
    "more than asked for": (OK + HELLO + b"HTTP/1.1 200 OK\r\n", b"hello"),
    "more after chunks": (CHUNKED + b"5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n", b"hello"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_every_form_of_an_answer_is_read(name: str, transport: Transport) -> None:
    raw, body = ANSWERS[name]
    response = receive(transport, raw, None)
    assert response.body == body
    assert response.status == (int(name) if name.isdecimal() else 200)


@pytest.mark.parametrize("name", ["chunks", "several interim answers", "trailers", "304"])
def test_an_answer_may_come_byte_by_byte(
    name: str, transport: Transport, certificate: Certificate
) -> None:
    raw, body = ANSWERS[name]

    def answer(peer: Peer) -> None:
        peer.request()
        for at in range(len(raw)):
            peer.send(raw[at : at + 1])
        peer.wait()

    with scripted(answer, tls=certificate) as server:
        assert transport.send(Request("GET", server.url)).body == body


@pytest.mark.parametrize(
    "framing", ["Content-Length: 50000000000000", "Transfer-Encoding: chunked", "X-A: b"]
)
def test_an_answer_to_head_has_no_body(framing: str, transport: Transport) -> None:
    response = receive(transport, OK + f"{framing}\r\n\r\n".encode(), None, "HEAD")
    assert (response.status, response.body) == (200, b"")
    name, _, text = framing.partition(": ")
    assert response.headers[name.lower()] == text


def test_headers_come_as_they_were_sent(transport: Transport) -> None:
    lines = [b"X-Amz-Meta-A:  two  words\t", b'ETag:"e"', b"x-amz-meta-u: \xc3\xa0", b"Empty:"]
    lines += [b"a: 1", b"A: 2", b"a: 2", b"b: x", b"b: x"]
    raw = OK + b"\r\n".join([*lines, b"Content-Length: 0", b"", b""])
    assert receive(transport, raw, None).headers == {
        "x-amz-meta-a": "two  words",
        "etag": '"e"',
        "x-amz-meta-u": "\xc3\xa0",  # not stripped, although it ends in Latin-1's other space
        "empty": "",
        "a": "1, 2, 2",
        "b": "x, x",
        "content-length": "0",
    }


def test_what_is_stored_compressed_is_not_unpacked(transport: Transport) -> None:
    packed = gzip.compress(BODY)
    head = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    assert receive(transport, head + packed, None).body == packed


def test_the_time_to_the_first_byte_is_told(transport: Transport) -> None:
    def late(peer: Peer) -> None:
        peer.request()
        peer.pause(0.2)
        peer.answer(b"ok")

    with scripted(late) as server:
        response = transport.send(Request("PUT", server.url, body=b"x" * 100_000))
    assert 0.15 < response.seconds < 10


REFUSED = {
    "nothing": (b"", Kind.BROKEN),
    "half a head": (OK + b"Content-Le", Kind.TRUNCATED),
    "an interim answer only": (b"HTTP/1.1 100 Continue\r\n\r\n", Kind.BROKEN),
    "a short body": (OK + b"Content-Length: 6\r\n\r\nhello", Kind.TRUNCATED),
    "a short large body": (OK + b"Content-Length: 1000000\r\n\r\n" + BODY, Kind.TRUNCATED),
    "two lengths": (OK + b"Content-Length: 6\r\n" + HELLO + b"!", Kind.MALFORMED),
    "two lengths in one": (OK + b"Content-Length: 5, 5\r\n\r\nhello", Kind.MALFORMED),
    "a negative length": (OK + b"Content-Length: -5\r\n\r\nhello", Kind.MALFORMED),
    "a signed length": (OK + b"Content-Length: +5\r\n\r\nhello", Kind.MALFORMED),
    "a length in other digits": (OK + b"Content-Length: \xb2\r\n\r\nhello", Kind.MALFORMED),
    "a hexadecimal length": (OK + b"Content-Length: 0x5\r\n\r\nhello", Kind.MALFORMED),
    "an empty length": (OK + b"Content-Length:\r\n\r\nhello", Kind.MALFORMED),
    "a huge length": (OK + b"Content-Length: 99999999999999999999\r\n\r\n", Kind.MALFORMED),
    "a large length": (OK + b"Content-Length: 99999999999\r\n\r\nx", Kind.TOO_LARGE),
    "a space before the colon": (OK + b"Content-Length : 5\r\n\r\nhello", Kind.MALFORMED),
    "a header without a colon": (OK + b"Content-Length: 5\r\nhm\r\n\r\nhello", Kind.MALFORMED),
    "a header without a name": (OK + b": 5\r\n" + HELLO, Kind.MALFORMED),
    "a NUL in the head": (OK + b"X-A: \0\r\n" + HELLO, Kind.MALFORMED),
    "a bare line feed": (OK + b"X-A: b\n" + HELLO, Kind.MALFORMED),
    "a bare return": (OK + b"X-A: b\rc\r\n" + HELLO, Kind.MALFORMED),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", Kind.MALFORMED),
    "HTTP/2": (b"HTTP/2 200\r\n" + HELLO, Kind.MALFORMED),
    "a status of two digits": (b"HTTP/1.1 20 OK\r\n\r\n", Kind.MALFORMED),
    "a status of four digits": (b"HTTP/1.1 2000 OK\r\n\r\n", Kind.MALFORMED),
    "a status that is none": (b"HTTP/1.1 099 OK\r\n\r\n", Kind.MALFORMED),
    "an endless head": (OK + b"X-A: b\r\n" * 20_000, Kind.MALFORMED),
    "an endless line": (OK + b"X-A: " + b"b" * 200_000, Kind.MALFORMED),
    "endless interim answers": (b"HTTP/1.1 102 Processing\r\n\r\n" * 1000, Kind.BROKEN),
    "another coding": (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Kind.MALFORMED),
    "chunks twice": (OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", Kind.MALFORMED),
    "a chunk longer than it says": (CHUNKED + b"5\r\nhello!\r\n0\r\n\r\n", Kind.BROKEN),
    "a chunk without its length": (CHUNKED + b"hello\r\n0\r\n\r\n", Kind.BROKEN),
    "a chunk of negative length": (CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n", Kind.BROKEN),
    "an empty chunk length": (CHUNKED + b"\r\nhello\r\n0\r\n\r\n", Kind.BROKEN),
    "chunks that break off": (CHUNKED + b"5\r\nhel", Kind.TRUNCATED),
    "chunks without the last": (CHUNKED + b"5\r\nhello\r\n", Kind.TRUNCATED),
    "chunks without the last line": (CHUNKED + b"5\r\nhello\r\n0\r\n", Kind.TRUNCATED),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_answer_is_refused(
    name: str, transport: Transport, tls: Certificate | None
) -> None:
    raw, kind = REFUSED[name]
    with pytest.raises(TransportError) as caught:
        receive(transport, raw, tls)
    assert caught.value.kind is kind
    assert caught.value.is_retryable


def test_a_body_that_tls_did_not_end_may_have_been_cut_short(
    transport: Transport, certificate: Certificate
) -> None:
    def cut(peer: Peer) -> None:
        peer.request()
        peer.send(OK + b"\r\n" + BODY)  # and close without TLS's own end

    with scripted(cut, tls=certificate) as server, pytest.raises(TransportError):
        transport.send(Request("GET", server.url))


@pytest.mark.parametrize("framing", ["length", "chunks", "end"])
def test_more_than_was_asked_for_is_not_held(framing: str, transport: Transport) -> None:
    piece = bytes(MIB)
    heads = {
        "length": OK + b"Content-Length: %d\r\n\r\n" % (64 * MIB),
        "chunks": CHUNKED,
        "end": OK + b"\r\n",
    }

    def endless(peer: Peer) -> None:
        peer.request()
        peer.send(heads[framing])
        while True:
            peer.send(b"%x\r\n%b\r\n" % (len(piece), piece) if framing == "chunks" else piece)

    tracemalloc.start()
    try:
        with scripted(endless) as server, pytest.raises(TransportError) as caught:
            transport.send(Request("GET", server.url, max_body_bytes=4 * MIB))
        assert caught.value.kind is Kind.TOO_LARGE
        assert tracemalloc.get_traced_memory()[1] < 16 * MIB
    finally:
        tracemalloc.stop()


def test_what_a_sink_raises_ends_the_request(transport: Transport) -> None:
    def refuse(data: bytes) -> None:
        raise ZeroDivisionError

    def serve(peer: Peer) -> None:
        peer.request()
        peer.answer(BODY)
        peer.wait()

    with scripted(serve) as server:
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                transport.send(Request("GET", server.url, sink=refuse))


def test_a_server_that_sends_a_byte_a_second_does_not_hold_us(
    make_transport: MakeTransport,
) -> None:
    def trickle(peer: Peer) -> None:
        peer.request()
        peer.send(OK + b"Content-Length: 1000\r\n\r\n")
        while not peer.pause(0.05):
            peer.send(b"x")

    transport = make_transport(stall_timeout_seconds=20)
    with scripted(trickle) as server, pytest.raises(TransportError) as caught:
        transport.send(Request("GET", server.url, total_timeout_seconds=0.4))
    assert caught.value.kind is Kind.TOO_SLOW
