"""A connection gives back exactly the answer that was sent, or says that there is none."""

from __future__ import annotations

import gzip
import io
import queue
import socket
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator_cli.core.base.errors import UnavailableError
from orchestrator_cli.core.http import wire
from orchestrator_cli.core.http.dial import Address
from orchestrator_cli.core.http.framing import MOST_BODY_BYTES, TransportError
from orchestrator_cli.core.http.request_body import SLICE_BYTES, ExactBody, WireBody
from orchestrator_cli.core.http.trust import tls_context
from orchestrator_cli.core.http.wire import Answer, Connection
from orchestrator_cli.core.s3.errors import map_exception
from tests.support.certificates import Certificate
from tests.support.scripted import Peer, Script, Scripted, scripted

MIB = 1024 * 1024
BODY = bytes(range(256)) * 80  # more than is received at once
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(params=["plain", "tls"])
def tls(request: pytest.FixtureRequest, certificate: Certificate) -> Certificate | None:
    return certificate if request.param == "tls" else None


@contextmanager
def connected(
    server: Scripted, tls: Certificate | None, seconds: float = 20
) -> Iterator[Connection]:
    host, _, port = server.url.rpartition("//")[2].rpartition(":")
    context = tls_context(str(tls.file)) if tls else None
    with closing(Connection(Address(host, int(port), context, 20, seconds))) as connection:
        yield connection


def exchange(
    connection: Connection, method: str = "GET", body: WireBody = b"", into: bytearray | None = None
) -> tuple[Answer, bool]:
    size = body.size_bytes if isinstance(body, ExactBody) else len(body)
    head = f"{method} / HTTP/1.1\r\nhost: x\r\ncontent-length: {size}\r\n\r\n"
    return connection.exchange(method, head.encode(), body, into)


def received(raw: bytes, tls: Certificate | None, method: str = "GET") -> tuple[Answer, bool]:
    """Return what becomes of an answer after which the server closes the connection."""

    def answer(peer: Peer) -> None:
        peer.request()
        peer.send(raw)
        peer.end()

    with scripted(answer, tls=tls) as server, connected(server, tls) as connection:
        return exchange(connection, method)


# --- answers ---------------------------------------------------------------------------------

ANSWERS = {
    "a length": (OK + b"Content-Length: 5\r\n\r\nhello", b"hello", True),
    "no content": (OK + b"Content-Length: 0\r\n\r\n", b"", True),
    "names in any case": (
        OK + b"CONTENT-length:5\r\ncOnNeCtIoN:Keep-Alive\r\n\r\nhello",
        b"hello",
        True,
    ),
    "spaces around": (OK + b"Content-Length: \t 5 \t \r\n\r\nhello", b"hello", True),
    "the same length twice": (
        OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        b"hello",
        True,
    ),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", b"hello", True),
    "an empty reason": (b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello", b"hello", True),
    "chunks": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n00A\r\n, friends!\r\n0\r\n\r\n",
        b"hello, friends!",
        True,
    ),
    "chunks with extensions": (
        OK + b'Transfer-Encoding: Chunked\r\n\r\n5;a="b;c"\r\nhello\r\n0 ; last\r\n\r\n',
        b"hello",
        True,
    ),
    "trailers": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-a: 1\r\nx-b: 2\r\n\r\n",
        b"hello",
        True,
    ),
    "chunks and no content": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"", True),
    "chunks and a length": (
        OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"hello",
        False,
    ),
    "no coding at all": (
        OK + b"Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello",
        b"hello",
        False,
    ),
    "to the end": (OK + b"\r\n" + BODY, BODY, False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello", False),
    "HTTP/1.0 that stays open": (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
        b"hello",
        False,
    ),
    "closing": (OK + b"Connection: Close\r\nContent-Length: 5\r\n\r\nhello", b"hello", False),
    "closing among others": (
        OK + b"Connection: keep-alive\r\nConnection: CLOSE\r\nContent-Length: 5\r\n\r\nhello",
        b"hello",
        False,
    ),
    "100 Continue before": (
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 5\r\n\r\nhello",
        b"hello",
        True,
    ),
    "several interim answers": (
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 3 + OK + b"Content-Length: 5\r\n\r\nhello",
        b"hello",
        True,
    ),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
    "304": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b"", True),
    "more than asked for": (
        OK + b"Content-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n",
        b"hello",
        False,
    ),
    "more after chunks": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n",
        b"hello",
        False,
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer(name: str, tls: Certificate | None) -> None:
    raw, data, keeps = ANSWERS[name]
    answer, kept = received(raw, tls)
    assert bytes(answer.data) == data
    assert kept is keeps
    assert answer.status == (int(name) if name.isdecimal() else 200)


