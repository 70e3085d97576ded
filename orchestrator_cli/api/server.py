"""The server process: a socket, hypercorn, and the limits of a connection."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import resource
import socket
from typing import Any

from h11 import LocalProtocolError
from hypercorn.asyncio import serve
from hypercorn.config import Config, Sockets

from orchestrator_cli.api.guard.exchange import ConnectionEndedError
from orchestrator_cli.api.guard.strangers import ListeningSocket, Strangers
from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.text import printable

# In which the head of a request has to come: the first one, and the next one on a kept connection.
HEAD_SECONDS = 10.0
# After which a client is given up that acknowledges nothing, or reads nothing.
UNACKNOWLEDGED_SECONDS = 20
DRAIN_SECONDS = 30
MAX_HEADER_BYTES = 16 * 1024
# How many connections are accepted before those that are there get their turn.
_ACCEPTED_AT_ONCE = 32
# Of one answer, the kernel keeps so much for a client that does not read; the rest waits here, and
# is noticed. Linux doubles it.
_SEND_BUFFER_BYTES = 256 * 1024
# A page of files is some thousand objects, none of which is in a cycle: to look for cycles after
# every 700 of them takes a tenth of a request's time.
_OBJECTS_UNTIL_COLLECTION = 50_000


def open_socket(host: str, port: int) -> socket.socket:
    """Listen. Raises UsageError where the address cannot be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"cannot listen on {printable(host)}:{port}: {reason}") from error
    # What is accepted inherits these. Without the first, the body of an answer waits for the
    # client to acknowledge its head, 40 ms on Linux.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        milliseconds = UNACKNOWLEDGED_SECONDS * 1000
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
    return listening


class _Config(Config):
    """Settings of hypercorn with a socket that is there already."""

    listening: socket.socket

    def create_sockets(self) -> Sockets:
        return Sockets([], [self.listening], [])


def serve_app(
    app: Any, listening: socket.socket, strangers: Strangers, head_seconds: float
) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish what has begun."""
    _allow_many_connections()
    _collect_garbage_less()
    # It warns of each write to a connection that has ended.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    config = _Config()
    config.listening = ListeningSocket(listening, strangers)
    config.backlog = _ACCEPTED_AT_ONCE
    config.loglevel = "CRITICAL"
    config.include_server_header = False
    config.keep_alive_timeout = head_seconds
    config.graceful_timeout = DRAIN_SECONDS
    config.h11_max_incomplete_size = MAX_HEADER_BYTES
    # It speaks HTTP/2 to whoever asks for it, and none of the limits here was made for that.
    config.h2_max_concurrent_streams = 0
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(app, config))


async def _serve(app: Any, config: Config) -> None:
    asyncio.get_running_loop().set_exception_handler(report_defects)
    await serve(app, config, mode="asgi")


def report_defects(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report a defect, and nothing of a client that stalled: its request's line of log says so."""
    if not _is_of_client(context.get("exception")):
        loop.default_exception_handler(context)


def _is_of_client(error: BaseException | None) -> bool:
    """Return True for what the server meets when it gives up a connection."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_of_client, error.exceptions))
    return isinstance(error, _OF_CLIENTS)


_OF_CLIENTS = (OSError, LocalProtocolError, asyncio.CancelledError, ConnectionEndedError)


def _allow_many_connections() -> None:
    """Open as many files as the system lets us: clients that only wait must not use them up."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _collect_garbage_less() -> None:
    """Leave alone what is loaded by now, which stays, and look at the rest less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_UNTIL_COLLECTION)
