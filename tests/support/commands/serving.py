"""A running `orchestrator serve`, and what a client sees of it."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

import urllib3

from tests.support.commands.forkserver import Child, ForkServer
from tests.support.commands.running import Environment

WAIT = 60.0


@dataclass
class Server:
    """A running server; `log` is what it has written so far."""

    process: Child
    url: str
    port: int
    log: list[str] = field(default_factory=list)
    exit_code: int | None = None
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

    def ask_to_stop(self) -> None:
        self.process.signal(signal.SIGTERM)

    def wait(self) -> int:
        """Wait for its end and return its exit code."""
        if self.exit_code is None:
            self.exit_code = self.process.wait(WAIT).exit_code
        return self.exit_code

    def stop(self) -> int:
        self.ask_to_stop()
        return self.wait()


Serve = Callable[..., Server]


@contextmanager
def serving(forks: ForkServer) -> Iterator[Serve]:
    """Start servers with `serve(*options, env=…)`; all are stopped at the end."""
    servers: list[Server] = []
    readers: list[threading.Thread] = []

    def start(*arguments: str, env: Environment | None = None, port: int = 0) -> Server:
        process, log = _start_process(forks, ("--port", str(port), *arguments), env)
        first = log.readline().decode()
        match = re.search(r"http://[\d.]+:(\d+)", first)
        assert match, first + log.read().decode()
        server = Server(process, match[0], int(match[1]))
        reading = threading.Thread(target=_collect, args=(log, server.log), daemon=True)
        reading.start()
        readers.append(reading)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.http.clear()
        server.stop()
    for reading in readers:
        reading.join()


def _start_process(
    forks: ForkServer, arguments: tuple[str, ...], env: Environment | None
) -> tuple[Child, IO[bytes]]:
    """Start a server and return it with what it will write to standard error."""
    reader, writer = os.pipe()
    try:
        process = forks.start("serve", *arguments, env=env, stderr=writer)
    finally:
        os.close(writer)
    return process, open(reader, "rb")


def _collect(stream: IO[bytes], lines: list[str]) -> None:
    with stream:
        for line in stream:
            lines += [line.decode()]


def problem(answer: urllib3.BaseHTTPResponse, status: int, kind: str) -> Any:
    """Check that an answer is this problem, and return it."""
    assert answer.status == status, answer.data
    assert answer.headers["content-type"] == "application/problem+json"
    body = json.loads(answer.data)
    assert (body["status"], body["type"]) == (status, f"urn:orchestrator:error:{kind}")
    return body
