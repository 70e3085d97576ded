"""A client that costs little: one thread, many kept connections, requests that are ready to send.

It runs as a process of its own: `run_load` starts it, its standard input says what to ask.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import subprocess
import sys
import time
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

_TIMEOUT_SECONDS = 60.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_RECEIVED_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Load:
    """`requests` requests, whole as they are sent, in turn over `connections` connections."""

    port: int
    connections: int
    requests: int
    heads: Sequence[str]


@dataclass(frozen=True, slots=True)
class Answers:
    """What came back. `statuses` counts answers; `body_bytes` are those of all bodies."""

    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_seconds: float
    body_bytes: int
    statuses: dict[str, int]

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return sum(self.statuses.values()) / self.seconds


def request_head(path: str, **headers: str) -> str:
    """Return a GET request, whole; underscores in names of headers stand for hyphens."""
    lines = [f"{name.replace('_', '-')}: {text}" for name, text in headers.items()]
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *lines, "", ""])


def run_load(load: Load) -> Answers:
    """Send the requests from a process of its own, and return what came back."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.serving.load"],
        input=json.dumps(asdict(load)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Answers(**json.loads(done.stdout))


class _Connection:
    """One kept connection and the request that is under way on it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), _TIMEOUT_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self._begun = 0.0

    def send(self, head: bytes) -> None:
        """Send a request, which fits into the socket's buffer."""
        self._begun = time.perf_counter()
        self._received = b""
        self.socket.sendall(head)

    def receive(self) -> tuple[int, int, float] | None:
        """Return status, bytes of the body and seconds once the answer is whole."""
        data = self.socket.recv(_RECEIVED_BYTES)
        if not data:
            raise ConnectionError("the server closed a connection that was to be kept")
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        status = int(head[9:12] or 0)
        # A 304 has no body, and need not say so.
        wanted = 0 if status == 304 else int(length[1]) if length else -1
        if not end or len(body) < wanted:
            return None
        if wanted < 0 or len(body) > wanted:
            raise ConnectionError(f"an answer of {len(body)} bytes, {wanted} expected")
        return status, len(body), time.perf_counter() - self._begun


def _send_all(load: Load) -> Answers:
    heads = [head.encode("ascii") for head in load.heads]
    seconds, statuses, body_bytes = array("d"), Counter[str](), 0
    begun, began_cpu = time.perf_counter(), time.process_time()
    with selectors.DefaultSelector() as waiting:
        for number in range(min(load.connections, load.requests)):
            connection = _Connection(load.port)
            waiting.register(connection.socket, selectors.EVENT_READ, connection)
            connection.send(heads[number % len(heads)])
        sent = len(waiting.get_map())
        while len(seconds) < load.requests:
            ready = waiting.select(_TIMEOUT_SECONDS)
            if not ready:
                raise TimeoutError("no answer in time")
            for key, _ in ready:
                answer = key.data.receive()
                if answer is None:
                    continue
                statuses[str(answer[0])] += 1
                body_bytes += answer[1]
                seconds.append(answer[2])
                if sent < load.requests:
                    key.data.send(heads[sent % len(heads)])
                    sent += 1
        for key in list(waiting.get_map().values()):
            key.data.socket.close()
    wall = time.perf_counter() - begun
    inorder = sorted(seconds)
    return Answers(
        seconds=wall,
        p50_ms=inorder[len(inorder) // 2] * 1000,
        p99_ms=inorder[len(inorder) * 99 // 100] * 1000,
        cpu_seconds=time.process_time() - began_cpu,
        body_bytes=body_bytes,
        statuses=dict(statuses),
    )


if __name__ == "__main__":
    print(json.dumps(asdict(_send_all(Load(**json.load(sys.stdin))))))
