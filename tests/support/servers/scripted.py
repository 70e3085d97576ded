"""A server that says byte for byte what the test says, over real sockets on loopback."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tests.support.servers.certificates import Certificate

# Nothing under test takes as long.
_TIMEOUT_SECONDS = 30


class ClientGone(Exception):  # noqa: N818 - it is how a script usually ends
    """The client has closed the connection."""


@dataclass(frozen=True)
class Received:
    """One request as it came. `headers` has the names as they were sent."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        found = [text for known, text in self.headers if known.lower() == name]
        assert len(found) <= 1, f"{name} came more than once"
        return found[0] if found else None


class Peer:
    """One connection from the server's side."""

    def __init__(self, server: Scripted, connection: socket.socket) -> None:
        self.socket = connection
        self._server = server
        self._data = bytearray()

    def request(self) -> Received:
        """Read one whole request. Raises ClientGone between two."""
        received, size = self.request_head()
        while len(self._data) < size:
            self._more()
        body = bytes(self._data[:size])
        del self._data[:size]
        received = Received(received.method, received.target, received.headers, body)
        self._server.requests.append(received)
        return received

    def request_head(self) -> tuple[Received, int]:
        """Read a request's head, and return it with the size of the body that is to follow."""
        while b"\r\n\r\n" not in self._data:
            self._more()
        head, _, rest = self._data.partition(b"\r\n\r\n")
        self._data = rest
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, version = first.split(" ")
        # Python's own CONNECT is of HTTP/1.0 before 3.12.
        assert version == "HTTP/1.1" or method == "CONNECT"
        headers = [(name, text) for name, _, text in (line.partition(": ") for line in lines)]
        received = Received(method, target, headers, b"")
        return received, int(received.header("content-length") or 0)

    def taken(self) -> bytearray:
        """Return, once, what came after the head that was read."""
        data, self._data = self._data, bytearray()
        return data

    def _more(self) -> None:
        try:
            data = self.socket.recv(256 * 1024)
        except (ConnectionError, ssl.SSLError):
            data = b""
        if not data:
            raise ClientGone
        self._data += data

    def answer(self, body: bytes = b"", status: str = "200 OK", *headers: str) -> None:
        """Answer in the plainest way."""
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def send(self, data: bytes) -> None:
        """Send bytes as they are. Raises ClientGone."""
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise ClientGone from error

    def wait(self) -> None:
        """Say nothing until the client closes the connection."""
        with contextlib.suppress(ClientGone):
            while True:
                self._more()

    def stop_reading(self) -> None:
        """Take nothing more until the client closes; it cannot tell this from a slow network."""
        self._server.closing.wait(_TIMEOUT_SECONDS)

    def pause(self, seconds: float) -> bool:
        """Send nothing for so long; return True, and at once, where the server ends."""
        return self._server.closing.wait(seconds)

    def reset(self) -> None:
        """End the connection as a host does that knows nothing of it."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.socket.detach())

    def end(self) -> None:
        """End the connection in TLS's own way; without TLS nothing differs from closing."""
        if isinstance(self.socket, ssl.SSLSocket):
            # Without waiting for the client's own.
            self.socket.setblocking(False)
            with contextlib.suppress(OSError):
                self.socket = self.socket.unwrap()


Script = Callable[[Peer], None]


@dataclass
class Scripted:
    """A running server. `requests` are those that came whole, of all connections in order."""

    url: str
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    failures: list[BaseException] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    peers: list[Peer] = field(default_factory=list)

    def close_all(self) -> None:
        """End what is still open, as a server does that is stopped."""
        for peer in self.peers:
            with contextlib.suppress(OSError):
                # Not SSLSocket's, which would make the next bytes read unencrypted.
                socket.socket.shutdown(peer.socket, socket.SHUT_RDWR)


def serve_on(peer: Peer) -> None:
    """Answer every request of a connection with 200 and the name of what it asked for."""
    while True:
        peer.answer(peer.request().target.encode())


@contextlib.contextmanager
def scripted(
    *scripts: Script, tls: Certificate | None = None, host: str = "127.0.0.1"
) -> Iterator[Scripted]:
    """Serve: each connection by the next script, those after the last by the last one.

    What a script asserts is checked; leaving ends what is still open.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, 0), family=family, backlog=128)
    scheme, named = ("https" if tls else "http"), f"[{host}]" if ":" in host else host
    server = Scripted(f"{scheme}://{named}:{listener.getsockname()[1]}")
    threads: list[threading.Thread] = []
    context = tls.server_context() if tls else None
    accepting = threading.Thread(
        target=_accept, args=(listener, server, scripts, context, threads), daemon=True
    )
    accepting.start()
    try:
        yield server
    finally:
        server.closing.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        accepting.join(_TIMEOUT_SECONDS)
        listener.close()
        server.close_all()
        for thread in threads:
            thread.join(_TIMEOUT_SECONDS)
    assert not any(thread.is_alive() for thread in [accepting, *threads])
    if server.failures:
        raise server.failures[0]


def _accept(
    listener: socket.socket,
    server: Scripted,
    scripts: Sequence[Script],
    context: ssl.SSLContext | None,
    threads: list[threading.Thread],
) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            script = scripts[min(server.connections, len(scripts) - 1)]
            server.connections += 1
            thread = threading.Thread(
                target=_play, args=(server, connection, script, context), daemon=True
            )
            threads.append(thread)
            thread.start()


def _play(
    server: Scripted, connection: socket.socket, script: Script, context: ssl.SSLContext | None
) -> None:
    connection.settimeout(_TIMEOUT_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        if context is not None:
            connection = context.wrap_socket(connection, server_side=True)
    except OSError:
        connection.close()
        return
    peer = Peer(server, connection)
    server.peers.append(peer)
    try:
        script(peer)
    except ClientGone:
        pass
    except BaseException as failure:  # noqa: BLE001 - raised where the test sees it
        server.failures.append(failure)
    finally:
        with contextlib.suppress(OSError):
            peer.socket.close()
