"""The server process: uvicorn, with a limit on how long a client may take to send a request."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from orchestrator_cli.core.errors import UsageError, printable

REQUEST_SECONDS = 10
KEEP_ALIVE_SECONDS = 30
DRAIN_SECONDS = 30
MAX_HEADER_BYTES = 16 * 1024
MAX_CONNECTIONS = 512


class ImpatientProtocol(H11Protocol):
    """HTTP/1.1 that closes a connection whose request is not whole in time.

    uvicorn itself waits for ever, for headers and for bodies.
    """

    request_seconds: float = REQUEST_SECONDS
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        # asyncio leaves it out for a listening socket made elsewhere. Without, the body of an
        # answer waits for the client to acknowledge its head, 40 ms on Linux.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._start()

    def data_received(self, data: bytes) -> None:
        """Take bytes; the time runs from the first of a request to its last."""
        super().data_received(data)
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self._start()
        else:
            self._stop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop()
        super().connection_lost(exc)

    def _start(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.request_seconds, self.transport.abort)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


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
