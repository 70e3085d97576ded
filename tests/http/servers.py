"""Small servers and stand-ins for the tests of the HTTP transports."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.support.scripted import Peer, Scripted

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
    """Pass everything on in both directions until one side ends."""
    back = threading.Thread(target=_pump, args=(upstream, client))
    back.start()
    _pump(client, upstream)
    back.join(20)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
