"""A request arrives as it was meant, and nothing can be added to it."""

from __future__ import annotations

import os

import pytest

from orchestrator_cli.core.http.transport import Body, InvalidRequestError, Request, Transport
from tests.http.conftest import MakeTransport
from tests.http.servers import BytesReader
from tests.support.servers.certificates import Certificate
from tests.support.servers.scripted import Peer, scripted, serve_on


def test_a_request_has_its_headers_and_no_others(make_transport: MakeTransport) -> None:
    transport = make_transport(user_agent="orchestrator/9")
    with scripted(serve_on) as server:
        headers = {"x-amz-date": "d", "x-empty": ""}
        response = transport.send(Request("GET", f"{server.url}/a/b%20c?x=1&y", headers))
        assert (response.status, response.body) == (200, b"/a/b%20c?x=1&y")
        assert response.headers["content-length"] == "14"
    (received,) = server.requests
    assert (received.method, received.target, received.body) == ("GET", "/a/b%20c?x=1&y", b"")
    sent = sorted((name.lower().rstrip(":"), text) for name, text in received.headers)
    assert sent == [
        ("accept-encoding", "identity"),
        ("host", server.url.removeprefix("http://")),
        ("user-agent", "orchestrator/9"),
        ("x-amz-date", "d"),
        ("x-empty", ""),
    ]


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("", "/"),
        ("/", "/"),
        ("?list-type=2", "/?list-type=2"),
        ("/?a=b", "/?a=b"),
        ("//a", "//a"),
        ("/a/./b//c", "/a/./b//c"),
        ("/%2E%2E/a%2Fb?c=%20", "/%2E%2E/a%2Fb?c=%20"),
    ],
)
def test_a_url_is_asked_for_as_it_is_written(path: str, target: str, transport: Transport) -> None:
    with scripted(serve_on) as server:
        transport.send(Request("GET", server.url + path))
    assert server.requests[0].target == target


@pytest.mark.parametrize("text", ["a\r\nx-injected: 1", "a\n", "\ra", "a\0b", "ключ"])
@pytest.mark.parametrize("name", ["x-amz-meta-a", "authorization"])
def test_no_header_can_be_made_into_two(name: str, text: str, transport: Transport) -> None:
    with scripted(serve_on) as server, pytest.raises(InvalidRequestError) as caught:
        transport.send(Request("GET", f"{server.url}/", {name: text}))
    assert server.connections == 0
    assert caught.value.header == name
    assert "ключ" not in str(caught.value)


@pytest.mark.parametrize("size", [0, 1, 5, 16 * 1024, 300_000])
def test_a_body_arrives_whole(size: int, transport: Transport, tls: Certificate | None) -> None:
    data = os.urandom(size)
    longer = BytesReader(data + b"GET / HTTP/1.1\r\n\r\n")
    longer.size_bytes = size
    bodies: list[Body] = [
        data,
        bytearray(data),
        memoryview(data),
        memoryview(b"x" + data + b"x")[1:-1],
        BytesReader(data),
        BytesReader(data, 1000),
        longer,
    ]
    with scripted(serve_on, tls=tls) as server:
        for body in bodies:
            for method in ("PUT", "POST"):
                transport.send(Request(method, f"{server.url}/a", body=body))
    assert [one.body == data for one in server.requests] == [True] * 2 * len(bodies)
    assert {one.header("content-length") for one in server.requests} == {str(size)}
    assert server.connections == 1


def test_a_sink_takes_the_body_of_a_success_and_no_other(transport: Transport) -> None:
    def serve(peer: Peer) -> None:
        for status in ("206 Partial Content", "404 Not Found", "200 OK"):
            peer.request()
            peer.answer(b"x" * 100_000, status)

    with scripted(serve) as server:
        for status, taken, collected in ((206, 100_000, 0), (404, 0, 100_000), (200, 100_000, 0)):
            pieces: list[bytes] = []
            response = transport.send(Request("GET", server.url, sink=pieces.append))
            assert (response.status, len(response.body)) == (status, collected)
            assert b"".join(pieces) == b"x" * taken
