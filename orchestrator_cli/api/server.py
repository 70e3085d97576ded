"""The server process: uvicorn, with a limit on how long a client may take to send a request."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from orchestrator_cli.api.guard import TASK
from orchestrator_cli.core.errors import UsageError, printable

REQUEST_SECONDS = 10
KEEP_ALIVE_SECONDS = 30
DRAIN_SECONDS = 30
MAX_HEADER_BYTES = 16 * 1024
MAX_CONNECTIONS = 512
# What a client has to take of a long answer in the time it has to send a request.
LEAST_TAKEN_BYTES = 64 * 1024


class ImpatientProtocol(H11Protocol):
    """HTTP/1.1 that closes a connection whose request is not whole, or answer not taken, in time.

    uvicorn itself waits for ever, for headers, for bodies and for readers; and it goes on to
    answer a client that has gone.
    """

    request_seconds: float = REQUEST_SECONDS
    _asking: asyncio.TimerHandle | None = None
    _taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        # asyncio leaves it out for a listening socket made elsewhere. Without, the body of an
        # answer waits for the client to acknowledge its head, 40 ms on Linux.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.set_write_buffer_limits(0)
        self._await_request()

    def data_received(self, data: bytes) -> None:
        """Take bytes; the time runs from the first of a request to its last."""
        super().data_received(data)
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self._await_request()
        else:
            self._stop_asking()

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

    def _await_request(self) -> None:
        if self._asking is None:
            self._asking = self.loop.call_later(self.request_seconds, self.transport.abort)

    def _stop_asking(self) -> None:
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


def open_socket(host: str, port: int) -> socket.socket:
    """Listen. Raises UsageError where the address cannot be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"cannot listen on {printable(host)}:{port}: {reason}") from error


def serve_app(app: Any, listening: socket.socket, request_seconds: float) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish what has begun."""
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    protocol = type("Protocol", (ImpatientProtocol,), {"request_seconds": request_seconds})
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        limit_concurrency=MAX_CONNECTIONS,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
    )
    # uvicorn raises the signal again once it has drained; that is the normal end here.
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run([listening])
