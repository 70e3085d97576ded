"""One log of an execution, as a server has it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from orchestrator_cli.core.base.errors import NotFoundError, suppress_unless_fatal
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.logs.finding import open_log_with_prefix
from orchestrator_cli.core.gateway.client.server_request import ServerRequest, ask
from orchestrator_cli.core.gateway.limits import MAX_WAIT_SECONDS
from orchestrator_cli.core.http.transport import Response
from orchestrator_cli.core.live.reading.reader import LiveChunk
from orchestrator_cli.core.s3.bucket.reader import ObjectReader
from orchestrator_cli.core.s3.types import ObjectMetadata

# The most that a server returns at once.
READ_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ServedPart:
    """A part of a log, and how much of the log the server knows.

    `is_final` says that all of it is stored, `is_lost` that its writer is lost.
    """

    chunk: LiveChunk
    size_bytes: int
    is_final: bool
    is_lost: bool


@dataclass(frozen=True, slots=True)
class ServedLog:
    """One log of one execution, as the server has it and as it is stored at last."""

    objects: ObjectReader
    execution_id: str
    name: str

    def read(self, offset: int, size_bytes: int = READ_BYTES, *, waits: bool = False) -> ServedPart:
        """Return what comes at an offset. Raises NotFoundError.

        With `waits`, a log that grows is waited for where nothing is there yet.
        """
        fields = {"offset": offset, "length": size_bytes, "wait": MAX_WAIT_SECONDS if waits else 0}
        path = f"/executions/{self.execution_id}/logs/{quote(self.name)}/bytes?{urlencode(fields)}"
        what = f"read of {printable(self.name)}"
        request = ServerRequest(path, what, is_raw=True, takes_long=waits)
        return self.objects.run(ask(request, _as_part))

    def head(self) -> ObjectMetadata:
        """Look the final object up. Raises NotFoundError."""
        return open_log_with_prefix(self.objects, self.execution_id, self.name)[0]

    def size_bytes(self) -> int | None:
        """Return how much of the log the server has; None where there is no such log."""
        with suppress_unless_fatal(NotFoundError):
            return self.read(0, 0).size_bytes
        return None

    def read_between(self, start: int, end: int) -> Iterator[LiveChunk]:
        """Yield the bytes from one offset to another, as far as they are there."""
        while start < end:
            chunk = self.read(start, min(READ_BYTES, end - start)).chunk
            if not chunk.data:
                return
            yield chunk
            start = chunk.end

    def tail_offset(self, size_bytes: int, lines: int) -> int:
        """Return the offset at which the last lines begin, or that of the first byte still there.

        A last line without a newline counts.
        """
        end = start = size_bytes
        while start > 0 and lines > 0:
            start = max(0, end - READ_BYTES)
            chunk = self.read(start, end - start).chunk
            # The newline at the very end ends the last line and begins none.
            position = len(chunk.data) - (end == size_bytes and chunk.data.endswith(b"\n"))
            while (position := chunk.data.rfind(b"\n", 0, position)) >= 0:
                lines -= 1
                if lines == 0:
                    return chunk.offset + position + 1
            if chunk.offset > start:
                # What comes before has expired.
                return chunk.offset
            end = start
        return start


def _as_part(response: Response) -> ServedPart:
    headers = response.headers
    chunk = LiveChunk(
        int(headers["x-log-offset"]), response.body, int(headers.get("x-log-line", 0))
    )
    state = headers["x-log-state"]
    return ServedPart(chunk, int(headers["x-log-size"]), state == "final", state == "lost")
