"""One range of an object: the request for it, and whether what comes is believed."""

from __future__ import annotations

import re

from orchestrator_cli.core.base.errors import IntegrityError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.http.transport import Response
from orchestrator_cli.core.s3.operations.request import S3Request, Sink, require_etag, timeout_for

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")
_HINT = "look for a proxy on the way that changes responses"


def range_request(key: str, what: str, offset_bytes: int, size_bytes: int) -> S3Request:
    """Return the request for a range, without what checks its response."""
    return S3Request(
        "GET",
        key,
        what,
        headers={"range": f"bytes={offset_bytes}-{offset_bytes + size_bytes - 1}"},
        total_timeout_seconds=timeout_for(size_bytes),
    )


class ByteRange:
    """A range of an object: the request for it, the bytes that come, and whether to believe them.

    Some servers and proxies send less than was asked for and say so in the headers only; a caller
    that took it for the end of the object would be wrong without notice.
    """

    def __init__(
        self,
        key: str,
        offset_bytes: int,
        size_bytes: int,
        buffer: bytearray | None = None,
        object_bytes: int | None = None,
    ) -> None:
        self._key = key
        self._what = f"read of {printable(key)}"
        self._offset_bytes = offset_bytes
        self._size_bytes = size_bytes
        self._object_bytes = object_bytes
        self._view = memoryview(bytearray(size_bytes) if buffer is None else buffer)[:size_bytes]
        self._received_bytes = 0

    def request(self) -> S3Request:
        """Return the request."""
        request = range_request(self._key, self._what, self._offset_bytes, self._size_bytes)
        request.open_sink = self._open
        request.check = self.check
        return request

    def received(self) -> memoryview:
        """Return the bytes that came."""
        return self._view[: self._received_bytes]

    def _open(self) -> Sink:
        self._received_bytes = 0
        return self._take

    def _take(self, data: bytes) -> None:
        # Called for each 16 KiB.
        begin = self._received_bytes
        end = self._received_bytes = begin + len(data)
        if end > self._size_bytes:
            message = f"more than the {self._size_bytes:,} bytes came that were asked for"
            raise self._unequal(message)
        self._view[begin:end] = data

    def check(self, response: Response) -> int:
        """Return the object's size once the range is whole. Raises IntegrityError."""
        require_etag(response, self._what)
        first, last, object_bytes = self._described(response)
        if first != self._offset_bytes:
            raise self._unequal(f"byte {first} came where {self._offset_bytes} was asked for")
        if self._object_bytes not in (None, object_bytes):
            raise self._unequal(
                f"it has {object_bytes:,} bytes, and {self._object_bytes:,} where it was looked up"
            )
        received_bytes = self._received_bytes
        wanted_bytes = min(first + self._size_bytes, object_bytes) - first
        if received_bytes != wanted_bytes or last != first + wanted_bytes - 1:
            raise self._unequal(f"{received_bytes} bytes came where {wanted_bytes} were asked for")
        return object_bytes

    def _described(self, response: Response) -> tuple[int, int, int]:
        """Return the first and last byte that were sent, and the object's size."""
        # Some servers send the range with status 200.
        match = _CONTENT_RANGE.fullmatch(response.header("content-range"))
        if match is not None:
            return int(match[1]), int(match[2]), int(match[3])
        # HTTP allows a server to send the whole object in place of a range of it.
        if response.status == 206 or self._offset_bytes:
            raise self._unequal("the server ignores byte ranges")
        return 0, self._received_bytes - 1, self._received_bytes

    def _unequal(self, message: str) -> IntegrityError:
        return IntegrityError(f"{self._what}: {message}", hint=_HINT, retryable=True)
