"""Parts of the logs that a server reads, those that are still being written included."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlencode

from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.gateway.client.connection import GatewayConnection
from orchestrator_cli.core.gateway.client.server_request import ServerRequest, ask
from orchestrator_cli.core.gateway.limits import MAX_WAIT_SECONDS
from orchestrator_cli.core.http.transport import Response
from orchestrator_cli.core.live.reading.reader import LiveChunk

# The most that a server returns, and waits, at once.
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


class LogServer:
    """Reads the logs of a server's executions. Safe to share between threads."""

    def __init__(self, connection: GatewayConnection) -> None:
        self._connection = connection

    def read(
        self,
        execution_id: str,
        name: str,
        offset: int,
        size_bytes: int = READ_BYTES,
        *,
        waits: bool = False,
    ) -> ServedPart:
        """Return a part of a log; a negative offset counts from the end. Raises NotFoundError.

        With `waits`, a log that grows is waited for where nothing is there yet.
        """
        fields = {"offset": offset, "length": size_bytes, "wait": MAX_WAIT_SECONDS if waits else 0}
        path = f"/executions/{execution_id}/logs/{quote(name)}/bytes?{urlencode(fields)}"
        what = f"read of {printable(name)}"
        request = ServerRequest(path, what, is_raw=True, takes_long=waits)
        return self._connection.run(ask(request, _as_part))


def _as_part(response: Response) -> ServedPart:
    headers = response.headers
    chunk = LiveChunk(
        int(headers["x-log-offset"]), response.body, int(headers.get("x-log-line", 0))
    )
    state = headers["x-log-state"]
    return ServedPart(chunk, int(headers["x-log-size"]), state == "final", state == "lost")
