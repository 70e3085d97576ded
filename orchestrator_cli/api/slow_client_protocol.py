"""HTTP/1.1 for one connection: uvicorn's, with limits on what a client may make it wait for."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from orchestrator_cli.api.middleware import TASK

# In which a request has to come, head and body.
REQUEST_SECONDS = 10
# What a client has to take of a long answer in as long.
LEAST_TAKEN_BYTES = 64 * 1024


class SlowClientProtocol(H11Protocol):
    """A connection that is closed if its request is not whole, or its answer not taken, in time.

    And, where there are too many, if it has waited longest for a request. uvicorn itself waits for
    ever, for headers, bodies and readers, and refuses what is new; and it goes on to answer a
    client that has gone. Each server has a class of its own, made by `limited`.
    """

    request_seconds: ClassVar[float]
    most_connections: ClassVar[int]
    # Connections without a whole request, in the order in which they began to wait for one.
    waiting: ClassVar[dict[SlowClientProtocol, None]]

    _asking: asyncio.TimerHandle | None = None
    _taking: asyncio.TimerHandle | None = None

    @classmethod
    def limited(cls, request_seconds: float, most_connections: int) -> type[SlowClientProtocol]:
        """Return the class for one server."""
        limits = {"request_seconds": request_seconds, "most_connections": most_connections}
        return type("LimitedProtocol", (cls,), {**limits, "waiting": {}})

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        # asyncio leaves it out for a listening socket made elsewhere. Without, the body of an
        # answer waits for the client to acknowledge its head, 40 ms on Linux.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.set_write_buffer_limits(0)
        if len(self.connections) > self.most_connections:
            self._make_room()
        self._await_request()

    def data_received(self, data: bytes) -> None:
        """Take bytes; the time runs from the first of a request to its last."""
        super().data_received(data)
        if self._request_is_whole():
            self._stop_asking()
        else:
            self._await_request()

    def on_response_complete(self) -> None:
        """Wait for the next request, for which `timeout_keep_alive` runs."""
        super().on_response_complete()
        if not self._request_is_whole():
            self.waiting[self] = None

    def pause_writing(self) -> None:
        """Begin to watch whether the client takes what could not be sent at once."""
        super().pause_writing()
        if self._taking is None:
            self._await_taking()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting, and answering."""
        self._stop_asking()
        if self._taking is not None:
            self._taking.cancel()
        super().connection_lost(exc)
        scope: Any = self.scope  # None before the first request
        task = scope.get(TASK) if scope else None
        if task is not None:
            task.cancel()

    def _make_room(self) -> None:
        longest = next(iter(self.waiting), None)
        if longest is not None:
            # It is lost a moment later only; the next one must not choose it again.
            del self.waiting[longest]
            longest.transport.abort()

    def _request_is_whole(self) -> bool:
        return self.conn.their_state not in (h11.IDLE, h11.SEND_BODY)

    def _await_request(self) -> None:
        if self._asking is None:
            self._asking = self.loop.call_later(self.request_seconds, self.transport.abort)
            self.waiting.setdefault(self)

    def _stop_asking(self) -> None:
        self.waiting.pop(self, None)
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None

    def _await_taking(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._taking = self.loop.call_later(self.request_seconds, self._check_taking, left)

    def _check_taking(self, left_before: int) -> None:
        left, self._taking = self.transport.get_write_buffer_size(), None
        if left and left > left_before - LEAST_TAKEN_BYTES:
            # A reset, or the kernel would keep for the client what it has not taken.
            connection = self.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        elif left:
            self._await_taking()