@pytest.mark.parametrize(
    "framing", ["Content-Length: 50000000000000", "Transfer-Encoding: chunked", "X-A: b"]
)
def test_an_answer_to_head_has_no_body(framing: str, tls: Certificate | None) -> None:
    answer, keeps = received(OK + f"{framing}\r\n\r\n".encode(), tls, "HEAD")
    assert (answer.status, answer.data, keeps) == (200, b"", True)
    name, _, text = framing.partition(": ")
    assert answer.headers[name.lower()] == text


def test_headers_come_as_they_were_sent() -> None:
    lines = [b"X-Amz-Meta-A:  two  words\t", b'ETag:"e"', b"x-amz-meta-u: \xc3\xa0", b"Empty:"]
    lines += [b"a: 1", b"A: 2", b"a: 2", b"b: x", b"b: x"]
    answer, _ = received(OK + b"\r\n".join([*lines, b"Content-Length: 0", b"", b""]), None)
    assert answer.headers == {
        "x-amz-meta-a": "two  words",
        "etag": '"e"',
        "x-amz-meta-u": "\xc3\xa0",  # not stripped, although it ends in Latin-1's other space
        "empty": "",
        "a": "1, 2, 2",
        "b": "x, x",
        "content-length": "0",
    }


def test_what_is_stored_compressed_is_not_unpacked() -> None:
    packed = gzip.compress(BODY)
    head = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    assert received(head + packed, None)[0].data == packed


def test_an_answer_is_received_into_a_buffer_where_it_fits(tls: Certificate | None) -> None:
    def answer(peer: Peer) -> None:
        for size in (10, len(BODY), len(BODY)):
            peer.request()
            peer.answer(BODY[:size])
        peer.wait()

    with scripted(answer, tls=tls) as server, connected(server, tls) as connection:
        buffer = bytearray(len(BODY))
        assert bytes(exchange(connection, into=buffer)[0].data) == BODY[:10]
        found = exchange(connection, into=buffer)[0].data
        assert isinstance(found, memoryview)
        assert found.obj is buffer
        assert found == BODY
        # One that does not fit comes all the same.
        assert bytes(exchange(connection, into=bytearray(10))[0].data) == BODY


# --- answers in pieces -----------------------------------------------------------------------

WHOLE = [raw for raw, _, keeps in ANSWERS.values() if keeps]


@st.composite
def split_answers(draw: st.DrawFn) -> tuple[int, list[bytes]]:
    which = draw(st.integers(0, len(WHOLE) - 1))
    raw = WHOLE[which]
    cuts = sorted(draw(st.sets(st.integers(1, len(raw) - 1), max_size=8)))
    return which, [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]


@pytest.fixture(scope="module")
def piecewise(certificate: Certificate) -> Iterator[tuple[Connection, queue.Queue[list[bytes]]]]:
    """A connection whose server sends each piece as a TLS record, and so as one read."""
    pieces: queue.Queue[list[bytes]] = queue.Queue()

    def answer(peer: Peer) -> None:
        while True:
            peer.request()
            for piece in pieces.get(timeout=20):
                peer.send(piece)

    with (
        scripted(answer, tls=certificate) as server,
        connected(server, certificate) as connection,
    ):
        yield connection, pieces


@given(split_answers())
def test_an_answer_is_the_same_however_it_is_split(
    piecewise: tuple[Connection, queue.Queue[list[bytes]]], split: tuple[int, list[bytes]]
) -> None:
    connection, pieces = piecewise
    which, parts = split
    pieces.put(parts)
    answer, keeps = exchange(connection)
    raw, data, _ = next(one for one in ANSWERS.values() if one[0] == WHOLE[which])
    assert (bytes(answer.data), keeps) == (data, True), raw


@pytest.mark.parametrize("name", [name for name in ANSWERS if ANSWERS[name][2]])
def test_an_answer_may_come_byte_by_byte(
    piecewise: tuple[Connection, queue.Queue[list[bytes]]], name: str
) -> None:
    connection, pieces = piecewise
    raw, data, _ = ANSWERS[name]
    pieces.put([raw[at : at + 1] for at in range(len(raw))])
    answer, keeps = exchange(connection)
    assert (bytes(answer.data), keeps) == (data, True)


