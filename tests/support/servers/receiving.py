"""A server on loopback that takes what is pushed to it, and can be made to misbehave."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast


@dataclass(frozen=True)
class Pushed:
    """One request, as it arrived. Header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """What the server answers; with `hangs` nothing, as long as it runs."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    hangs: bool = False


class Receiver:
    """A running server: `pushed` is what came.

    `answers` are what it gives to the next requests, `answer` what it gives after these.
    """

    def __init__(self, certificate: Path | None) -> None:
        self.pushed: list[Pushed] = []
        self.answers: list[Answer] = []
        self.answer = Answer()
        self.closing = threading.Event()
        self._changed = threading.Condition()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.receiver = self
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.netloc = f"127.0.0.1:{self._server.server_port}"
        self.url = f"{'http' if certificate is None else 'https'}://{self.netloc}"

    def take(self, pushed: Pushed) -> Answer:
        with self._changed:
            self.pushed.append(pushed)
            self._changed.notify_all()
            return self.answers.pop(0) if self.answers else self.answer

    def wait_for(self, count: int, timeout_seconds: float = 60) -> None:
        """Wait until so many requests have come."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.pushed) >= count, timeout_seconds):
                raise TimeoutError(f"{len(self.pushed)} of {count} requests came")

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    receiver: Receiver

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing when a client gives up, or does not trust us."""


class _Handler(BaseHTTPRequestHandler):
    def _take(self) -> None:
        receiver = cast("_Server", self.server).receiver
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): text for name, text in self.headers.items()}
        answer = receiver.take(Pushed(self.command, self.path, headers, body))
        if answer.hangs:
            receiver.closing.wait(60)
            return
        self.send_response(answer.status)
        for name, text in answer.headers.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(answer.body)

    do_GET = do_PUT = do_POST = _take  # noqa: N815 - the base's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Keep the tests' output clean."""


@contextmanager
def receiving(certificate: Path | None = None) -> Iterator[Receiver]:
    """Run a server until the context ends; with a certificate, over TLS."""
    receiver = Receiver(certificate)
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.close()


@contextmanager
def dripping() -> Iterator[str]:
    """Run a server that answers one byte at a time, without an end; yield its URL."""
    closing = threading.Event()

    def serve() -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
                while not closing.wait(0.2):
                    connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            closing.set()
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()
