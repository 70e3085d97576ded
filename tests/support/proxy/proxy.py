"""An HTTP/1.1 proxy on loopback between a client and an S3 server: it records and it harms."""

from __future__ import annotations

import contextlib
import gc
import random
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.support.proxy.connection import Connection, Exchange
from tests.support.proxy.faults import Fault
from tests.support.proxy.operations import Request
from tests.support.proxy.rules import Rule


class Proxy:
    """A running proxy; `endpoint_url` is where the client goes.

    Tests call `inject`, `heal`, `clear`, `settle`, `wait_for` and the counting methods; the
    connections call `begin`, `note`, `end`, `track` and `untrack`.
    """

    def __init__(self, server_url: str, seed: int = 0) -> None:
        upstream = urlsplit(server_url)
        self.upstream = (upstream.hostname or "127.0.0.1", upstream.port or 80)
        self.exchanges: list[Exchange] = []
        self.rules: list[Rule] = []
        self.closing = threading.Event()
        self._chance = random.Random(seed)
        self._active = 0
        self._changed = threading.Condition()
        self._connections: set[socket.socket] = set()
        self._accepted: object = None
        self._listener = Listener(self)
        self.endpoint_url = f"http://127.0.0.1:{self._listener.server_port}"

    def inject(self, fault: Fault, operation: str | None = None, **which: Any) -> Rule:
        """Strike matching requests from now on; see `Rule` for what can be chosen."""
        rule = Rule(fault, operation, **which)
        with self._changed:
            self.rules.append(rule)
        return rule

    def heal(self) -> None:
        """Forget all rules."""
        with self._changed:
            self.rules.clear()

    def clear(self) -> None:
        """Forget what was recorded, once nothing is under way."""
        self.settle()
        with self._changed:
            self.exchanges.clear()

    def settle(self, timeout_seconds: float = 30) -> None:
        """Wait until no request is under way, as after a client was killed."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._active == 0, timeout_seconds):
                raise TimeoutError("requests are still under way in the proxy")

    def outlast_clients(self, timeout_seconds: float = 30) -> None:
        """Wait until every connection is closed, as once the processes that had them have ended.

        What they had sent and nobody had read yet is recorded by then.
        """
        # Commands that ran in this process have closed theirs once nothing holds them.
        gc.collect()
        # Those before this one, which may have waited to be accepted, have been accepted then.
        address = ("127.0.0.1", self._listener.server_port)
        with socket.create_connection(address) as last, self._changed:
            name = last.getsockname()
            if not self._changed.wait_for(lambda: self._accepted == name, timeout_seconds):
                raise TimeoutError("the proxy accepts nobody")
        with self._changed:
            if not self._changed.wait_for(lambda: not self._connections, timeout_seconds):
                raise TimeoutError("clients are still connected to the proxy")

    def wait_for(
        self, condition: Callable[[list[Exchange]], bool], timeout_seconds: float = 30
    ) -> None:
        """Wait until the recorded requests, those under way included, satisfy the condition."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self.exchanges), timeout_seconds):
                seen = Counter(exchange.operation for exchange in self.exchanges)
                raise TimeoutError(f"never seen; so far: {dict(seen)}")

    def calls(self, operation: str | None = None, key: str | None = None) -> list[Exchange]:
        """Return the recorded requests of an operation, and for exactly a key, in order."""
        with self._changed:
            return [
                exchange
                for exchange in self.exchanges
                if operation in (None, exchange.operation) and key in (None, exchange.key)
            ]

    def count(self, operation: str | None = None, key: str | None = None) -> int:
        return len(self.calls(operation, key))

    def operations(self) -> Counter[str]:
        """Return how often each operation was asked for."""
        return Counter(exchange.operation for exchange in self.calls())

    def request_bytes(self, operation: str | None = None, key: str | None = None) -> int:
        """Return the bytes of request bodies that clients sent."""
        return sum(exchange.request_bytes for exchange in self.calls(operation, key))

    def response_bytes(self, operation: str | None = None, key: str | None = None) -> int:
        """Return the bytes of response bodies that clients were sent."""
        return sum(exchange.response_bytes for exchange in self.calls(operation, key))

    def begin(self, request: Request) -> Exchange:
        """Record a request and settle which faults strike it."""
        exchange = Exchange(request)
        with self._changed:
            struck = [rule for rule in self.rules if rule.strikes(request, self._chance)]
            exchange.faults = [rule.fault for rule in struck]
            self.exchanges.append(exchange)
            self._active += 1
            self._changed.notify_all()
        return exchange

    def note(self) -> None:
        """Wake those who wait for progress."""
        with self._changed:
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._active -= 1
            self._changed.notify_all()

    def track(self, connection: socket.socket, client: object) -> None:
        with self._changed:
            self._connections.add(connection)
            self._accepted = client
            self._changed.notify_all()

    def untrack(self, connection: socket.socket) -> None:
        with self._changed:
            self._connections.discard(connection)
            self._changed.notify_all()

    def start(self) -> None:
        threading.Thread(target=self._listener.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Stop listening, end every connection and wait for their threads."""
        self.closing.set()
        self._listener.shutdown()
        with self._changed:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._listener.server_close()


class Listener(ThreadingHTTPServer):
    """Accepts clients; closing it waits for their threads."""

    daemon_threads = False
    request_queue_size = 128

    def __init__(self, proxy: Proxy) -> None:
        super().__init__(("127.0.0.1", 0), Connection)
        self.proxy = proxy

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a client in a thread, and count it from now on."""
        self.proxy.track(request, client_address)
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing when a client goes away in the middle: that is what this is for."""


@contextlib.contextmanager
def run_proxy(server_url: str, seed: int = 0) -> Iterator[Proxy]:
    """Run a proxy in front of the server until the context ends."""
    proxy = Proxy(server_url, seed)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.close()
