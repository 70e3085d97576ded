"""The server process: its socket, hypercorn, and the limits of a connection."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import os
import resource
import socket
from typing import Any

from h11 import LocalProtocolError
from hypercorn.asyncio import serve
from hypercorn.config import Config, Sockets

from orchestrator_cli.api.cores import share_one_core
from orchestrator_cli.api.guard.anonymous_clients import AnonymousClients, ListeningSocket
from orchestrator_cli.api.guard.exchange import ConnectionEndedError
from orchestrator_cli.api.guard.limits import MAX_HEADER_BYTES, UNACKNOWLEDGED_SECONDS
from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.text import printable

_DRAIN_SECONDS = 30
# How many connections are accepted in one turn of the event loop.
_ACCEPTED_AT_ONCE = 32
# How much of a response the kernel buffers for a client that does not read (Linux doubles it).
# Beyond that, the guard notices that the client does not read.
_SEND_BUFFER_BYTES = 256 * 1024


def open_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises UsageError if the address cannot be used."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family)
    except socket.gaierror as error:
        raise _cannot_listen(host, port, error.strerror) from error
    except OSError as error:
        # Its own text has the address once more, as Python writes it.
        raise _cannot_listen(host, port, os.strerror(error.errno or errno.EIO)) from error
    # Accepted connections inherit these options. Without TCP_NODELAY, the body of a response waits
    # until the client has acknowledged its head: 40 ms on Linux.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        milliseconds = UNACKNOWLEDGED_SECONDS * 1000
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
    return listening


def _cannot_listen(host: str, port: int, reason: str | None) -> UsageError:
    return UsageError(f"cannot listen on {printable(host)}:{port}: {reason}")


class _Config(Config):
    """The settings of hypercorn, with a socket that is open already."""

    listening: socket.socket

    def create_sockets(self) -> Sockets:
        return Sockets([], [self.listening], [])


def serve_app(
    app: Any, listening: socket.socket, anonymous: AnonymousClients, head_seconds: float
) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish the requests that have begun."""
    _raise_open_files_limit()
    share_one_core()
    # Modules stay loaded, so the garbage collector need not visit their objects again.
    gc.collect()
    gc.freeze()
    # asyncio warns of each write to a closed connection.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    config = _Config()
    config.listening = ListeningSocket(listening, anonymous)
    config.backlog = _ACCEPTED_AT_ONCE
    config.loglevel = "CRITICAL"
    config.include_server_header = False
    config.keep_alive_timeout = head_seconds
    config.graceful_timeout = _DRAIN_SECONDS
    config.h11_max_incomplete_size = MAX_HEADER_BYTES
    # Hypercorn offers HTTP/2, for which the limits here are not made: allow no stream.
    config.h2_max_concurrent_streams = 0
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(app, config))


async def _serve(app: Any, config: Config) -> None:
    asyncio.get_running_loop().set_exception_handler(report_defects)
    await serve(app, config, mode="asgi")


def report_defects(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report exceptions that are defects, and not those of a connection that was given up.

    The log line of its request tells of the latter.
    """
    if not _is_connection_error(context.get("exception")):
        loop.default_exception_handler(context)


_CONNECTION_ERRORS = (OSError, LocalProtocolError, asyncio.CancelledError, ConnectionEndedError)


def _is_connection_error(error: BaseException | None) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_connection_error, error.exceptions))
    return isinstance(error, _CONNECTION_ERRORS)


def _raise_open_files_limit() -> None:
    """Raise the soft limit on open files, so that idle connections do not exhaust it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
