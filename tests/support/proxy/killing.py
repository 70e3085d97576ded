"""Kill a command at a chosen moment of its talk with S3, as the proxy sees it pass.

A moment is the k-th event: a request's head has come, a piece of its body, the server's answer
(the client has not heard of it yet), a piece of the answer, its end.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.proxy.faults import Fault, Reset, Waiting


@dataclass(frozen=True)
class KillPoint:
    """Where to strike, and with what. `share` of a body's piece is what still arrives of it."""

    event: int
    number: signal.Signals
    share: float

    def __str__(self) -> str:
        return f"{self.number.name} at event {self.event}"


class Killer(Fault):
    """Counts the events of all requests; at the chosen one it signals the client, once."""

    def __init__(self, point: KillPoint | None = None) -> None:
        self.point = point
        self.kill: Callable[[int], None] = lambda number: None
        self.events = 0
        self.struck = False
        self._aimed = threading.Event()
        self._lock = threading.Lock()

    def aim(self, kill: Callable[[int], None]) -> None:
        """Say how to signal the client; until then its requests wait."""
        self.kill = kill
        self._aimed.set()

    def request_head(self, waiting: Waiting) -> None:
        self._count()

    def request_chunk(self, chunk: bytes, offset: int, waiting: Waiting) -> bytes:
        if self._count() and self._is_dead and self.point and self.point.share < 1 / 2:
            raise Reset  # it died in the middle of its body
        return chunk

    def response_head(self, status: int, waiting: Waiting) -> None:
        self._count()

    def response_chunk(self, chunk: bytes, offset: int, waiting: Waiting) -> bytes:
        self._count()
        return chunk

    def response_end(self, total_bytes: int, waiting: Waiting) -> None:
        self._count()

    @property
    def _is_dead(self) -> bool:
        """Whether the client is gone at once; after other signals it says goodbye."""
        return self.point is not None and self.point.number is signal.SIGKILL

    def _count(self) -> bool:
        """Count one event; signal the client if it is the one, and say so."""
        with self._lock:
            self.events += 1
            due = self.point is not None and self.events == self.point.event
        if due and self.point is not None:
            self._aimed.wait(30)
            self.struck = True
            self.kill(self.point.number)
        return due
