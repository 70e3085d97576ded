"""What the head of an answer says, and how long its body is. Nothing that can be read in two ways.

https://www.rfc-editor.org/rfc/rfc9112
"""

from __future__ import annotations

import re
from typing import NamedTuple

# Far more than any range, page or part that is asked for.
MOST_BODY_BYTES = 64 * 1024 * 1024
_STATUS = re.compile(r"[1-9][0-9]{2}")
# What a line has in no other place than its end, and nothing has.
_STRAY = b"\r\n\0"


class TransportError(Exception):
    """The connection failed before a whole answer was there; the text says how."""

    def __init__(self, message: str, *, unanswered: bool = False) -> None:
        """`unanswered`: it was closed before the first byte of an answer."""
        super().__init__(message)
        self.unanswered = unanswered


class MalformedError(TransportError):
    """What came is no answer of HTTP/1.1, or not one to what was asked; the text can be shown."""


class Head(NamedTuple):
    """The head of an answer. The names of `headers` are in lower case."""

    status: int
    headers: dict[str, str]
    version: str

    @property
    def keeps_open(self) -> bool:
        """Whether the connection stays open after the answer, where HTTP leaves no doubt."""
        asked = self.headers.get("connection", "").lower()
        doubtful = "transfer-encoding" in self.headers and "content-length" in self.headers
        return self.version == "HTTP/1.1" and "close" not in asked and not doubtful


def parse_head(data: bytes) -> Head:
    """Parse a head without the empty line at its end. Raises MalformedError."""
    first, *lines = data.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    status = rest.partition(" ")[0]
    if not version.startswith("HTTP/1.") or not _STATUS.fullmatch(status):
        raise MalformedError("what answered does not speak HTTP/1.1")
    if len(data.translate(None, _STRAY)) != len(data) - 2 * len(lines):
        raise MalformedError("the answer's head is malformed")
    return Head(int(status), _headers(lines), version)


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, text = line.partition(":")
        # A name with space around it is a folded line, or a way to hide a header from somebody.
        if not colon or not name or name != name.strip():
            raise MalformedError("the answer's head is malformed")
        name, text = name.lower(), text.strip(" \t")
        # The same length twice is one length; others make the message mean two things.
        if name in headers and (name != "content-length" or headers[name] != text):
            text = f"{headers[name]}, {text}"
        headers[name] = text
    return headers


def parse_length(text: str) -> int:
    """Parse a Content-Length. Raises MalformedError, also for more than is ever asked for."""
    if not (text.isascii() and text.isdecimal()) or len(text) > 15:
        raise MalformedError("the answer's length is malformed")
    return checked_length(int(text))


def parse_chunk_length(line: bytes) -> int:
    """Parse the line before a chunk. Raises MalformedError."""
    text = line.partition(b";")[0].strip()
    if not text or len(text) > 8 or text.strip(b"0123456789abcdefABCDEF"):
        raise MalformedError("the answer's length is malformed")
    return int(text, 16)


def checked_length(size_bytes: int) -> int:
    """Return a length. Raises MalformedError where it is more than is ever asked for."""
    if size_bytes > MOST_BODY_BYTES:
        raise MalformedError("the answer is longer than any that was asked for")
    return size_bytes
