"""Remember which executions a watch may skip."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from orchestrator_cli.core.efs.rules import SyncRules
from orchestrator_cli.core.efs.tree import BenchExecution, TreeFingerprint, tree_fingerprint

_LOOK_AGAIN_AFTER = timedelta(hours=1)
# Its record says that all is stored only in a pass after the test has ended.
_LOOK_FOR_END_AFTER = timedelta(minutes=5)
_MAX_QUIET = 20_000


class Remaining(NamedTuple):
    """How many files of an execution a pass has left for the next one, and in conflict.

    `is_finished` says that its test was over when the pass began.
    """

    to_do: int
    conflicts: int
    is_finished: bool


class _Quiet(NamedTuple):
    state: TreeFingerprint
    until: datetime
    conflicts: int


class UnchangedCache:
    """The executions that the last pass of a watch has left nothing to do for.

    An execution whose files are as they were costs no request until one of them is due, and one
    look an hour; one whose test goes on, a look every five minutes. A file in conflict with what is
    stored is nothing to do either: it would be sent again in each pass, and be refused. In memory
    only, and bounded: to forget one costs a listing.
    """

    def __init__(self, rules: SyncRules) -> None:
        self._retain = rules.retain
        self._known: dict[Path, _Quiet] = {}

    def skip_if_unchanged(
        self, execution: BenchExecution, now: datetime, sync: Callable[[], Remaining]
    ) -> int:
        """Sync an execution unless it is quiet; return how many conflicts a quiet one has."""
        state = tree_fingerprint(execution)
        known = self._known.get(execution.directory)
        if known is not None and known.state == state and now < known.until:
            return known.conflicts
        self._known.pop(execution.directory, None)
        left = sync()
        if left.to_do or len(self._known) >= _MAX_QUIET:
            return 0
        after = tree_fingerprint(execution)
        if after.files == state.files:
            until = self._quiet_until(after, now, left)
            self._known[execution.directory] = _Quiet(after, until, left.conflicts)
        return 0

    def _quiet_until(self, state: TreeFingerprint, now: datetime, left: Remaining) -> datetime:
        until = now + (_LOOK_AGAIN_AFTER if left.is_finished else _LOOK_FOR_END_AFTER)
        # A file in conflict is never due to be deleted, and may be the oldest.
        if self._retain is None or state.oldest is None or left.conflicts:
            return until
        return min(until, datetime.fromtimestamp(state.oldest, UTC) + self._retain)
