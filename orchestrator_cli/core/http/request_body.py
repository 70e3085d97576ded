"""The body of a request: in memory, or read while it is sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

# What is handed to the socket at once.
SLICE_BYTES = 256 * 1024
# What TLS makes one record of; a head and a small body leave as one.
BLOCK_BYTES = 16 * 1024


class SizedBody(Protocol):
    """A request body that is read while it is sent, and once more if it is sent again."""

    def read(self, size: int = -1, /) -> bytes | memoryview:
        """Return the next bytes, none at the end, good until the next are asked for."""
        ...

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to an offset."""
        ...


@runtime_checkable
class LentBody(SizedBody, Protocol):
    """One that holds something only until it is sent."""

    def sent(self) -> None:
        """Hear that all of it has left this process; it may be asked for once more."""


Body = bytes | bytearray | memoryview | SizedBody
# A tuple, since a union would be made anew for every request.
IN_MEMORY = (bytes, bytearray, memoryview)


@dataclass(frozen=True, slots=True)
class ExactBody:
    """A body that is read while it is sent, with the size in bytes that the head says it has.

    The server would wait for what a shorter one lacks, and take what is left of a longer one for
    the next request.
    """

    body: SizedBody
    size_bytes: int

    def pieces(self) -> Iterator[bytes | memoryview]:
        """Yield it from its start. Raises ValueError where it is shorter, or gives too much."""
        self.body.seek(0)
        left = self.size_bytes
        while left:
            data = self.body.read(min(SLICE_BYTES, left))
            if not 0 < len(data) <= left:
                raise ValueError("a body of another size than its header says")
            left -= len(data)
            yield data
        if isinstance(self.body, LentBody):
            self.body.sent()


WireBody = bytes | bytearray | memoryview | ExactBody


def pieces(head: bytes, body: WireBody) -> Iterable[Any]:
    """Return a request in the pieces that are handed to the socket."""
    if isinstance(body, ExactBody):
        yield head
        yield from body.pieces()
        return
    view = memoryview(body)
    first = BLOCK_BYTES - len(head) if len(head) < BLOCK_BYTES else 0
    yield head + bytes(view[:first])
    for offset in range(first, len(view), SLICE_BYTES):
        yield view[offset : offset + SLICE_BYTES]
