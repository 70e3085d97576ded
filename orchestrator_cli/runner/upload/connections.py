"""The stores of one run, the engines on them, and whether S3 takes anything."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orchestrator_cli.core.base.errors import OrchestratorError, UnavailableError
from orchestrator_cli.core.base.retry import RetryPolicy
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.connection.session import S3Session
from orchestrator_cli.core.s3.types import UploadResult
from orchestrator_cli.core.transfer.engine import TransferEngine

if TYPE_CHECKING:
    from orchestrator_cli.core.metrics.recorder import MetricsRecorder

_CONCURRENCY = 16
# The second attempt is for credentials that had expired.
_LIVE_ATTEMPTS = 2
# S3 counts as down after so many failed files in a row.
_DOWN_AFTER_FAILURES = 4


class UploadProgress:
    """When S3 last took something, and whether it is known to be down. Any thread may call it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures_in_a_row = 0
        self.s3_reachable = False
        self.storage_down = False
        self.last_at = clock()

    def restart(self) -> None:
        """Count the time without progress from now."""
        self.last_at = self._clock()

    def advance(self) -> None:
        """Note that S3 has just taken something."""
        self._failures_in_a_row = 0
        self.storage_down = False
        self.s3_reachable = True
        self.last_at = self._clock()

    def fail(self, error: Exception) -> None:
        """Note an error, which may say that the storage is down."""
        self.storage_down = isinstance(error, UnavailableError)

    def concerns_all_files(self, error: OrchestratorError) -> bool:
        """Return whether the error of one file is that of every other file too."""
        if error.is_fatal:
            return True
        self.fail(error)
        self._failures_in_a_row += self.storage_down
        return self._failures_in_a_row >= _DOWN_AFTER_FAILURES


class RunConnections:
    """Makes the stores of one run, so that all can be stopped at once.

    `make_store` makes a store, with retries or without; `meter` counts what is stored.
    """

    def __init__(
        self,
        make_store: Callable[[bool], ArtifactStore],
        progress: UploadProgress,
        meter: MetricsRecorder | None = None,
    ) -> None:
        self.progress = progress
        self._make_store = make_store
        self._meter = meter
        self._stores: dict[bool, ArtifactStore] = {}
        self._stopped = threading.Event()
        self._lock = threading.Lock()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped.is_set()

    def store(self) -> ArtifactStore:
        """Return a store. While S3 is known to be down it sends no request again.

        Raises what building a store raises: UsageError, AccessError.
        """
        retries = not self.progress.storage_down
        with self._lock:
            if retries not in self._stores:
                self._stores[retries] = self._make_store(retries)
            store = self._stores[retries]
            if self.stopped:
                store.retry.stop.set()
        return store

    def live_store(self) -> ArtifactStore:
        """Return a store for live logs, whose writer backs off by itself. Raises as `store`."""
        store = self.store()
        policy = RetryPolicy(attempts=_LIVE_ATTEMPTS, patience_seconds=0, stop=store.retry.stop)
        return ArtifactStore(S3Session(store.session.settings, policy))

    def engine(self, store: ArtifactStore) -> TransferEngine:
        """Return an engine for files, which counts them."""
        engine = self.stream_engine(store)
        if self._meter is not None:
            engine.observer = self._meter
        return engine

    def stream_engine(self, store: ArtifactStore) -> TransferEngine:
        """Return an engine for a stream, which `count` counts once it is stored."""
        return TransferEngine(store.connection, _CONCURRENCY, on_stored=self.progress.advance)

    def count(self, result: UploadResult) -> None:
        """Count a file that was sent by a `stream_engine`."""
        if self._meter is not None:
            self._meter.uploaded(result, None)

    def measured(self) -> list[Any] | None:
        """Return the metrics since the last time; None where nothing is counted."""
        return self._meter.drain().to_list() if self._meter is not None else None

    def stop(self) -> None:
        """End every wait and send no further request."""
        self._stopped.set()
        with self._lock:
            for store in self._stores.values():
                store.retry.stop.set()
