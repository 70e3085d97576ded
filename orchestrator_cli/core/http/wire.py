"""One HTTP/1.1 connection: a request goes out whole, its answer comes back whole.

S3 needs little of HTTP, and a general client spends more time on the rest of it than on the
request: with 4 KiB bodies over TLS this takes 0.03 ms of CPU where urllib3 and obstore take ten
times that. It follows no redirect, keeps no cookie and decodes no content encoding.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator_cli.core.http.dial import Address, dial, gather, taken_bytes
from orchestrator_cli.core.http.framing import (
    Head,
    MalformedError,
    TransportError,
    checked_length,
    parse_chunk_length,
    parse_head,
    parse_length,
)
from orchestrator_cli.core.http.request_body import BLOCK_BYTES, WireBody, pieces

_MOST_HEAD_BYTES = 64 * 1024
# What forwards between may forget a connection that is idle for longer, and tell nobody.
_LONGEST_IDLE_SECONDS = 90
# Headers of an answer before the last one's, each of 100 to 199, and lines after its last chunk.
_MOST_INTERIM = 16
_MOST_TRAILERS = 64
# After sending has timed out: the reason may be an answer that has been there for long.
_LAST_LOOK_SECONDS = 1.0
_BODILESS = frozenset({204, 304})


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of any status. The names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    data: bytes | bytearray | memoryview


class Connection:
    """A connection that is used for one request after another. Not shared between threads."""

    def __init__(self, address: Address) -> None:
        """Connect. Raises TransportError."""
        # What was received of an answer and not taken yet, and whether anything was.
        self._rest = b""
        self._answering = False
        # How much of a large body has arrived, when that was last looked at.
        self._taken_bytes: int | None = None
        self._into: bytearray | None = None
        try:
            self._socket = dial(address)
        except (OSError, ValueError) as error:
            raise TransportError(_reason(error)) from error
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        # What TLS has received and decrypted already, of which the poll knows nothing.
        self._pending: Callable[[], int] = getattr(self._socket, "pending", lambda: 0)
        self._used_at = time.monotonic()
        self.used = False

    def is_usable(self) -> bool:
        """Say whether it may be used again: what can be read unasked is its end, or no answer."""
        idle_seconds = time.monotonic() - self._used_at
        return idle_seconds < _LONGEST_IDLE_SECONDS and not self._poll.poll(0)

    def exchange(
        self, method: str, head: bytes, body: WireBody, into: bytearray | None = None
    ) -> tuple[Answer, bool]:
        """Send a request, return its answer and whether the connection can be used again.

        A body of known length that fits is received `into` a buffer and is a view of that.
        Raises TransportError, and what reading the body raises; it cannot be used then.
        """
        self._answering = False
        self._into = into
        failure = self._send(head, body)
        if isinstance(failure, TimeoutError):
            self._socket.settimeout(_LAST_LOOK_SECONDS)
        try:
            answer, keeps = self._receive(method)
        except MalformedError:
            raise
        except (OSError, TransportError) as error:
            cause = failure or error
            unanswered = not self._answering and not isinstance(cause, TimeoutError)
            raise TransportError(_reason(cause), unanswered=unanswered) from cause
        self._used_at = time.monotonic()
        self.used = True
        return answer, keeps and failure is None

    def close(self) -> None:
        """Close it."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def _send(self, head: bytes, body: WireBody) -> OSError | None:
        """Send all; return why that failed, since the reason may be an answer that came early."""
        if isinstance(body, bytes) and len(body) <= BLOCK_BYTES:
            self._taken_bytes = None
            return self._sent(head + body)
        self._taken_bytes = -1
        gather(self._socket, True)
        try:
            return self._sent_in_pieces(pieces(head, body))
        finally:
            gather(self._socket, False)

    def _sent_in_pieces(self, pieces: Iterable[Any]) -> OSError | None:
        for piece in pieces:
            left = memoryview(piece)
            while left:
                try:
                    # Not sendall(), which has one time limit for all of it.
                    left = left[self._socket.send(left) :]
                except OSError as error:
                    if not self._moves(error):
                        return error
        return None

    def _sent(self, request: bytes) -> OSError | None:
        try:
            self._socket.sendall(request)
        except OSError as error:
            return error
        return None

    def _moves(self, error: OSError) -> bool:
        """Say whether what timed out is only slow: more of a large body has arrived since.

        What the system has taken over to send may take minutes where the network is slow.
        """
        if not isinstance(error, TimeoutError) or self._taken_bytes is None:
            return False
        before, self._taken_bytes = self._taken_bytes, taken_bytes(self._socket)
        return self._taken_bytes > before

    def _receive(self, method: str) -> tuple[Answer, bool]:
        head = self._final_head()
        data, ended = self._body(method, head)
        # What comes unasked would be taken for the next answer.
        unasked = self._rest or self._pending()
        keeps = head.keeps_open and ended and not unasked
        return Answer(head.status, head.headers, data), keeps

    def _final_head(self) -> Head:
        for _ in range(_MOST_INTERIM):
            head = self._head()
            if head.status >= 200:
                return head
        raise MalformedError("the answer does not come to its end")

    def _head(self) -> Head:
        data = self._rest or self._more()
        while (end := data.find(b"\r\n\r\n")) < 0:
            if len(data) > _MOST_HEAD_BYTES:
                raise MalformedError("the answer has too long a head")
            data += self._more()
        self._rest = data[end + 4 :]
        return parse_head(data[:end])

    def _body(self, method: str, head: Head) -> tuple[bytes | bytearray | memoryview, bool]:
        """Return the body, and whether it ended otherwise than by the end of the connection."""
        coding = head.headers.get("transfer-encoding", "identity").lower()
        if method == "HEAD" or head.status in _BODILESS:
            return b"", True
        if coding == "chunked":
            return self._chunked(), True
        if coding != "identity":
            raise MalformedError("the answer is coded in a way that was not asked for")
        if "content-length" in head.headers:
            size_bytes = parse_length(head.headers["content-length"])
            return self._sized(size_bytes, self._into), True
        return self._to_the_end(), False

    def _more(self) -> bytes:
        while True:
            try:
                data: bytes = self._socket.recv(BLOCK_BYTES)
            except TimeoutError as error:
                if self._answering or not self._moves(error):
                    raise
                continue
            if not data:
                raise TransportError("the connection was closed")
            self._answering = True
            return data

    def _sized(
        self, size_bytes: int, into: bytearray | None = None
    ) -> bytes | bytearray | memoryview:
        have = len(self._rest)
        if size_bytes <= have:
            data, self._rest = self._rest[:size_bytes], self._rest[size_bytes:]
            return data
        fits = into is not None and len(into) >= size_bytes
        content = into if into is not None and fits else bytearray(size_bytes)
        view = memoryview(content)[:size_bytes]
        view[:have] = self._rest
        self._rest = b""
        while have < size_bytes:
            # Said, how many: TLS would look at the buffer once more to find out.
            received = self._socket.recv_into(view[have:], size_bytes - have)
            if not received:
                raise TransportError("the connection was closed in the middle of an answer")
            have += received
        return view if fits else content

    def _chunked(self) -> bytearray:
        content = bytearray()
        while size_bytes := parse_chunk_length(self._line()):
            checked_length(len(content) + size_bytes)
            content += self._sized(size_bytes)
            if self._line():
                raise MalformedError("the answer's length is malformed")
        for _ in range(_MOST_TRAILERS):
            if not self._line():
                return content
        raise MalformedError("the answer does not come to its end")

    def _line(self) -> bytes:
        while (end := self._rest.find(b"\r\n")) < 0:
            if len(self._rest) > _MOST_HEAD_BYTES:
                raise MalformedError("the answer has too long a line")
            self._rest += self._more()
        line, self._rest = self._rest[:end], self._rest[end + 2 :]
        return line

    def _to_the_end(self) -> bytearray:
        content = bytearray(self._rest)
        self._rest = b""
        while data := self._socket.recv(BLOCK_BYTES):
            content += data
            checked_length(len(content))
        return content


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, socket.gaierror) or not isinstance(error, OSError | TransportError):
        return "the host name cannot be resolved"
    return str(error) or type(error).__name__
