"""What a sync decides by and tells: its rules, its events, its totals; and what a pass would do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from orchestrator_cli.core.base.errors import (
    ConflictError,
    OrchestratorError,
    PartialFailureError,
    UnavailableError,
)
from orchestrator_cli.core.efs.tree import BenchExecution, plan_execution
from orchestrator_cli.core.transfer.plan import PlannedFile, SkippedPath


class SyncState(StrEnum):
    """What became of a local file in one pass."""

    CREATED = "created"
    IDENTICAL = "identical"
    CONFLICT = "conflict"
    FAILED = "failed"
    SETTLING = "settling"
    SKIPPED = "skipped"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class SyncEvent:
    """One file of a pass; what S3 held before and keeps its local copy makes none.

    `path` is relative to the execution, None for what has no place in it.
    """

    source: str
    state: SyncState
    execution: BenchExecution | None = None
    path: str | None = None
    size_bytes: int = 0
    sent_bytes: int = 0
    detail: str | None = None
    error: OrchestratorError | None = None


@dataclass(frozen=True, slots=True)
class SyncRules:
    """How long files rest before they are read, and how long they stay once stored.

    `retain` None keeps them for good. A file that fails is tried `attempts` times in a pass.
    """

    settle: timedelta = timedelta(seconds=60)
    retain: timedelta | None = timedelta(days=7)
    attempts: int = 4
    first_wait_seconds: float = 1.0


@dataclass
class SyncSummary:
    """Totals of a pass, sizes in bytes. `stored` counts files that S3 held already."""

    executions: int = 0
    created: int = 0
    identical: int = 0
    stored: int = 0
    settling: int = 0
    skipped: int = 0
    deleted: int = 0
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
        self.failed += event.state is SyncState.FAILED
        self.conflicts += event.state is SyncState.CONFLICT
        self.unavailable += isinstance(event.error, UnavailableError)
        self.sent_bytes += event.sent_bytes
        if event.state is SyncState.DELETED:
            self.deleted += 1
            self.deleted_bytes += event.size_bytes

    @property
    def unfinished(self) -> int:
        """How many files the next pass has to look at again."""
        return self.settling + self.failed + self.conflicts

    def error(self) -> OrchestratorError | None:
        """Return the failure of the whole pass, or None."""
        failures = self.failed + self.conflicts
        if not failures:
            return None
        line = f"{failures:,} files were not stored; they stay where they are"
        if self.unavailable == failures and not (self.created or self.identical or self.stored):
            return UnavailableError(line, retryable=True)
        if not self.failed:
            return ConflictError(line, hint="stored files are immutable: rename the local ones")
        hint = "see to that, then run the same command again"
        return PartialFailureError(line, hint=hint, retryable=True)


def plan_sync(
    execution: BenchExecution, rules: SyncRules, now: datetime
) -> Iterator[SyncEvent | PlannedFile]:
    """Yield what a pass would look at: files to store or compare, and what it leaves alone."""
    for item in plan_execution(execution):
        if isinstance(item, SkippedPath):
            state = SyncState.FAILED if item.error else SyncState.SKIPPED
            yield SyncEvent(str(item.source), state, execution, detail=item.reason)
            continue
        try:
            changed = last_change(item.stat(), now)
        except OSError:
            continue
        if now.timestamp() - changed < rules.settle.total_seconds():
            yield SyncEvent(str(item.source), SyncState.SETTLING, execution, item.path)
        else:
            yield item


def is_due(item: PlannedFile, rules: SyncRules, now: datetime) -> bool:
    """Say whether a file would be deleted once S3 holds it."""
    if rules.retain is None:
        return False
    return was_written_before(item, int((now - rules.retain).timestamp() * 1e9))


def was_written_before(item: PlannedFile, instant_ns: int) -> bool:
    """Say whether a file is there and was last written before an instant."""
    try:
        return item.stat().st_mtime_ns < instant_ns
    except OSError:
        return False


def last_change(status: os.stat_result, now: datetime) -> float:
    """Return when a file was last written to or renamed, in seconds since the epoch.

    A bench may have a wrong clock; the change time is set by the file server's.
    """
    if status.st_mtime > now.timestamp():
        return status.st_ctime
    return max(status.st_mtime, status.st_ctime)
