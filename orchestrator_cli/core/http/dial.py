"""Open a connection to a host: to the first of its addresses that answers.

An address that does not answer, as IPv6 where it is set up badly, costs a moment and not the whole
time limit: https://www.rfc-editor.org/rfc/rfc8305.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssl import SSLContext

# How long an address has for itself before the next one is tried too.
_HEAD_START_SECONDS = 0.25
# The beginning of Linux's struct tcp_info with tcpi_unacked, tcpi_bytes_acked, tcpi_notsent_bytes.
_TCP_INFO = struct.Struct("=24x I 92x Q 16x I")
_UNDER_WAY = frozenset({0, errno.EINPROGRESS, errno.EINTR})

# What getaddrinfo gives: family, type, protocol, canonical name, address.
Found = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect. `tls` is None for plain HTTP."""

    host: str
    port: int
    tls: SSLContext | None
    connect_seconds: float
    stall_seconds: float


def dial(address: Address) -> Any:
    """Return a connected socket, TLS included. Raises OSError, ValueError for a host that is none.

    All addresses together have the time of `connect_seconds`, and each step of TLS once more.
    """
    host: Any = address.host
    if host.isascii():
        # Otherwise Python imports and asks its tables of Unicode, for a request's worth of time.
        host = host.encode()
    found = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM)
    connected = _Race(found, address.connect_seconds).winner()
    try:
        connected.settimeout(address.connect_seconds)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if address.tls is not None:
            connected = address.tls.wrap_socket(
                # An end without TLS's own end may be cut short by anybody: it is an error.
                connected,
                server_hostname=host,
                suppress_ragged_eofs=False,
            )
        connected.settimeout(address.stall_seconds)
    except BaseException:
        connected.close()
        raise
    return connected


def taken_bytes(connected: socket.socket) -> int:
    """Return how many bytes have arrived of those sent; -1 for all, or where nobody tells."""
    try:
        told = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        unacknowledged, taken, unsent = _TCP_INFO.unpack(told)
    except (AttributeError, OSError, struct.error):
        return -1
    return int(taken) if unacknowledged or unsent else -1


def gather(connected: socket.socket, gathers: bool) -> None:
    """Send full segments only, until told otherwise; where the system knows no such thing, nothing.

    TLS hands over 16 KiB at a time, which would leave as a segment each: a large body takes a
    tenth less of both sides' time in the kernel so.
    """
    with contextlib.suppress(AttributeError, OSError):
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, gathers)


class _Race:
    """Connects to several addresses, one a moment after the other; the first that answers wins."""

    def __init__(self, found: Iterable[Found], seconds: float) -> None:
        self._left = deque(_interleaved(found))
        self._ends_at = time.monotonic() + seconds
        self._next_at = 0.0
        self._under_way: dict[int, socket.socket] = {}
        self._poll = select.poll()
        self._failure = OSError("the host has no address")

    def winner(self) -> socket.socket:
        """Return a socket that is connected. Raises OSError: how the last one failed."""
        try:
            while self._left or self._under_way:
                if self._left and (not self._under_way or time.monotonic() >= self._next_at):
                    self._begin(self._left.popleft())
                connected = self._await()
                if connected is not None:
                    return connected
            raise self._failure
        finally:
            for loser in self._under_way.values():
                loser.close()

    def _begin(self, found: Found) -> None:
        family, kind, protocol, _, address = found
        try:
            begun = socket.socket(family, kind, protocol)
        except OSError as error:
            self._failure = error
            return
        begun.setblocking(False)
        code = begun.connect_ex(address)
        if code not in _UNDER_WAY:
            self._fail(begun, code)
            return
        self._under_way[begun.fileno()] = begun
        self._poll.register(begun, select.POLLOUT)
        self._next_at = time.monotonic() + _HEAD_START_SECONDS

    def _await(self) -> socket.socket | None:
        """Wait until one has answered, the next may begin, or the time is over."""
        if not self._under_way:
            return None
        now = time.monotonic()
        if now >= self._ends_at:
            raise TimeoutError("timed out")
        until = min(self._next_at, self._ends_at) if self._left else self._ends_at
        for descriptor, _ in self._poll.poll(max(0, (until - now) * 1000)):
            answered = self._under_way.pop(descriptor)
            self._poll.unregister(descriptor)
            code = answered.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if not code:
                return answered
            self._fail(answered, code)
        return None

    def _fail(self, begun: socket.socket, code: int) -> None:
        begun.close()
        self._failure = OSError(code, os.strerror(code))


def _interleaved(found: Iterable[Found]) -> Iterable[Found]:
    """Return the addresses with the families in turn, so that one that fails costs one moment."""
    families: dict[Any, list[Found]] = {}
    for one in found:
        families.setdefault(one[0], []).append(one)
    return filter(None, chain.from_iterable(zip_longest(*families.values())))
