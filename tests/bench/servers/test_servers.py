"""The benchmark's servers: what is measured against them is only as true as their answers."""

from __future__ import annotations

import http.client
import os
import re
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import pytest

from tests.bench.fixtures import IDS, Sizes, make_fixtures
from tests.bench.servers.certificates import make_certificates
from tests.bench.servers.delaying import run_delaying_proxy
from tests.bench.servers.nginx import find_nginx
from tests.bench.servers.sink import run_sink
from tests.bench.servers.sink_config import SOCKET, Settings
from tests.bench.servers.sink_content import fill_sink
from tests.bench.servers.waiting import run_waiting_front

TINY = Sizes(3, 100, 1 << 20, 1 << 20, 1 << 20, 1, 1 << 20, slow_files=1, efs_files=1)


@pytest.mark.skipif(find_nginx() is None, reason="nginx is not installed")
def test_the_sink_is_set_up_as_asked(tmp_path: Path) -> None:
    nginx = find_nginx()
    assert nginx is not None
    settings = Settings(tls="1.2", rsa=True, keepalive_requests=2, workers=1)
    assert str(settings) == "TLS 1.2, RSA, 2 requests a connection, 1 workers"
    assert str(Settings()) == ""
    make_certificates(tmp_path, settings.rsa)
    stored = fill_sink(tmp_path, make_fixtures(tmp_path, TINY))
    listed = re.findall("<LastModified>(.*?)<", (tmp_path / "www/lists/again-0.xml").read_text())
    times = [datetime.fromisoformat(one).timestamp() for one in listed]
    # Otherwise who compares times uploads all of it again, and we would be said to be faster.
    assert min(times) > max(one.stat().st_mtime for one in tmp_path.glob("tree/*/*.txt"))
    with run_sink(nginx, tmp_path, IDS, stored, settings) as endpoint_url:
        trust = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        port = int(endpoint_url.rpartition(":")[2])
        connection = http.client.HTTPSConnection("localhost", port, context=trust)
        for path, expected in (("again/d00/f000000.txt", 100), ("down/d01/f000001.txt", 100)):
            connection.request("GET", f"/bench/{path}")
            answer = connection.getresponse()
            assert (answer.status, len(answer.read())) == (200, expected)
            if path.startswith("again"):
                assert connection.sock.version() == "TLSv1.2"
        assert answer.getheader("Connection") == "close"
        # Who is answered before may leave out the rest of what it should send.
        connection.putrequest("PUT", "/bench/new/0.bin?partNumber=1")
        connection.putheader("Content-Length", "200000")
        connection.endheaders(bytes(199_999))
        connection.sock.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.sock.recv(1)
        connection.sock.settimeout(30)
        connection.send(b"x")
        assert connection.getresponse().status == 200
        connection.close()


@pytest.mark.skipif(find_nginx() is None, reason="nginx is not installed")
def test_a_server_that_waits_lets_all_wait_at_once(tmp_path: Path) -> None:
    nginx = find_nginx()
    assert nginx is not None
    make_certificates(tmp_path)
    trust = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    stored = fill_sink(tmp_path, make_fixtures(tmp_path, TINY))
    count, seconds = 40, 0.5

    def put(number: int) -> tuple[int, str | None]:
        connection = http.client.HTTPSConnection("localhost", port, context=trust)
        headers = {"If-None-Match": "*"}
        connection.request("PUT", f"/bench/new/{number}", b"x" * 4096, headers)
        answer = connection.getresponse()
        connection.close()
        assert time.monotonic() - begun >= seconds
        return answer.status, answer.getheader("ETag")

    with (
        run_sink(nginx, tmp_path, IDS, stored, Settings()),
        run_waiting_front(nginx, tmp_path, SOCKET, seconds) as endpoint_url,
        ThreadPoolExecutor(count) as clients,
    ):
        port = int(endpoint_url.rpartition(":")[2])
        begun = time.monotonic()
        # As the sink itself answers.
        assert set(clients.map(put, range(count))) == {(201, f'"{"0123456789abcdef" * 2}"')}
        assert time.monotonic() - begun < count * seconds / 2


@pytest.mark.skipif(not hasattr(os, "splice"), reason="the delaying proxy needs Linux")
def test_a_far_server_gets_every_byte_late() -> None:
    """Small writes and large ones, through pipes that are reused, to the end of both ways."""
    sent = [os.urandom(size) for size in (1, 100, 5 << 20, 1, 3 << 20)]

    def echo(server: socket.socket) -> None:
        with server.accept()[0] as connection:
            while piece := connection.recv(1 << 20):
                connection.sendall(piece)

    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        thread = threading.Thread(target=echo, args=(server,))
        thread.start()
        stack.callback(thread.join)
        port = stack.enter_context(run_delaying_proxy(server.getsockname()[1], 0.1))
        client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
        for piece in sent:
            begun = time.monotonic()
            writer = threading.Thread(target=client.sendall, args=(piece,))
            writer.start()
            back = bytearray()
            while len(back) < len(piece):
                back += client.recv(1 << 20)
            writer.join()
            assert back == piece
            assert time.monotonic() - begun >= 0.1
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
