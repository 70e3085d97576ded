"""An HTTPS server of our own, for what nginx cannot answer: it counts, and drops what it is sent.

It runs in threads of the benchmark and costs more than nginx does, so what it is asked is counted
and timed by it, and not compared by seconds with what nginx answers.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

from tests.support.proxy.operations import Request, parse_request

_PIECE_BYTES = 256 * 1024


@dataclass
class Call:
    """A request, and what of its body has arrived when; `arrived` once it is whole.

    Times are of `time.monotonic`; the framing of chunks counts as body.
    """

    request: Request
    body: bytes = b""
    received_bytes: int = 0
    first_byte_at: float | None = None
    arrived: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered; the length is that of the body unless a header says so."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class CountingServer(ThreadingHTTPServer):
    """Asks `answer` about each request whose body has arrived, from several threads.

    Only the bodies of POST are handed on.
    """

    # Its end waits for theirs, and their clients have ended by then.
    daemon_threads = False
    request_queue_size = 256

    def __init__(self, answer: Callable[[Call], Answer], certificates: Path) -> None:
        """Listen on loopback, with the certificate that is in a directory."""
        super().__init__(("127.0.0.1", 0), _Connection)
        self.answer = answer
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificates / "leaf.pem", certificates / "leaf.key")
        self.calls: list[Call] = []
        self._received_bytes = 0
        self._mark_bytes: int | None = None
        self._reached = threading.Event()
        self._active = 0
        self._changed = threading.Condition()

    @property
    def endpoint_url(self) -> str:
        """Where it is."""
        return f"https://localhost:{self.server_port}"

    def parts(self) -> list[Call]:
        """Return the parts that were sent, whole or not, in the order of their arrival."""
        return [call for call in list(self.calls) if call.request.operation == "UploadPart"]

    def operations(self) -> Counter[str]:
        """Count the requests by operation."""
        return Counter(call.request.operation for call in self.calls)

    def forget(self, timeout_seconds: float = 60) -> list[Call]:
        """Return the requests and begin to count anew, once none is under way."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._active == 0, timeout_seconds):
                raise TimeoutError("requests are still under way")
            calls, self.calls = self.calls, []
            self._received_bytes = 0
            return calls

    @contextmanager
    def held_at(self, mark_bytes: int) -> Iterator[threading.Event]:
        """Read nothing once so much of bodies has arrived since `forget`, until the block ends.

        Yields what is set then: who wants to end the client at that point need not hurry.
        """
        self._mark_bytes = mark_bytes
        try:
            yield self._reached
        finally:
            with self._changed:
                self._mark_bytes = None
                self._reached.clear()
                self._changed.notify_all()

    def note_received(self, size_bytes: int) -> None:
        """Count bytes, and hold their reader at the mark."""
        with self._changed:
            self._received_bytes += size_bytes
            if self._mark_bytes is not None and self._received_bytes >= self._mark_bytes:
                self._reached.set()
                self._changed.wait_for(lambda: self._mark_bytes is None)

    @contextmanager
    def noted(self, request: Request) -> Iterator[Call]:
        """Note a request that is under way until the block ends."""
        call = Call(request)
        with self._changed:
            self.calls.append(call)
            self._active += 1
        try:
            yield call
        finally:
            with self._changed:
                self._active -= 1
                self._changed.notify_all()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve a client, in a thread of its own: a handshake must not keep others waiting."""
        with self.tls.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that were killed; what else fails, they will say."""


@contextmanager
def run_counting_server(
    answer: Callable[[Call], Answer], certificates: Path
) -> Iterator[CountingServer]:
    """Serve until the block ends."""
    with CountingServer(answer, certificates) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    rbufsize = _PIECE_BYTES
    # The head of an answer and its body leave together.
    wbufsize = _PIECE_BYTES

    @property
    def counting(self) -> CountingServer:
        return cast("CountingServer", self.server)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Leave the terminal to the figures."""

    def handle_expect_100(self) -> bool:
        """Tell the client at once to go on."""
        going_on = super().handle_expect_100()
        self.wfile.flush()
        return going_on

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def _answer(self) -> None:
        headers = dict(self.headers.items())
        with self.counting.noted(parse_request(self.command, self.path, headers)) as call:
            self._receive(call)
            answer = self.counting.answer(call)
        self.send_response_only(answer.status)
        for name, value in ({"Content-Length": str(len(answer.body))} | answer.headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _receive(self, call: Call) -> None:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                self._receive_bytes(call, size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            self._receive_bytes(call, int(self.headers.get("Content-Length") or 0))
        call.arrived = True

    def _receive_bytes(self, call: Call, size: int) -> None:
        piece = memoryview(bytearray(min(_PIECE_BYTES, size)))
        while size:
            count = self.rfile.readinto1(piece[: min(len(piece), size)])
            if not count:
                raise ConnectionResetError("the client is gone")
            if call.first_byte_at is None:
                call.first_byte_at = time.monotonic()
            if self.command == "POST":
                call.body += piece[:count]
            call.received_bytes += count
            self.counting.note_received(count)
            size -= count
