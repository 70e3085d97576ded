"""Parse the head of a response, and refuse one that could be read in two ways.

libcurl has read it already and is generous: it takes lengths that overflow, names with a space
after them, and a head that breaks off in the middle.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

_BODILESS = frozenset({204, 304})


class InvalidHeadError(Exception):
    """The head is none of HTTP/1.1, or it was cut short."""

    def __init__(self, *, truncated: bool = False) -> None:
        super().__init__()
        self.truncated = truncated


def parse_head(lines: Sequence[bytes]) -> tuple[int, dict[str, str]]:
    """Return the status and the headers, names in lower case, of the last head among these lines.

    Before it may be those of interim responses and of a proxy, after it trailers.
    Raises InvalidHeadError.
    """
    start = _last_start(lines)
    headers: dict[str, str] = {}
    for line in lines[start + 1 :]:
        if line == b"\r\n":
            return _parse_status(lines[start]), _checked(headers)
        name, value = _split_header(line)
        # The same length twice is one length; others make the message mean two things.
        if name in headers and (name != "content-length" or headers[name] != value):
            value = f"{headers[name]}, {value}"
        headers[name] = value
    raise InvalidHeadError(truncated=True)


def expected_size(method: str, status: int, headers: dict[str, str]) -> int | None:
    """Return how many bytes the body has, or None where the head does not say."""
    if method == "HEAD" or status in _BODILESS:
        return 0
    if "transfer-encoding" in headers or "content-length" not in headers:
        return None
    return int(headers["content-length"])


def _last_start(lines: Sequence[bytes]) -> int:
    for index in range(len(lines) - 1, -1, -1):
        if lines[index].startswith(b"HTTP/"):
            return index
    raise InvalidHeadError(truncated=True)


def _parse_status(line: bytes) -> int:
    version, _, rest = line.rstrip().partition(b" ")
    status = rest.partition(b" ")[0]
    if not version.startswith(b"HTTP/1.") or len(status) != 3 or not status.isdigit():
        raise InvalidHeadError
    return int(status)


# Half of the headers are the same in each of a server's responses.
@lru_cache(maxsize=64)
def _split_header(line: bytes) -> tuple[str, str]:
    name, colon, value = line.decode("latin-1").partition(":")
    # A name with space around it is a way to hide a header from somebody.
    if not colon or not name or name != name.strip() or not value.endswith("\r\n"):
        raise InvalidHeadError
    return name.lower(), value.strip(" \t\r\n")


def _checked(headers: dict[str, str]) -> dict[str, str]:
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdecimal()) or len(length) > 18:
        raise InvalidHeadError
    if headers.get("transfer-encoding", "identity").lower() not in ("identity", "chunked"):
        raise InvalidHeadError
    return headers
