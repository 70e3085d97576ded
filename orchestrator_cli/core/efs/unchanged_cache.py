"""Which executions a watch may leave alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from orchestrator_cli.core.efs.rules import SyncRules
from orchestrator_cli.core.efs.tree import BenchExecution, TreeFingerprint, tree_state

_LOOK_AGAIN_AFTER = timedelta(hours=1)
_MAX_QUIET = 20_000


class UnchangedCache:
    """The executions of which the last pass left nothing to do, for who watches a tree.

    An execution whose files are as they were costs no request until one of them is due, and one
    look an hour. In memory only, and bounded: to forget one costs a listing.
    """

    def __init__(self, rules: SyncRules) -> None:
        self._retain = rules.retain
        self._known: dict[Path, tuple[TreeFingerprint, datetime]] = {}

    def skip_if_unchanged(
        self, execution: BenchExecution, now: datetime, sync: Callable[[], int]
    ) -> None:
        """Sync an execution unless it is quiet. `sync` says how much it leaves to be done."""
        state = tree_state(execution)
        known, until = self._known.get(execution.directory, (None, now))
        if state == known and now < until:
            return
        self._known.pop(execution.directory, None)
        if sync() or len(self._known) >= _MAX_QUIET:
            return
        left = tree_state(execution)
        if left.files == state.files:
            self._known[execution.directory] = left, self._quiet_until(left, now)

    def _quiet_until(self, state: TreeFingerprint, now: datetime) -> datetime:
        until = now + _LOOK_AGAIN_AFTER
        if self._retain is None or state.oldest is None:
            return until
        return min(until, datetime.fromtimestamp(state.oldest, UTC) + self._retain)
