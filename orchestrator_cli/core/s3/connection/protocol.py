"""The protocol of a connection: by the credentials of a bucket, or by URLs that a server signs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

from orchestrator_cli.core.base.cancellation import CancelToken
from orchestrator_cli.core.base.retry import RetryPolicy
from orchestrator_cli.core.http.transport import Task
from orchestrator_cli.core.s3.operations.request import Operation

if TYPE_CHECKING:
    from orchestrator_cli.core.http.curl.loop import CurlLoop

T = TypeVar("T")


class Connection(Protocol):
    """Runs operations, one at a time or as tasks of a loop. Safe to share between threads."""

    @property
    def retry(self) -> RetryPolicy:
        """When a request that failed is sent again; its token stops everything."""
        ...

    @property
    def min_latency_seconds(self) -> float | None:
        """How long the quickest response has taken so far; None before the first."""
        ...

    @property
    def max_in_flight(self) -> int:
        """The default for how many small requests a loop has in flight at most."""
        ...

    def run(self, operation: Operation[T]) -> T:
        """Run an operation and wait for its result. Raises the library's exceptions."""
        ...

    def task(
        self, operation: Operation[T], on_throttled: Callable[[], object] | None = None
    ) -> Task[T]:
        """Return an operation as a task for a loop."""
        ...

    def loop(self, max_in_flight: int = 256, stop: CancelToken | None = None) -> CurlLoop:
        """Return a loop for the thread that calls this; it is closed by the caller."""
        ...
