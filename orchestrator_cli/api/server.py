"""The server process: uvicorn, with limits of our own."""

from __future__ import annotations

import contextlib
import logging
import resource
import socket
from typing import Any

import uvicorn

from orchestrator_cli.api.slow_client_protocol import SlowClientProtocol
from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.text import printable

KEEP_ALIVE_SECONDS = 30
DRAIN_SECONDS = 30
MAX_HEADER_BYTES = 16 * 1024
MAX_CONNECTIONS = 512


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
    most_connections = _connections_that_may_be_open()
    config = uvicorn.Config(
        app,
        http=SlowClientProtocol.limited(request_seconds, most_connections),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        # Only where none could be closed instead: every one is being answered.
        limit_concurrency=most_connections + 1,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
    )
    # uvicorn raises the signal again once it has drained; that is the normal end here.
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run([listening])


def _connections_that_may_be_open() -> int:
    """Return how many clients can be connected: half of the files, the storage needs some too."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    limited = allowed != resource.RLIM_INFINITY
    return min(MAX_CONNECTIONS, max(1, allowed // 2)) if limited else MAX_CONNECTIONS
