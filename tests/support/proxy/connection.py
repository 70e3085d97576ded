"""One client's connection through the proxy: each request is passed on, recorded and harmed.

Bodies pass through in pieces, so their size does not matter. One piece of a request's body is
always held back until the next is there: a fault at the body's end strikes while the server
cannot have completed the request.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import select
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, cast

from tests.support.proxy.faults import Answered, Fault, Reset
from tests.support.proxy.operations import Request, parse_request

if TYPE_CHECKING:
    from tests.support.proxy.proxy import Listener

_PIECE_BYTES = 256 * 1024
_KEPT_BODY_BYTES = 64 * 1024
_HOP_HEADERS = frozenset({"connection", "keep-alive", "transfer-encoding", "expect"})
_HUNG_UP = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0)


@dataclass
class Exchange:
    """One request as it passed; `status` is None where the client got no answer.

    `request_bytes` is what the client sent of the body, `forwarded_bytes` what the server got,
    `response_bytes` what the client got. `request_body` keeps the first 64 KiB.
    """

    request: Request
    request_bytes: int = 0
    forwarded_bytes: int = 0
    response_bytes: int = 0
    request_body: bytes = b""
    status: int | None = None
    server_status: int | None = None
    faults: list[Fault] = field(default_factory=list)

    @property
    def operation(self) -> str:
        return self.request.operation

    @property
    def key(self) -> str:
        return self.request.key

    @property
    def part_number(self) -> int | None:
        return self.request.part_number


class Connection(BaseHTTPRequestHandler):
    """Serves one client; every request gets a server connection of its own."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.proxy = cast("Listener", self.server).proxy

    def finish(self) -> None:
        self.proxy.untrack(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._pass
        raise AttributeError(name)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Keep the tests' output clean."""

    def handle_expect_100(self) -> bool:
        """Leave “100 Continue” to `_body_pieces`, so that a fault may strike before the body."""
        return True

    def pause(self, seconds: float | None) -> bool:
        """Wait on behalf of a fault; return True as soon as the client or the proxy is gone."""
        remaining = seconds
        while not self._everyone_is_gone():
            if remaining is not None and remaining <= 0:
                return False
            step = 0.02 if remaining is None else min(0.02, remaining)
            self.proxy.closing.wait(step)
            remaining = None if remaining is None else remaining - step
        return True

    def _everyone_is_gone(self) -> bool:
        poll = select.poll()
        poll.register(self.connection, _HUNG_UP)
        return self.proxy.closing.is_set() or bool(poll.poll(0))

    def _pass(self) -> None:
        """Pass one request on, and its answer back."""
        request = parse_request(self.command, self.path, dict(self.headers.items()))
        self.exchange = self.proxy.begin(request)
        self.unread_bytes = int(self.headers.get("Content-Length") or 0)
        self.awaits_100 = self.headers.get("Expect", "").lower() == "100-continue"
        self.upstream = http.client.HTTPConnection(*self.proxy.upstream, timeout=300)
        try:
            self._relay()
        except Answered as answer:
            self._answer(answer)
        except (Reset, OSError, http.client.HTTPException):
            self._reset()
        finally:
            self.upstream.close()
            self.proxy.end()

    def _relay(self) -> None:
        if "Transfer-Encoding" in self.headers:
            raise Answered(411, b"", {})  # as Ceph does; nothing under test sends chunks
        for fault in self.exchange.faults:
            fault.request_head(self)
        self._send_request()
        self.response = self.upstream.getresponse()
        self.exchange.server_status = self.response.status
        for fault in self.exchange.faults:
            fault.response_head(self.response.status, self)
        self._send_response(self.response)

    def _send_request(self) -> None:
        outgoing = self._outgoing_pieces()
        held_back = next(outgoing, b"")
        head_is_sent = False
        for piece in outgoing:
            if not head_is_sent:
                self._send_head()
                head_is_sent = True
            self._forward(held_back)
            held_back = piece
        for fault in self.exchange.faults:
            fault.request_end(self)
        if not head_is_sent:
            self._send_head()
        self._forward(held_back)

    def _outgoing_pieces(self) -> Iterator[bytes]:
        """Yield the body's pieces as the faults leave them."""
        offset = 0
        for piece in self._body_pieces():
            harmed = piece
            for fault in self.exchange.faults:
                harmed = fault.request_chunk(harmed, offset, self)
            offset += len(piece)
            yield harmed

    def _body_pieces(self) -> Iterator[bytes]:
        """Yield the body as the client sends it; a client that goes away is a reset."""
        if self.awaits_100 and self.unread_bytes:
            self.awaits_100 = False
            self.send_response_only(100)
            self.end_headers()
        while self.unread_bytes:
            piece = self.rfile.read1(min(_PIECE_BYTES, self.unread_bytes))
            if not piece:
                raise Reset
            self.unread_bytes -= len(piece)
            self.exchange.request_bytes += len(piece)
            room = _KEPT_BODY_BYTES - len(self.exchange.request_body)
            self.exchange.request_body += piece[: max(room, 0)]
            self.proxy.note()
            yield piece

    def _send_head(self) -> None:
        self.upstream.putrequest(self.command, self.path, True, True)
        for name, value in self.headers.items():
            if name.lower() not in _HOP_HEADERS:
                self.upstream.putheader(name, value)
        self.upstream.endheaders()

    def _forward(self, piece: bytes) -> None:
        """Send a piece to the server; where it stopped listening, its answer will say why."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if piece:
                self.upstream.send(piece)
                self.exchange.forwarded_bytes += len(piece)

    def _send_response(self, response: http.client.HTTPResponse) -> None:
        self.send_response_only(response.status, response.reason)
        for name, value in response.getheaders():
            if name.lower() not in _HOP_HEADERS:
                self.send_header(name, value)
        if response.length is None:  # the server ends its body by closing, or in chunks
            self.close_connection = True
            self.send_header("Connection", "close")
        self.exchange.status = response.status  # before the client can know it, and so the test
        self.end_headers()
        self._send_response_body(response)

    def _send_response_body(self, response: http.client.HTTPResponse) -> None:
        offset = 0
        while piece := response.read1(_PIECE_BYTES):
            harmed = piece
            for fault in self.exchange.faults:
                harmed = fault.response_chunk(harmed, offset, self)
            offset += len(piece)
            self.exchange.response_bytes += len(harmed)
            self.wfile.write(harmed)
            self.proxy.note()
        for fault in self.exchange.faults:
            fault.response_end(offset, self)

    def _answer(self, answer: Answered) -> None:
        """Answer in the server's place, once the client is listening."""
        try:
            self._skip_body()
            self.send_response_only(answer.status)
            for name, value in ({"Content-Length": str(len(answer.body))} | answer.headers).items():
                self.send_header(name, value)
            if self.close_connection:
                self.send_header("Connection", "close")
            self.exchange.status = answer.status
            self.end_headers()
            self.wfile.write(answer.body if self.command != "HEAD" else b"")
        except (Reset, OSError):
            self._reset()

    def _skip_body(self) -> None:
        """Read what the client still sends; one that waits for “100 Continue” sends nothing."""
        if (self.awaits_100 and self.unread_bytes) or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            return
        for _ in self._body_pieces():
            pass

    def _reset(self) -> None:
        """Close with RST: without lingering, and without the FIN that shutdown() would send."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())
