"""Let requests of several clients meet: each waits until all have come, then all go on at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.support.proxy.connection import Connection
from tests.support.proxy.faults import Fault, Reset, Waiting
from tests.support.proxy.operations import Request


@dataclass
class Gather(Fault):
    """Holds requests until so many have come. Those that come later pass."""

    parties: int
    here: int = 0
    complete: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def request_head(self, waiting: Waiting) -> None:
        with self._lock:
            self.here += 1
            if self.here >= self.parties:
                self.complete.set()
        while not self.complete.wait(0.02):
            if waiting.pause(0):
                raise Reset


@dataclass
class Act(Fault):
    """Lets the test do something of its own to the server before a request reaches it."""

    action: Callable[[Request], object]

    def request_head(self, waiting: Waiting) -> None:
        assert isinstance(waiting, Connection)
        self.action(waiting.exchange.request)
