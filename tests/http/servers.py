"""Small servers and stand-ins for the tests of the HTTP transports."""

from __future__ import annotations

import asyncio
import re
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.support.servers.scripted import Peer, Scripted

OK = b"HTTP/1.1 200 OK\r\n"


class Stop:
    """A token that is set by the test."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[], object]] = []
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    def add_callback(self, callback: Callable[[], object]) -> Callable[[], object]:
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    @property
    def callbacks(self) -> int:
        return len(self._callbacks)

    def set(self) -> None:
        self._is_set = True
        for callback in list(self._callbacks):
            callback()


class BytesReader:
    """A body that is read in pieces, of which the test says how large they are at most."""

    def __init__(self, data: bytes, piece_bytes: int = 1 << 30) -> None:
        self._data = memoryview(data)
        self._piece_bytes = piece_bytes
        self._position = 0
        self.size_bytes = len(data)
        self.rewinds = 0

    def read(self, size: int, /) -> bytes | memoryview:
        end = self._position + min(size, self._piece_bytes)
        piece = self._data[self._position : end]
        self._position += len(piece)
        return piece

    def rewind(self) -> None:
        self._position = 0
        self.rewinds += 1


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def port_of(server: Scripted) -> int:
    return int(server.url.rpartition(":")[2])


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port at which every connection is refused."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def tunnel_to(server: Scripted, peer: Peer) -> None:
    """Do what CONNECT asks for, whatever the name."""
    received = peer.request()
    assert received.method == "CONNECT"
    with socket.create_connection(("127.0.0.1", port_of(server)), 20) as upstream:
        peer.send(b"HTTP/1.1 200 Connection established\r\nvia: 1.1 proxy\r\n\r\n")
        relay(peer.socket, upstream)


def relay(client: socket.socket, upstream: socket.socket) -> None:
    """Pass everything on in both directions until one side ends.

    In one thread: TLS does not bear that one thread sends while another receives.
    """
    other = {client: upstream, upstream: client}
    with selectors.DefaultSelector() as selector, suppress(OSError):
        for side in other:
            selector.register(side, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                source = key.fileobj
                assert isinstance(source, socket.socket)
                if not _pass_on(source, other[source]):
                    return


def _pass_on(source: socket.socket, target: socket.socket) -> bool:
    """Pass on what can be received at once; return False at the end."""
    while True:
        data = source.recv(65536)
        target.sendall(data)
        if not data or not getattr(source, "pending", lambda: 0)():
            return bool(data)


class LoadServer:
    """Answers many connections at once, each request after a time or as a function says.

    `respond` is given the target and returns status and headers.
    """

    def __init__(self, seconds: float, respond: Callable[[str], tuple[int, str]]) -> None:
        self.url = ""
        self.requests = 0
        self.connections = 0
        self.in_flight = 0
        self.most_in_flight = 0
        self._seconds = seconds
        self._respond = respond

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                size = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
                await reader.readexactly(int(size[1]) if size else 0)
                await self._answer(head.split()[1], writer)
        writer.close()

    async def _answer(self, target: str, writer: asyncio.StreamWriter) -> None:
        self.requests += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        if self._seconds:
            await asyncio.sleep(self._seconds)
        self.in_flight -= 1
        status, headers = self._respond(target)
        head = f"HTTP/1.1 {status} x\r\ncontent-length: {len(target)}\r\n{headers}\r\n"
        writer.write(f"{head}{target}".encode())
        await writer.drain()


@contextmanager
def load_server(
    seconds: float = 0, respond: Callable[[str], tuple[int, str]] = lambda _: (200, "")
) -> Iterator[LoadServer]:
    """Run a LoadServer in a thread of its own."""
    server = LoadServer(seconds, respond)
    loop = asyncio.new_event_loop()
    started, ended = threading.Event(), asyncio.Event()

    async def main() -> None:
        opened = await asyncio.start_server(server.serve, "127.0.0.1", 0, backlog=2048)
        server.url = f"http://127.0.0.1:{opened.sockets[0].getsockname()[1]}"
        started.set()
        await ended.wait()
        opened.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    assert started.wait(20)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(20)
        loop.close()
