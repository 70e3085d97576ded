"""What our own servers answer with: XML documents, errors, and objects."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from email.utils import format_datetime

from tests.bench.counted.counting import Answer
from tests.bench.servers.sink_config import NS, XML

_AS_XML = {"Content-Type": "application/xml"}


def document(root: str, inner: str) -> Answer:
    """Return a document of S3's."""
    return Answer(200, f"{XML}<{root} {NS}>{inner}</{root}>".encode(), _AS_XML)


def refuse(status: int, code: str) -> Answer:
    """Return an error as S3 says it."""
    body = f"{XML}<Error><Code>{code}</Code><Message>{code}</Message></Error>"
    return Answer(status, body.encode(), _AS_XML)


def describe(content: bytes) -> Answer:
    """Return an object."""
    etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return Answer(200, content, {"ETag": f'"{etag}"', "Last-Modified": http_now()})


def http_now() -> str:
    """Return the time as HTTP writes it."""
    return format_datetime(datetime.now(UTC), usegmt=True)
