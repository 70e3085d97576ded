"""What sends the requests of operations: one at a time, or many on a loop.

Each is made at its first use, so a command pays only for what it uses.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator_cli.core.base.cancellation import CancelToken
from orchestrator_cli.core.base.retry import RetryPolicy
from orchestrator_cli.core.http.transport import RateLimit, Transport
from orchestrator_cli.core.s3.connection.operation_runner import (
    OperationRunner,
    RequestCodec,
    map_request_error,
)

if TYPE_CHECKING:
    from orchestrator_cli.core.http.curl.loop import CurlLoop
    from orchestrator_cli.core.http.curl.options import ClientOptions


class Connection(OperationRunner):
    """Runs operations, one at a time or as tasks of a loop. Safe to share between threads.

    `retry` says when a request that failed is sent again; its token stops everything.
    `max_in_flight` is the default for how many small requests a loop has in flight at most.
    """

    def __init__(
        self,
        codec: RequestCodec,
        client_options: Callable[[], ClientOptions],
        retry: RetryPolicy,
        *,
        max_in_flight: int,
        rate_limit: RateLimit | None = None,
    ) -> None:
        """`client_options` is called before anything is sent; `rate_limit` is for bodies."""
        self.retry = replace(retry, map_error=map_request_error)
        super().__init__(codec, lambda: self.transport, self.retry)
        self.max_in_flight = max_in_flight
        self._client_options = client_options
        self._rate_limit = rate_limit
        # Several threads may need the first transport at once; making one is not thread-safe.
        self._lock = threading.Lock()
        self._transport: Transport | None = None

    def loop(self, max_in_flight: int = 256, stop: CancelToken | None = None) -> CurlLoop:
        """Return a loop for the thread that calls this; it is closed by the caller."""
        from orchestrator_cli.core.http.curl.loop import CurlLoop

        return CurlLoop(
            self._client_options(),
            max_in_flight=max_in_flight,
            stop=stop or self.retry.token,
            rate_limit=self._rate_limit,
            known_seconds=self.min_latency_seconds,
        )

    @property
    def transport(self) -> Transport:
        """Sends one request at a time, from any thread."""
        with self._lock:
            if self._transport is None:
                from orchestrator_cli.core.http.curl.easy import EasyTransport

                self._transport = EasyTransport(
                    self._client_options(), self.retry.stop, self._rate_limit
                )
            return self._transport
