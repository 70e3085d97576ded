"""Decide what a pass does with each file of an execution, before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from enum import Enum, auto

from orchestrator_cli.core.efs.events import SyncEvent, SyncState
from orchestrator_cli.core.efs.rules import SyncRules, last_change
from orchestrator_cli.core.efs.sync_pass import SyncPass
from orchestrator_cli.core.efs.tree import BenchExecution, plan_execution
from orchestrator_cli.core.transfer.upload.plan import PlannedFile, SkippedPath


class Decision(Enum):
    """The decision on one file."""

    UPLOAD = auto()
    # It has not been unchanged for long enough: whoever writes it may not be done.
    WAIT = auto()
    # S3 got it after its last change. That is evidence enough to leave it alone for now; to
    # delete it, its bytes are compared.
    ALREADY_STORED = auto()
    GONE = auto()


def decide(current: SyncPass, item: PlannedFile, rules: SyncRules, now: datetime) -> Decision:
    """Decide on a file, by its present state and by what S3 held of it; note how old it is."""
    try:
        status = item.stat()
    except OSError:
        return Decision.GONE
    changed = last_change(status, now)
    current.oldest_change = min(current.oldest_change, changed)
    rest = rules.rest_of(item.path, is_finished=current.is_finished)
    if now.timestamp() - changed < rest.total_seconds():
        return Decision.WAIT
    stored = current.find_stored(item.key)
    if stored is None or stored.size_bytes != status.st_size:
        return Decision.UPLOAD
    is_newer = stored.last_modified.timestamp() > changed
    return Decision.ALREADY_STORED if is_newer else Decision.UPLOAD


def plan_sync(
    execution: BenchExecution, rules: SyncRules, now: datetime
) -> Iterator[SyncEvent | PlannedFile]:
    """Yield the decisions of a pass: files to store or compare, and files to leave alone.

    S3 is not asked: no file is taken for stored already, and no execution for finished.
    """
    nothing_stored = SyncPass(execution)
    for item in plan_execution(execution):
        if isinstance(item, SkippedPath):
            state = SyncState.FAILED if item.error else SyncState.SKIPPED
            yield SyncEvent(item.source, state, execution, detail=item.reason)
            continue
        decision = decide(nothing_stored, item, rules, now)
        if decision is Decision.WAIT:
            yield SyncEvent(item.source, SyncState.SETTLING, execution, item.path)
        elif decision is Decision.UPLOAD:
            yield item
