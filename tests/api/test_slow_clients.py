"""The server with clients that disconnect, do not read, or send too many requests."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from h11 import LocalProtocolError

from orchestrator_cli.api.guard.anonymous_clients import AnonymousClients
from orchestrator_cli.api.guard.limits import MAX_REQUESTS
from orchestrator_cli.api.server import open_socket, report_defects
from tests.support.commands.serving import WAIT, Serve, Server
from tests.support.commands.via import Tokens, make_via
from tests.support.proxy import faults
from tests.support.scene import Scene
from tests.support.stored.executions import make_id

LINE = b"x" * 99 + b"\n"
LONG_LOG = LINE * 40_000


@contextlib.contextmanager
def asking(server: Server, path: str, received_bytes: int = 0) -> Iterator[socket.socket]:
    """Send a request without reading its response; disconnect after the block."""
    with socket.socket() as client:
        if received_bytes:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, received_bytes)
        client.settimeout(WAIT)
        client.connect(("127.0.0.1", server.port))
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        yield client


def fresh_status(server: Server) -> int:
    """Send a request over a new connection, and close it."""
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAIT)
    with contextlib.closing(client):
        client.request("GET", "/healthz")
        return client.getresponse().status


def begin_of_answer(client: socket.socket) -> bytes:
    """Return the first bytes of a response; b"" if the connection was closed instead."""
    with contextlib.suppress(ConnectionResetError):
        return client.recv(65536)[:12]
    return b""


def await_true(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def unanswered(server: Server, path: str) -> int:
    """Return how many requests for a path were logged without a status."""
    lines = [json.loads(line) for line in server.log]
    return sum(line["path"] == path and line["status"] is None for line in lines)


def test_a_response_does_not_wait_for_acknowledgements() -> None:
    """Waiting for that of the head would take 40 ms on Linux."""
    with (
        open_socket("127.0.0.1", 0) as listening,
        socket.create_connection(listening.getsockname(), WAIT),
        listening.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_queued_reads_of_disconnected_clients_are_dropped(scene: Scene, serve: Serve) -> None:
    held, *others = (
        scene.put_execution(make_id(number=number), {"logs/stdout.log": b"x"})
        for number in range(4)
    )
    server = serve("--concurrency", "1")
    hold = faults.Hold("head")
    scene.recorder.inject(hold, "GetObject")
    with asking(server, f"/executions/{held}") as first:
        assert hold.reached.wait(WAIT)
        for other in others:
            path = f"/executions/{other}"
            with asking(server, path):
                await_true(lambda: server.get("/healthz").status == 200)
            await_true(lambda path=path: unanswered(server, path) == 1)  # type: ignore[misc]
        hold.released.set()
        assert first.recv(65536).startswith(b"HTTP/1.1 200")
    assert server.get(f"/executions/{held}").status == 200
    asked = {one.key for one in scene.recorder.calls("GetObject")}
    assert asked == {f"executions/{held}/metadata.json", f"live/{held}/state.json"}


def test_a_search_ends_when_its_client_disconnects(scene: Scene, serve: Serve) -> None:
    now = datetime.now(UTC)
    ids = [scene.put_execution(make_id(now, number)) for number in range(60)]
    server = serve("--concurrency", "1")
    hold = faults.Hold("head")
    scene.recorder.inject(hold, "GetObject")
    path = "/executions"
    with asking(server, f"{path}?since=1d&result=fail"):
        assert hold.reached.wait(WAIT)
    await_true(lambda: unanswered(server, path) == 1)
    hold.released.set()
    # There is one worker thread: a response means that the search has ended.
    assert server.get(f"/executions/{ids[-1]}").status == 200
    assert len(scene.recorder.calls("GetObject")) < 10


def test_a_write_is_finished_after_its_client_disconnects(
    scene: Scene, serve: Serve, tokens: Tokens
) -> None:
    execution_id = scene.put_execution()
    server = make_via(serve, tokens).server
    hold = faults.Hold("head")
    scene.recorder.inject(hold, "GetObject")
    body = json.dumps({"failed": {"a.txt": "gone"}, "resolved": []})
    path = f"/executions/{execution_id}/uploads/results"
    with socket.create_connection(("127.0.0.1", server.port), WAIT) as client:
        client.sendall(
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {tokens.upload}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        assert hold.reached.wait(WAIT)
    await_true(lambda: unanswered(server, path) == 1)
    hold.released.set()
    await_true(lambda: bool(scene.record(execution_id)["failures"]))


@pytest.fixture
def long_log(scene: Scene) -> str:
    """The path of a response of 4 MiB."""
    execution_id = scene.put_execution(files={"logs/stdout.log": LONG_LOG})
    return f"/executions/{execution_id}/logs/stdout?tail=40000"


def test_a_client_that_does_not_read_is_dropped(serve: Serve, long_log: str) -> None:
    server = serve("--deadline", "2s")
    with asking(server, long_log, received_bytes=4096):
        await_true(lambda: any("ClientStalledError" in line for line in server.log))
    assert server.get("/healthz").status == 200


@pytest.mark.parametrize(
    ("error", "defects"),
    [
        # The error of a connection that the kernel has dropped.
        (TimeoutError(110, "Connection timed out"), 0),
        (ExceptionGroup("tasks", [LocalProtocolError("not in this state")]), 0),
        (asyncio.CancelledError(), 0),
        (ExceptionGroup("tasks", [TimeoutError(), KeyError("defect")]), 1),
        (None, 1),
    ],
)
def test_a_dropped_client_is_not_reported_as_a_defect(
    error: BaseException | None, defects: int, caplog: pytest.LogCaptureFixture
) -> None:
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        loop.set_exception_handler(report_defects)
        loop.call_exception_handler({"message": "of a task", "exception": error})
    assert len(caplog.records) == defects


def test_a_client_that_reads_slowly_gets_everything(serve: Serve, long_log: str) -> None:
    deadline_seconds = 2
    server = serve("--deadline", f"{deadline_seconds}s")
    with asking(server, long_log, received_bytes=65536) as client:
        response = http.client.HTTPResponse(client)
        response.begin()
        taken, begun = 0, time.monotonic()
        while time.monotonic() - begun < deadline_seconds * 1.25:
            taken += len(response.read(200_000))
            time.sleep(0.4)
        taken += len(response.read())
    assert taken == len(LONG_LOG)


@pytest.mark.parametrize("begin", [b"", b"GET /healthz HTTP/1.1\r\nHost: local"], ids=["", "begun"])
def test_idle_connections_keep_nobody_out(serve: Serve, begin: bytes) -> None:
    server = serve()
    with contextlib.ExitStack() as opened:
        for _ in range(300):
            client = socket.create_connection(("127.0.0.1", server.port), WAIT)
            opened.enter_context(client).sendall(begin)
        assert [fresh_status(server) for _ in range(20)] == [200] * 20


def test_a_slowly_sent_head_is_cut_off(serve: Serve) -> None:
    server = serve("--deadline", "2s")
    with socket.create_connection(("127.0.0.1", server.port), WAIT) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\n")
        client.settimeout(0.1)
        for _ in range(int(WAIT / 0.1)):
            try:
                client.sendall(b"X: y\r\n")
                if client.recv(1) == b"":
                    return
            except TimeoutError:
                continue
            except OSError:
                return
    pytest.fail("the server waits for ever")


def test_requests_without_a_token_starve_nobody(scene: Scene, serve: Serve, tokens: Tokens) -> None:
    execution_id = scene.put_execution()
    server = make_via(serve, tokens, "--concurrency", "1").server
    hold = faults.Hold("head")
    scene.recorder.inject(hold, "ListObjectsV2", times=None)
    reader = {"Authorization": f"Bearer {tokens.read}"}
    with contextlib.ExitStack() as opened:
        asked = [opened.enter_context(asking(server, "/readyz")) for _ in range(90)]
        assert hold.reached.wait(WAIT)
        for path in ("/openapi.json", "/docs", "/healthz"):
            assert server.get(path).status == 200
        response = server.get(f"/executions/{execution_id}", headers=reader)
        assert response.status == 200
        hold.released.set()
        assert {begin_of_answer(client) for client in asked} == {b"HTTP/1.1 200"}
    # One check of the storage for all of them.
    assert len(scene.recorder.calls("ListObjectsV2")) <= 2


def test_anonymous_clients_that_do_not_read_block_nobody(
    scene: Scene, serve: Serve, tokens: Tokens
) -> None:
    execution_id = scene.put_execution()
    server = make_via(serve, tokens).server
    reader = {"Authorization": f"Bearer {tokens.read}"}
    asked = f"/executions/{execution_id}"
    assert server.get(asked, headers=reader).status == 200
    # More than the kernel buffers for a client that does not read.
    many = b"GET /docs HTTP/1.1\r\nHost: localhost\r\n\r\n" * 40
    with contextlib.ExitStack() as opened:
        for _ in range(MAX_REQUESTS + 8):
            client = opened.enter_context(asking(server, "/docs", received_bytes=4096))
            with contextlib.suppress(OSError):
                client.sendall(many)
        await_true(lambda: any('"status": 503' in line for line in server.log))
        assert server.get("/healthz").status == 200
        assert server.get(asked, headers=reader).status == 200
    # Only this connection is left, and the server ends at once.
    alone = b"\norchestrator_http_requests_in_flight 1.0\n"
    await_true(lambda: alone in server.get("/metrics", headers=reader).data)
    assert server.get("/docs").status == 200


def test_too_many_connections_close_anonymous_ones_first() -> None:
    anonymous = AnonymousClients(max_connections=3)
    with contextlib.ExitStack() as opened:
        ends = [socket.socketpair() for _ in range(7)]
        for pair in ends:
            for end in pair:
                opened.enter_context(contextlib.closing(end))
                end.setblocking(False)

        def add(number: int) -> None:
            anonymous.add(number, ends[number][0])

        def ended(number: int) -> bool:
            with contextlib.suppress(BlockingIOError):
                return ends[number][1].recv(1) == b""
            return False

        for number in range(3):
            add(number)
        anonymous.mark_authenticated(0)
        anonymous.mark_anonymous(2)
        add(3)
        assert not any(map(ended, range(4)))
        add(4)
        assert [number for number in range(5) if ended(number)] == [2]
        add(5)
        assert [number for number in range(6) if ended(number)] == [1, 2]
        # A connection that the server has closed does not count.
        ends[3][0].close()
        add(6)
        assert not any(map(ended, (0, 4, 5, 6)))