# --- what is no answer -----------------------------------------------------------------------

CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
REFUSED = {
    "nothing": (b"", "was closed"),
    "half a head": (OK + b"Content-Le", "was closed"),
    "an interim answer only": (b"HTTP/1.1 100 Continue\r\n\r\n", "was closed"),
    "a short body": (OK + b"Content-Length: 6\r\n\r\nhello", "in the middle"),
    "a short large body": (OK + b"Content-Length: 1000000\r\n\r\n" + BODY, "in the middle"),
    "two lengths": (OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", "length is"),
    "two lengths in one": (OK + b"Content-Length: 5, 5\r\n\r\nhello", "length is malformed"),
    "a negative length": (OK + b"Content-Length: -5\r\n\r\nhello", "length is malformed"),
    "a signed length": (OK + b"Content-Length: +5\r\n\r\nhello", "length is malformed"),
    "a length in other digits": (OK + b"Content-Length: \xb2\r\n\r\nhello", "length is malformed"),
    "a length with a space of Latin-1": (OK + b"Content-Length: 5\xa0\r\n\r\nhello", "malformed"),
    "a hexadecimal length": (OK + b"Content-Length: 0x5\r\n\r\nhello", "length is malformed"),
    "an empty length": (OK + b"Content-Length:\r\n\r\nhello", "length is malformed"),
    "a huge length": (OK + b"Content-Length: 99999999999999999999\r\n\r\n", "length is malformed"),
    "a large length": (OK + b"Content-Length: %d\r\n\r\n" % (MOST_BODY_BYTES + 1), "longer than"),
    "a space before the colon": (OK + b"Content-Length : 5\r\n\r\nhello", "head is malformed"),
    "a folded header": (OK + b"X-A: b\r\n c: d\r\nContent-Length: 5\r\n\r\nhello", "malformed"),
    "a header without a colon": (OK + b"Content-Length: 5\r\nhm\r\n\r\nhello", "malformed"),
    "a header without a name": (OK + b": 5\r\nContent-Length: 5\r\n\r\nhello", "malformed"),
    "a NUL in the head": (OK + b"X-A: \0\r\nContent-Length: 5\r\n\r\nhello", "malformed"),
    "a bare line feed": (OK + b"X-A: b\nContent-Length: 5\r\n\r\nhello", "malformed"),
    "a bare return": (OK + b"X-A: b\rContent-Length: 5\r\n\r\nhello", "malformed"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "does not speak HTTP"),
    "HTTP/2": (b"HTTP/2 200\r\nContent-Length: 5\r\n\r\nhello", "does not speak HTTP"),
    "a status of two digits": (b"HTTP/1.1 20 OK\r\n\r\n", "does not speak HTTP"),
    "a status of four digits": (b"HTTP/1.1 2000 OK\r\n\r\n", "does not speak HTTP"),
    "a status that is none": (b"HTTP/1.1 099 OK\r\n\r\n", "does not speak HTTP"),
    "an endless head": (OK + b"X-A: b\r\n" * 20_000, "too long a head"),
    "an endless line": (OK + b"X-A: " + b"b" * 200_000, "too long a head"),
    "endless interim answers": (b"HTTP/1.1 102 Processing\r\n\r\n" * 1000, "come to its end"),
    "another coding": (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "coded in a way"),
    "two codings": (
        OK + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "coded",
    ),
    "chunks twice": (OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "coded"),
    "a chunk longer than it says": (CHUNKED + b"5\r\nhello!\r\n0\r\n\r\n", "malformed"),
    "a chunk without its length": (CHUNKED + b"hello\r\n0\r\n\r\n", "length is malformed"),
    "a chunk of negative length": (CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n", "length is malformed"),
    "a chunk's length with a prefix": (CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n", "malformed"),
    "an empty chunk length": (CHUNKED + b"\r\nhello\r\n0\r\n\r\n", "length is malformed"),
    "a huge chunk": (CHUNKED + b"fffffffff\r\nhello", "length is malformed"),
    "a large chunk": (CHUNKED + b"ffffffff\r\nhello", "longer than"),
    "chunks that break off": (CHUNKED + b"5\r\nhel", "in the middle"),
    "chunks without the last": (CHUNKED + b"5\r\nhello\r\n", "was closed"),
    "chunks without the last line": (CHUNKED + b"5\r\nhello\r\n0\r\n", "was closed"),
    "an endless chunk line": (CHUNKED + b"5;" + b"a" * 200_000, "too long a line"),
    "endless trailers": (CHUNKED + b"0\r\n" + b"x: y\r\n" * 1000, "come to its end"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_answer_is_refused(name: str, tls: Certificate | None) -> None:
    raw, words = REFUSED[name]
    with pytest.raises(TransportError, match=words) as caught:
        received(raw, tls)
    assert caught.value.unanswered is (raw == b"")
    error = map_exception(caught.value, "read of k")
    assert isinstance(error, UnavailableError)
    assert error.retryable


def test_an_answer_to_the_end_that_tls_did_not_end_may_have_been_cut_short(
    certificate: Certificate,
) -> None:
    def cut(peer: Peer) -> None:
        peer.request()
        peer.send(OK + b"\r\n" + BODY)  # and close without TLS's own end

    with (
        scripted(cut, tls=certificate) as server,
        connected(server, certificate) as connection,
        pytest.raises(TransportError),
    ):
        exchange(connection)


@given(
    st.binary(max_size=200)
    | st.lists(
        st.sampled_from(
            [
                OK,
                b"\r\n",
                b"HTTP/1.1 ",
                b"100 ",
                b"0",
                b"5",
                b";",
                b"Content-Length: 5",
                b"Transfer-Encoding: chunked",
                b"Connection: close",
                b"hello",
                b": ",
                b"\n",
            ]
        ),
        max_size=20,
    ).map(b"".join)
)
@example(b"\r\n\r\n")
def test_no_bytes_are_worse_than_an_error(raw: bytes) -> None:
    try:
        answer, _ = received(raw, None)
    except TransportError:
        return
    assert 200 <= answer.status <= 999
    assert len(answer.data) <= len(raw)


@pytest.mark.parametrize("framing", ["length", "chunks", "end"])
def test_more_than_was_ever_asked_for_is_not_held(framing: str) -> None:
    piece = bytes(MIB)
    heads = {
        "length": OK + b"Content-Length: %d\r\n\r\n" % (2 * MOST_BODY_BYTES),
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
        with (
            scripted(endless) as server,
            connected(server, None) as connection,
            pytest.raises(TransportError, match="longer than any"),
        ):
            exchange(connection)
        # The buffer that grows is copied now and then.
        assert tracemalloc.get_traced_memory()[1] < (4 if framing == "length" else 2.5 * 64) * MIB
    finally:
        tracemalloc.stop()


# --- bodies ----------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(socket, "TCP_CORK"), reason="a way of Linux")
def test_a_large_body_leaves_in_full_segments(tls: Certificate | None) -> None:
    corked: list[int] = []

    class Looking(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            corked.append(is_corked())
            return super().read(size)

    def is_corked() -> int:
        told: int = connection._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK)
        return told

    def answer(peer: Peer) -> None:
        peer.request()
        peer.answer()

    size = 2 * SLICE_BYTES
    with scripted(answer, tls=tls) as server, connected(server, tls) as connection:
        assert exchange(connection, "PUT", ExactBody(Looking(bytes(size)), size))[1]
        # Else the end of the body, and small requests after it, would wait for more.
        assert not is_corked()
    assert corked == [1, 1]


class Trickle(io.BytesIO):
    """A body that is read in small pieces, whatever is asked for."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 0, 1000))


@pytest.mark.parametrize(
    "size", [0, 1, 16 * 1024 - 60, 16 * 1024, 16 * 1024 + 1, 3 * SLICE_BYTES + 5]
)
def test_a_body_arrives_whole(size: int, tls: Certificate | None) -> None:
    data = (BODY * (size // len(BODY) + 1))[:size]
    opened = io.BytesIO(data)
    opened.seek(size // 2)  # as when it was sent before
    bodies: list[WireBody] = [
        data,
        bytearray(data),
        memoryview(data),
        memoryview(b"x" + data + b"x")[1:-1],
        ExactBody(opened, size),
        ExactBody(Trickle(data), size),
        ExactBody(io.BytesIO(data + b"GET / HTTP/1.1\r\n\r\n"), size),
    ]

    def answer(peer: Peer) -> None:
        for _ in bodies:
            peer.request()
            peer.answer()

    with scripted(answer, tls=tls) as server, connected(server, tls) as connection:
        for body in bodies:
            assert exchange(connection, "PUT", body)[1]
    assert [one.body == data for one in server.requests] == [True] * len(bodies)
    assert server.connections == 1


def test_a_body_that_is_shorter_than_it_says_is_an_error_at_once() -> None:
    def read(peer: Peer) -> None:
        peer.request()

    with (
        scripted(read) as server,
        connected(server, None) as connection,
        pytest.raises(ValueError, match="another size"),
    ):
        exchange(connection, "PUT", ExactBody(io.BytesIO(b"hell"), 5))
    assert server.requests == []


def test_a_body_that_cannot_be_read_is_no_matter_of_the_connection() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    with (
        scripted(Peer.wait) as server,
        connected(server, None) as connection,
        pytest.raises(OSError, match="Input/output"),
    ):
        exchange(connection, "PUT", ExactBody(Broken(b"hello"), 5))


# --- answers that come early -----------------------------------------------------------------

LARGE = bytes(32 * MIB)


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
    "script", [early_and_reset, early_and_deaf, early_without_a_word_of_closing, early_and_polite]
)
def test_an_answer_before_the_end_of_the_body_is_the_answer(
    script: Script, tls: Certificate | None
) -> None:
    with scripted(script, tls=tls) as server, connected(server, tls, 0.5) as connection:
        answer, keeps = exchange(connection, "PUT", LARGE)
    assert (answer.status, bytes(answer.data), keeps) == (503, b"<Code>SlowDown</Code>", False)


def test_a_body_that_is_refused_with_a_reset_is_an_error(tls: Certificate | None) -> None:
    def refuse(peer: Peer) -> None:
        peer.request_head()
        peer.reset()

    with (
        scripted(refuse, tls=tls) as server,
        connected(server, tls) as connection,
        pytest.raises(TransportError),
    ):
        exchange(connection, "PUT", LARGE)


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


def stop_in_chunk(peer: Peer) -> None:
    peer.request()
    peer.send(CHUNKED + b"5\r\nhe")
    peer.wait()


def stop_before_the_end(peer: Peer) -> None:
    peer.request()
    peer.send(OK + b"\r\nhello")
    peer.wait()


@pytest.mark.parametrize(
    "script",
    [never_read, never_answer, stop_in_head, stop_in_body, stop_in_chunk, stop_before_the_end],
)
def test_silence_is_bounded(script: Script, tls: Certificate | None) -> None:
    body = LARGE if script is never_read else b"hello"
    with scripted(script, tls=tls) as server, connected(server, tls, 0.2) as connection:
        started = time.monotonic()
        with pytest.raises(TransportError) as caught:
            exchange(connection, "PUT", body)
        assert time.monotonic() - started < 10
    assert not caught.value.unanswered
    error = map_exception(caught.value, "read of k")
    assert isinstance(error, UnavailableError)
    assert error.message == "read of k: no answer in time"


def test_after_sending_has_timed_out_an_answer_is_only_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wire, "_LAST_LOOK_SECONDS", 0.01)
    with scripted(never_read) as server, connected(server, None, 1.5) as connection:
        started = time.monotonic()
        with pytest.raises(TransportError):
            exchange(connection, "PUT", LARGE)
        # The first time, what had gone out before counts as progress.
        assert time.monotonic() - started < 4.2


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="the system does not tell")
@pytest.mark.parametrize("buffered", ["by the client", "by nobody"])
def test_a_slow_reader_is_waited_for_as_long_as_it_reads(
    buffered: str, tls: Certificate | None
) -> None:
    """Of what is in the buffers between, the client only sees that it does not get rid of it."""

    def slow(peer: Peer) -> None:
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
        _, size = peer.request_head()
        left = size - len(peer.taken())
        while left > 0:
            time.sleep(0.05)
            left -= len(peer.socket.recv(16 * 1024))
        peer.answer()

    with scripted(slow, tls=tls) as server, connected(server, tls, 0.6) as connection:
        if buffered == "by nobody":
            connection._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 * 1024)
        started = time.monotonic()
        assert exchange(connection, "PUT", LARGE[: MIB // 2])[0].status == 200
        assert time.monotonic() - started > 1.2


def test_a_peer_that_has_gone_is_said_to_have_gone(tls: Certificate | None) -> None:
    def leave(peer: Peer) -> None:
        peer.request()
        peer.reset()

    with ExitStack() as opened:
        server = opened.enter_context(scripted(leave, tls=tls))
        connection = opened.enter_context(connected(server, tls))
        with pytest.raises(TransportError) as caught:
            exchange(connection)
    assert caught.value.unanswered
