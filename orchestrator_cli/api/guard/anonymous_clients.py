"""Limits on clients without a token: how many connections and requests they may have."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

from orchestrator_cli.api.guard.limits import MAX_CONNECTIONS, MAX_REQUESTS

_BACKLOG = 512


class AnonymousClients:
    """The connections that have not sent a valid token yet. Used from one event loop.

    The connection of a client with a token belongs here until its first request is read.
    """

    def __init__(
        self, max_connections: int = MAX_CONNECTIONS, max_requests: int = MAX_REQUESTS
    ) -> None:
        self._max_connections = max_connections
        self._max_requests = max_requests
        # Connections without a request yet, and those with a request without a token.
        self._new: dict[Any, socket.socket] = {}
        self._anonymous: dict[Any, socket.socket] = {}
        self._requests = 0

    def add(self, address: Any, connection: socket.socket) -> None:
        """Add a connection. If there are too many, close one, an anonymous one if possible."""
        if self._is_full():
            self._new, self._anonymous = _open(self._new), _open(self._anonymous)
        if self._is_full():
            oldest_first = self._anonymous or self._new
            _end(oldest_first.pop(next(iter(oldest_first))))
        self._new[address] = connection

    def _is_full(self) -> bool:
        return len(self._new) + len(self._anonymous) >= self._max_connections

    def mark_authenticated(self, address: Any) -> None:
        """Never close the connection from an address: it has sent a valid token."""
        self._new.pop(address, None)
        self._anonymous.pop(address, None)

    def mark_anonymous(self, address: Any) -> None:
        """Close the connection from an address before others: it has sent no token."""
        if address in self._new:
            self._anonymous[address] = self._new.pop(address)

    @contextlib.contextmanager
    def request(self) -> Iterator[bool]:
        """Count a request without a token; yield False if there are too many."""
        is_admitted = self._requests < self._max_requests
        self._requests += is_admitted
        try:
            yield is_admitted
        finally:
            self._requests -= is_admitted


def _open(connections: dict[Any, socket.socket]) -> dict[Any, socket.socket]:
    """Return the connections that are open; a closed socket has no descriptor."""
    return {address: one for address, one in connections.items() if one.fileno() >= 0}


def _end(connection: socket.socket) -> None:
    """Shut a connection down. Its server task then reads the end of the stream and closes it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class ListeningSocket(socket.socket):
    """A listening socket that adds each accepted connection to `AnonymousClients`."""

    def __init__(self, listening: socket.socket, anonymous: AnonymousClients) -> None:
        super().__init__(listening.family, listening.type, listening.proto, listening.detach())
        self.setblocking(False)
        self._anonymous_clients = anonymous

    def listen(self, _backlog: int = 0) -> None:
        """Listen with a backlog of our own; asyncio passes the number of accepts per turn."""
        super().listen(_BACKLOG)

    def accept(self) -> tuple[socket.socket, Any]:
        """Return the next connection and its address."""
        connection, address = super().accept()
        self._anonymous_clients.add(address[:2], connection)
        return connection, address
