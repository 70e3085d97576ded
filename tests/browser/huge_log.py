"""A log of any size that nobody stores: a server in front of S3 makes up the part that is asked."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

LINE_BYTES = 64
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")
_PASSED_ON = ("content-type", "etag", "last-modified", "content-range")


@dataclass
class HugeLog:
    """What S3 answers for keys that end in `key_end`; everything else is the server's behind."""

    server_url: str
    key_end: str
    size_bytes: int
    ranges: list[tuple[int, int]] = field(default_factory=list)

    def part(self, start: int, end: int) -> bytes:
        """Return the bytes of a range; line number n begins at LINE_BYTES * (n - 1)."""
        first = start // LINE_BYTES
        lines = b"".join(huge_line(number) for number in range(first, -(-end // LINE_BYTES)))
        return lines[start - first * LINE_BYTES :][: end - start]


def huge_line(number: int) -> bytes:
    """Return the line that has so many before it."""
    return b"%-63s\n" % (b"line %d of a log that is larger than memory" % (number + 1))


@contextmanager
def serving_huge_log(log: HugeLog) -> Iterator[str]:
    """Serve until the context ends; the value is the endpoint."""
    handler = type("Handler", (_Handler,), {"log": log})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    log: HugeLog
    # A thread for each request, which ends with it.
    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        if not urlsplit(self.path).path.endswith(self.log.key_end):
            self._pass_on()
            return
        found = _RANGE.fullmatch(self.headers.get("range", ""))
        start, last = (int(found[1]), int(found[2])) if found else (0, self.log.size_bytes - 1)
        end = min(last + 1, self.log.size_bytes)
        body = b"" if self.command == "HEAD" else self.log.part(start, end)
        if body:
            self.log.ranges.append((start, end))
        told = {
            "Content-Range": f"bytes {start}-{end - 1}/{self.log.size_bytes}",
            "Content-Length": str(len(body) or self.log.size_bytes),
            "ETag": '"0123456789abcdef0123456789abcdef-256"',
            "Last-Modified": "Fri, 30 Jan 2026 08:00:00 GMT",
            "Content-Type": "text/plain",
        }
        self._answer(206 if body else 200, body, told)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _pass_on(self) -> None:
        to = urlsplit(self.log.server_url)
        connection = http.client.HTTPConnection(to.hostname or "", to.port, timeout=30)
        try:
            connection.request(self.command, self.path, headers=dict(self.headers.items()))
            answer = connection.getresponse()
            body = answer.read()
            told = {n: t for n, t in answer.getheaders() if n.lower() in _PASSED_ON}
            length = answer.headers.get("content-length") or str(len(body))
            self._answer(answer.status, body, {**told, "Content-Length": length})
        finally:
            connection.close()

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""
