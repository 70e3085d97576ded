"""What a sync reports: an event a file, and the totals of a pass; and when it is to stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from orchestrator_cli.core.base.errors import (
    ConflictError,
    OrchestratorError,
    PartialFailureError,
    UnavailableError,
)
from orchestrator_cli.core.efs.tree import BenchExecution
from orchestrator_cli.core.s3.types import UploadResult
from orchestrator_cli.core.transfer.upload.local_file import SourceChangedError
from orchestrator_cli.core.transfer.upload.plan import SkippedPath

_SEE_TO_THAT = "see to that, then run the same command again"


class SyncState(StrEnum):
    """The state of a local file after one pass."""

    CREATED = "created"
    IDENTICAL = "identical"
    CONFLICT = "conflict"
    FAILED = "failed"
    SETTLING = "settling"
    SKIPPED = "skipped"
    DELETED = "deleted"
    NOT_DELETED = "not-deleted"

    @classmethod
    def of(cls, result: UploadResult) -> SyncState:
        """Return the state after an upload; a file that changed meanwhile is settling."""
        if isinstance(result.error, SourceChangedError):
            return cls.SETTLING
        if isinstance(result.error, ConflictError):
            return cls.CONFLICT
        if result.error is not None or result.outcome is None:
            return cls.FAILED
        return cls(result.outcome.value)


@dataclass(frozen=True, slots=True)
class SyncEvent:
    """One file of a pass; one that S3 held before, and whose local copy stays, makes none.

    `path` is relative to the execution, None for what has no place in it.
    """

    source: str
    state: SyncState
    execution: BenchExecution | None = None
    path: str | None = None
    size_bytes: int = 0
    resumed_bytes: int = 0
    sent_bytes: int = 0
    detail: str | None = None
    error: OrchestratorError | None = None

    @classmethod
    def of_skipped(cls, path: SkippedPath, execution: BenchExecution | None = None) -> SyncEvent:
        """Return the event of a path that is left alone: a failure if it could not be read."""
        state = SyncState.FAILED if path.error else SyncState.SKIPPED
        detail = path.reason if path.error is None else None
        return cls(path.source, state, execution, detail=detail, error=path.error)


@dataclass
class SyncSummary:
    """Totals of a pass, sizes in bytes. `stored` counts files that S3 held already.

    `undeleted` counts stored files that were to be deleted and could not be.
    """

    executions: int = 0
    created: int = 0
    identical: int = 0
    stored: int = 0
    settling: int = 0
    skipped: int = 0
    deleted: int = 0
    undeleted: int = 0
    failed: int = 0
    conflicts: int = 0
    unavailable: int = 0
    sent_bytes: int = 0
    deleted_bytes: int = 0

    def add(self, event: SyncEvent) -> None:
        """Count one event."""
        self.created += event.state is SyncState.CREATED
        self.identical += event.state is SyncState.IDENTICAL
        self.settling += event.state is SyncState.SETTLING
        self.skipped += event.state is SyncState.SKIPPED
        self.undeleted += event.state is SyncState.NOT_DELETED
        self.failed += event.state is SyncState.FAILED
        self.conflicts += event.state is SyncState.CONFLICT
        self.unavailable += isinstance(event.error, UnavailableError)
        self.sent_bytes += event.sent_bytes
        if event.state is SyncState.DELETED:
            self.deleted += 1
            self.deleted_bytes += event.size_bytes

    @property
    def unfinished(self) -> int:
        """The number of files that the next pass has to look at again."""
        return self.settling + self.failed + self.conflicts + self.undeleted

    def error(self) -> OrchestratorError | None:
        """Return the failure of the whole pass, or None."""
        failures = self.failed + self.conflicts
        if not failures and self.undeleted:
            were = "file is" if self.undeleted == 1 else "files are"
            line = f"{self.undeleted:,} {were} stored and could not be deleted here"
            return PartialFailureError(line, hint=_SEE_TO_THAT, retryable=True)
        if not failures:
            return None
        # It may be the record that failed, and no file.
        line = f"{failures:,} failed; what is not stored stays where it is"
        if self.unavailable == failures and not (self.created or self.identical or self.stored):
            return UnavailableError(line, retryable=True)
        if not self.failed:
            return ConflictError(line, hint="stored files are immutable: rename the local ones")
        return PartialFailureError(line, hint=_SEE_TO_THAT, retryable=True)


class SyncMonitor:
    """Counts the events of a pass and passes them on, from one thread.

    `stopping` is asked between files: once it returns True, what has begun is ended, and nothing
    else is begun.
    """

    def __init__(
        self,
        on_event: Callable[[SyncEvent], None],
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.summary = SyncSummary()
        self.stopping = stopping
        self._on_event = on_event

    def emit(self, event: SyncEvent) -> None:
        """Count one event and pass it on."""
        self.summary.add(event)
        self._on_event(event)
