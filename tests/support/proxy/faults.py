"""What can go wrong between a client and S3, one small class each.

A fault sees one request as it passes: its head, its body in chunks, the answer's head, the
answer's body in chunks. It changes what passes, waits, or raises `Reset` or `Answered`.
Nothing here keeps time by sleeping on hope: waiting ends when the test, the client or the
proxy's end says so.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


class Reset(Exception):  # noqa: N818 - an order to the proxy, not an error of it
    """Reset the client's connection now."""


class Answered(Exception):  # noqa: N818 - an order to the proxy, not an error of it
    """Answer this instead, after the rest of the request was read."""

    def __init__(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.headers = dict(headers)


class Waiting(Protocol):
    """How a fault waits: `pause` returns early, with True, when the proxy or client is gone."""

    def pause(self, seconds: float | None) -> bool: ...


class Fault:
    """A fault that does nothing; each real one overrides the moment it strikes."""

    def request_head(self, waiting: Waiting) -> None:
        """Act before any of the body is read and before the server hears of the request."""

    def request_chunk(self, chunk: bytes, offset: int, waiting: Waiting) -> bytes:
        """Act on a piece of the body on its way to the server."""
        return chunk

    def request_end(self, waiting: Waiting) -> None:
        """Act when the client has sent everything and the server lacks the last piece."""

    def response_head(self, status: int, waiting: Waiting) -> None:
        """Act when the server has answered and the client has not heard."""

    def response_chunk(self, chunk: bytes, offset: int, waiting: Waiting) -> bytes:
        """Act on a piece of the answer's body on its way to the client."""
        return chunk

    def response_end(self, total_bytes: int, waiting: Waiting) -> None:
        """Act when the server has sent that many bytes of body and the client may lack some."""


def _error_body(code: str, message: str) -> bytes:
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code>'
        f"<Message>{message}</Message><RequestId>FAULT0000000001</RequestId></Error>"
    )
    return text.encode()


_REQUEST_ID = {"x-amz-request-id": "FAULT0000000001", "Content-Type": "application/xml"}


@dataclass
class Answer(Fault):
    """Answer an S3 error; the server never hears of the request, or did it all if `forward`.

    With status 200 and `forward` False this is S3's “200 OK with an error inside”.
    """

    status: int
    code: str
    message: str = "Injected by the test."
    forward: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)

    def _raise(self) -> None:
        raise Answered(
            self.status, _error_body(self.code, self.message), _REQUEST_ID | dict(self.headers)
        )

    def request_head(self, waiting: Waiting) -> None:
        if not self.forward:
            self._raise()

    def response_head(self, status: int, waiting: Waiting) -> None:
        self._raise()


def internal_error() -> Answer:
    return Answer(500, "InternalError")


def slow_down() -> Answer:
    return Answer(503, "SlowDown", "Please reduce your request rate.")


def too_many_requests() -> Answer:
    return Answer(429, "TooManyRequests", headers={"Retry-After": "0"})


def request_timeout() -> Answer:
    return Answer(408, "RequestTimeout")


def error_in_200() -> Answer:
    return Answer(200, "InternalError", "We encountered an internal error. Please try again.")


def expired_token() -> Answer:
    return Answer(400, "ExpiredToken", "The provided token has expired.")


def wrong_credentials() -> Answer:
    return Answer(403, "InvalidAccessKeyId", "The access key id you provided does not exist.")


def access_denied() -> Answer:
    return Answer(403, "AccessDenied", "Access Denied")


@dataclass
class LoginPage(Fault):
    """Answer a page, as a network that asks for a login or a proxy that blocks does to anything."""

    status: int = 200

    def request_head(self, waiting: Waiting) -> None:
        raise Answered(self.status, b"<html>Log in</html>", {"Content-Type": "text/html"})


@dataclass
class ResetBefore(Fault):
    """Reset the connection when the head has arrived."""

    def request_head(self, waiting: Waiting) -> None:
        raise Reset


