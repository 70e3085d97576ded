"""Who has shown no token: how many connections of theirs are open, and requests are answered."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

from orchestrator_cli.api.guard.limits import MAX_CONNECTIONS, MAX_REQUESTS

_BACKLOG = 512


class Strangers:
    """The connections on which no valid token has come yet. Used from one event loop.

    A client with a token is one of them until its first request is read.
    """

    def __init__(
        self, max_connections: int = MAX_CONNECTIONS, max_requests: int = MAX_REQUESTS
    ) -> None:
        self._max_connections = max_connections
        self._max_requests = max_requests
        # Of whom nothing is known yet, and who asked without a token.
        self._new: dict[Any, socket.socket] = {}
        self._anonymous: dict[Any, socket.socket] = {}
        self._requests = 0

    def add(self, address: Any, connection: socket.socket) -> None:
        """Take a new connection; where these are too many, end one, best of who has no token."""
        if self._is_full():
            self._new, self._anonymous = _open(self._new), _open(self._anonymous)
        if self._is_full():
            oldest_first = self._anonymous or self._new
            _end(oldest_first.pop(next(iter(oldest_first))))
        self._new[address] = connection

    def _is_full(self) -> bool:
        return len(self._new) + len(self._anonymous) >= self._max_connections

    def trust(self, address: Any) -> None:
        """Leave the connection from an address alone: a valid token has come on it."""
        self._new.pop(address, None)
        self._anonymous.pop(address, None)

    def distrust(self, address: Any) -> None:
        """End the connection from an address before others: it asked without a token."""
        if address in self._new:
            self._anonymous[address] = self._new.pop(address)

    @contextlib.contextmanager
    def request(self) -> Iterator[bool]:
        """Count a request without a token; yield False where too many are being answered."""
        is_admitted = self._requests < self._max_requests
        self._requests += is_admitted
        try:
            yield is_admitted
        finally:
            self._requests -= is_admitted


def _open(connections: dict[Any, socket.socket]) -> dict[Any, socket.socket]:
    """Return those that are open: a closed socket has no descriptor."""
    return {address: one for address, one in connections.items() if one.fileno() >= 0}


def _end(connection: socket.socket) -> None:
    """End a connection under its server, which then meets the end of what was sent."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class ListeningSocket(socket.socket):
    """A listening socket whose connections begin as those of strangers."""

    def __init__(self, listening: socket.socket, strangers: Strangers) -> None:
        super().__init__(listening.family, listening.type, listening.proto, listening.detach())
        self.setblocking(False)
        self._strangers = strangers

    def listen(self, _backlog: int = 0) -> None:
        """Listen. What the event loop names is how many it accepts in one turn, which are fewer."""
        super().listen(_BACKLOG)

    def accept(self) -> tuple[socket.socket, Any]:
        """Return the next connection and its address."""
        connection, address = super().accept()
        self._strangers.add(address[:2], connection)
        return connection, address
