"""What a pass does with each file of an execution, decided before anything is sent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from enum import Enum, auto

from orchestrator_cli.core.efs.rules import SyncEvent, SyncRules, SyncState
from orchestrator_cli.core.efs.sync_pass import SyncPass
from orchestrator_cli.core.efs.tree import BenchExecution, plan_execution
from orchestrator_cli.core.transfer.plan import PlannedFile, SkippedPath


class Decision(Enum):
    """What to do with a file now."""

    UPLOAD = auto()
    # It has not been unchanged for long enough: whoever writes it may not be done.
    WAIT = auto()
    # S3 got it after its last change. That is evidence enough to leave it alone for now; to
    # delete it, its bytes are compared.
    ALREADY_STORED = auto()
    GONE = auto()


def decide(current: SyncPass, item: PlannedFile, rules: SyncRules, now: datetime) -> Decision:
    """Return what a pass does with a file, from how it looks now and from what S3 held."""
    try:
        status = item.stat()
    except OSError:
        return Decision.GONE
    changed = last_change(status, now)
    rest = rules.rest_of(item.path, is_finished=current.is_finished)
    if now.timestamp() - changed < rest.total_seconds():
        return Decision.WAIT
    stored = current.stored.get(item.key)
    if stored is None or stored.size_bytes != status.st_size:
        return Decision.UPLOAD
    is_newer = stored.last_modified.timestamp() > changed
    return Decision.ALREADY_STORED if is_newer else Decision.UPLOAD


def plan_sync(
    execution: BenchExecution, rules: SyncRules, now: datetime
) -> Iterator[SyncEvent | PlannedFile]:
    """Yield what a pass would look at: files to store or compare, and what it leaves alone.

    S3 is not asked: no file is taken for stored already, and no execution for finished.
    """
    nothing_stored = SyncPass(execution, {})
    for item in plan_execution(execution):
        if isinstance(item, SkippedPath):
            state = SyncState.FAILED if item.error else SyncState.SKIPPED
            yield SyncEvent(str(item.source), state, execution, detail=item.reason)
            continue
        decision = decide(nothing_stored, item, rules, now)
        if decision is Decision.WAIT:
            yield SyncEvent(str(item.source), SyncState.SETTLING, execution, item.path)
        elif decision is Decision.UPLOAD:
            yield item


def is_due(item: PlannedFile, rules: SyncRules, now: datetime) -> bool:
    """Return True where a file would be deleted once S3 holds it."""
    if rules.retain is None:
        return False
    return was_written_before(item, int((now - rules.retain).timestamp() * 1e9))


def was_written_before(item: PlannedFile, instant_ns: int) -> bool:
    """Return True where a file is there and was last written before an instant."""
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
