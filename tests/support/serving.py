"""A running `orchestrator serve`, and what a client sees of it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import urllib3

from tests.support.running import Environment, Processes

WAIT = 60.0


@dataclass
class Server:
    """A running server; `log` is what it has written so far."""

    process: subprocess.Popen[bytes]
    url: str
    port: int
    log: list[str] = field(default_factory=list)
    http: urllib3.PoolManager = field(
        default_factory=lambda: urllib3.PoolManager(retries=False, timeout=WAIT)
    )

    def get(self, path: str, method: str = "GET", **options: Any) -> urllib3.BaseHTTPResponse:
        options.setdefault("redirect", False)
        return self.http.request(method, self.url + path, **options)

    def post(self, path: str, record: Any, **headers: str) -> urllib3.BaseHTTPResponse:
        """Post a JSON record."""
        sent = {"Content-Type": "application/json", **headers}
        return self.get(path, "POST", body=json.dumps(record).encode(), headers=sent)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WAIT)


Serve = Callable[..., Server]


@contextmanager
def serving(processes: Processes, **how: Any) -> Iterator[Serve]:
    """Start servers with `serve(*options, env=…)`; all are stopped at the end.

    `how` is how their processes are started.
    """
    servers: list[Server] = []

    def start(*arguments: str, env: Environment | None = None, port: int = 0) -> Server:
        process = processes.start(
            "serve", "--port", str(port), *arguments, stdout=subprocess.DEVNULL, env=env, **how
        )
        assert process.stderr is not None
        first = process.stderr.readline().decode()
        match = re.search(r"http://[\d.]+:(\d+)", first)
        assert match, first + process.stderr.read().decode()
        server = Server(process, match[0], int(match[1]))
        reading = threading.Thread(target=_collect, args=(process.stderr, server.log), daemon=True)
        reading.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.http.clear()
        server.stop()


def _collect(stream: Any, lines: list[str]) -> None:
    for line in stream:
        lines += [line.decode()]


def problem(answer: urllib3.BaseHTTPResponse, status: int, kind: str) -> Any:
    """Check that an answer is this problem, and return it."""
    assert answer.status == status, answer.data
    assert answer.headers["content-type"] == "application/problem+json"
    body = json.loads(answer.data)
    assert (body["status"], body["type"]) == (status, f"urn:orchestrator:error:{kind}")
    return body
