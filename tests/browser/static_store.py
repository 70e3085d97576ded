"""A bucket that is only read: of any number of objects of any size, and answered at once.

moto holds every object in memory and sorts all keys for each listing. Here keys are sorted once,
and an object may be made up from the range that is asked for.
"""

from __future__ import annotations

import hashlib
import re
import threading
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

BUCKET = "large"
LINE_BYTES = 64
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")
_XML = '<?xml version="1.0" encoding="UTF-8"?>'
_NS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
_LAST_MODIFIED = "Fri, 30 Jan 2026 08:00:00 GMT"


@dataclass(frozen=True)
class MadeUp:
    """An object that nobody has: `part` returns the bytes of a range."""

    size_bytes: int
    part: Callable[[int, int], bytes]


def huge_log(size_bytes: int) -> MadeUp:
    """Return a log whose line number n begins at LINE_BYTES * (n - 1)."""
    return MadeUp(size_bytes, _lines)


def _lines(start: int, end: int) -> bytes:
    first = start // LINE_BYTES
    lines = b"".join(
        b"%-63s\n" % (b"line %d of a log that is larger than memory" % (number + 1))
        for number in range(first, -(-end // LINE_BYTES))
    )
    return lines[start - first * LINE_BYTES :][: end - start]


Stored = bytes | MadeUp


@dataclass
class StaticStore:
    """Answers requests, and counts them by kind; `ranges` is what was read of made-up objects."""

    objects: Mapping[str, Stored]
    requests: Counter[str] = field(default_factory=Counter)
    ranges: list[tuple[int, int]] = field(default_factory=list)
    keys: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.keys = sorted(self.objects)

    def forget(self) -> None:
        """Count anew."""
        self.requests.clear()
        self.ranges.clear()

    def page(self, query: dict[str, str]) -> bytes:
        """Return one page of a listing, by ListObjectsV2."""
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        limit = int(query.get("max-keys", 1000))
        token = bytes.fromhex(query.get("continuation-token", "")).decode()
        after = token or query.get("start-after", "")
        contents: list[str] = []
        prefixes: list[str] = []
        last = after
        at = max(bisect_right(self.keys, after), bisect_left(self.keys, prefix))
        while at < len(self.keys) and self.keys[at].startswith(prefix):
            key = self.keys[at]
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            if len(contents) + len(prefixes) == limit:
                return _listing(contents, prefixes, last)
            if cut < 0:
                contents.append(self._entry(key))
                last, at = key, at + 1
            else:
                common = key[: cut + 1]
                last = common + "\U0010ffff"
                at = bisect_right(self.keys, last)
                prefixes.append(common)
        return _listing(contents, prefixes, "")

    def _entry(self, key: str) -> str:
        stored = self.objects[key]
        return (
            f"<Contents><Key>{quote(key)}</Key><LastModified>2026-01-30T08:00:00.000Z"
            f"</LastModified><ETag>&quot;{_etag(key, stored)}&quot;</ETag>"
            f"<Size>{_size(stored)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        )

    def read(self, key: str, asked: str) -> tuple[int, bytes, dict[str, str]] | None:
        """Return the status, the bytes and the headers; None where there is no such object."""
        stored = self.objects.get(key)
        if stored is None:
            return None
        size = _size(stored)
        found = _RANGE.fullmatch(asked)
        start, last = (int(found[1]), int(found[2])) if found else (0, size - 1)
        end = min(last + 1, size)
        headers = {"ETag": f'"{_etag(key, stored)}"', "Last-Modified": _LAST_MODIFIED}
        if found:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        if isinstance(stored, bytes):
            return (206 if found else 200), stored[start:end], headers
        self.ranges.append((start, end))
        return (206 if found else 200), stored.part(start, end), headers


def _size(stored: Stored) -> int:
    return len(stored) if isinstance(stored, bytes) else stored.size_bytes


def _etag(key: str, stored: Stored) -> str:
    known = stored if isinstance(stored, bytes) else key.encode()
    return hashlib.md5(known, usedforsecurity=False).hexdigest()


def _listing(contents: list[str], prefixes: list[str], token: str) -> bytes:
    common = "".join(
        f"<CommonPrefixes><Prefix>{quote(one)}</Prefix></CommonPrefixes>" for one in prefixes
    )
    more = f"<NextContinuationToken>{token.encode().hex()}</NextContinuationToken>" if token else ""
    return (
        f"{_XML}<ListBucketResult {_NS}><Name>{BUCKET}</Name><EncodingType>url</EncodingType>"
        f"<IsTruncated>{'true' if token else 'false'}</IsTruncated>{more}"
        f"{''.join(contents)}{common}</ListBucketResult>"
    ).encode()


@contextmanager
def serving_store(store: StaticStore) -> Iterator[str]:
    """Serve until the context ends; the value is the endpoint."""
    handler = type("Handler", (_Handler,), {"store": store})
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    # Of those that come at once, none has to knock twice.
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away; what else fails, it will say."""


class _Handler(BaseHTTPRequestHandler):
    store: StaticStore
    # A thread for each request, which ends with it.
    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        key = self._key()
        if not key:
            asked = parse_qs(urlsplit(self.path).query)
            query = {name: one[-1] for name, one in asked.items()}
            self.store.requests["list"] += 1
            self._answer(200, self.store.page(query), {"Content-Type": "application/xml"})
            return
        self.store.requests[self.command.lower()] += 1
        found = self.store.read(key, self.headers.get("range", ""))
        if found is None:
            body = f"{_XML}<Error><Code>NoSuchKey</Code><Message/></Error>".encode()
            self._answer(404, body, {"Content-Type": "application/xml"})
        else:
            self._answer(*found)

    def do_HEAD(self) -> None:
        key = self._key()
        stored = self.store.objects.get(key)
        self.store.requests["head"] += 1
        if stored is None:
            self._answer(404, b"", {})
            return
        self.send_response(200)
        self.send_header("ETag", f'"{_etag(key, stored)}"')
        self.send_header("Last-Modified", _LAST_MODIFIED)
        self.send_header("Content-Length", str(_size(stored)))
        self.end_headers()

    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).removeprefix(f"/{BUCKET}").removeprefix("/")

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, text in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""