@dataclass
class ResetInside(Fault):
    """Reset the connection inside the request's body; the server gets only what came before."""

    after_bytes: int = 1

    def request_chunk(self, chunk: bytes, offset: int, waiting: Waiting) -> bytes:
        if offset + len(chunk) >= self.after_bytes:
            raise Reset
        return chunk


@dataclass
class ResetAfter(Fault):
    """Reset the connection after the whole body; the server never completes the request."""

    def request_end(self, waiting: Waiting) -> None:
        raise Reset


@dataclass
class DropAnswer(Fault):
    """Let the server do it, then reset: the write happened and the client does not know."""

    def response_head(self, status: int, waiting: Waiting) -> None:
        raise Reset


@dataclass
class TruncateAnswer(Fault):
    """Cut the answer's body short and reset; a shorter body passes whole."""

    after_bytes: int

    def response_chunk(self, chunk: bytes, offset: int, waiting: Waiting) -> bytes:
        return chunk[: max(self.after_bytes - offset, 0)]

    def response_end(self, total_bytes: int, waiting: Waiting) -> None:
        if total_bytes > self.after_bytes:
            raise Reset


def _flip(chunk: bytes, index: int) -> bytes:
    if not 0 <= index < len(chunk):
        return chunk
    return chunk[:index] + bytes([chunk[index] ^ 0x01]) + chunk[index + 1 :]


@dataclass
class CorruptRequest(Fault):
    """Flip one bit of the byte at this offset of the request's body."""

    offset: int = 0

    def request_chunk(self, chunk: bytes, offset: int, waiting: Waiting) -> bytes:
        return _flip(chunk, self.offset - offset)


@dataclass
class CorruptAnswer(Fault):
    """Flip one bit of the byte at this offset of the answer's body."""

    offset: int = 0

    def response_chunk(self, chunk: bytes, offset: int, waiting: Waiting) -> bytes:
        return _flip(chunk, self.offset - offset)


@dataclass
class Stall(Fault):
    """Fall silent for some seconds, or until the client gives up: before or after the server."""

    seconds: float | None = None
    after_server: bool = False

    def request_head(self, waiting: Waiting) -> None:
        if not self.after_server:
            self._wait(waiting)

    def response_head(self, status: int, waiting: Waiting) -> None:
        if self.after_server:
            self._wait(waiting)

    def _wait(self, waiting: Waiting) -> None:
        if waiting.pause(self.seconds):
            raise Reset


@dataclass
class StallInAnswer(Fault):
    """Fall silent inside the answer's body until the client gives up."""

    after_bytes: int

    def response_chunk(self, chunk: bytes, offset: int, waiting: Waiting) -> bytes:
        return chunk[: max(self.after_bytes - offset, 0)]

    def response_end(self, total_bytes: int, waiting: Waiting) -> None:
        if total_bytes > self.after_bytes:
            waiting.pause(None)
            raise Reset


@dataclass
class Throttle(Fault):
    """Let both bodies pass at this many bytes a second."""

    bytes_per_second: float

    def request_chunk(self, chunk: bytes, offset: int, waiting: Waiting) -> bytes:
        return self._slow(chunk, waiting)

    def response_chunk(self, chunk: bytes, offset: int, waiting: Waiting) -> bytes:
        return self._slow(chunk, waiting)

    def _slow(self, chunk: bytes, waiting: Waiting) -> bytes:
        if waiting.pause(len(chunk) / self.bytes_per_second):
            raise Reset
        return chunk


@dataclass
class Hold(Fault):
    """Stop at one moment and tell the test, which then says how to go on.

    `moment` is one of: head, end (body read, the server lacks its last piece), answer.
    """

    moment: str = "end"
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def request_head(self, waiting: Waiting) -> None:
        self._hold("head", waiting)

    def request_end(self, waiting: Waiting) -> None:
        self._hold("end", waiting)

    def response_head(self, status: int, waiting: Waiting) -> None:
        self._hold("answer", waiting)

    def _hold(self, moment: str, waiting: Waiting) -> None:
        if moment != self.moment:
            return
        self.reached.set()
        while not self.released.wait(0.02):
            if waiting.pause(0):
                raise Reset
