"""The rules of a sync: how long files rest before they are read, and stay once stored."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

from orchestrator_cli.core.executions.placement import log_storage_path

if TYPE_CHECKING:
    from orchestrator_cli.core.files.tree import TreeFile
    from orchestrator_cli.core.transfer.upload.plan import PlannedFile


@dataclass(frozen=True, slots=True)
class SyncRules:
    """How long files rest before they are read, and how long they stay once stored.

    `log_settle` is for the logs of an execution that is not finished: a test that is busy writes
    nothing for a while and then goes on. `retain` None keeps files for good. A file that fails is
    tried `attempts` times in a pass.
    """

    settle: timedelta = timedelta(seconds=60)
    retain: timedelta | None = timedelta(days=7)
    log_settle: timedelta = timedelta(hours=1)
    attempts: int = 4

    def rest_of(self, path: str, *, is_finished: bool) -> timedelta:
        """Return how long a file has to be unchanged, by its path and whether its test is over."""
        is_log = log_storage_path(path) == path
        if is_finished or not is_log:
            return self.settle
        return max(self.settle, self.log_settle)

    def is_due(self, item: PlannedFile, now: datetime) -> bool:
        """Return True for a file that is there and is to be deleted once S3 holds it."""
        try:
            return self.has_been_kept(item.stat(), now) and not self._was_moved_lately(item, now)
        except OSError:
            return False

    def _was_moved_lately(self, item: PlannedFile, now: datetime) -> bool:
        """Return True for a file whose directory was moved here and has not rested as long as it.

        The file's own times know nothing of that. Raises OSError.
        """
        file = cast("TreeFile", item.file)
        places = (file.tree.stat(file.parts[:depth]) for depth in range(1, len(file.parts)))
        # What is put into a directory, or taken out, sets both times; to move it sets one.
        return any(
            one.st_ctime > one.st_mtime and not self.has_been_kept(one, now) for one in places
        )

    def has_been_kept(self, status: os.stat_result, now: datetime) -> bool:
        """Return True for a file or directory that has not changed for as long as is asked."""
        return self.is_long_enough(last_change(status, now), now)

    def is_long_enough(self, changed: float, now: datetime) -> bool:
        """Return True if it is as long as is asked since a time in seconds since the epoch."""
        if self.retain is None:
            return False
        return now.timestamp() - changed > self.retain.total_seconds()


def last_change(status: os.stat_result, now: datetime) -> float:
    """Return when a file was last written to or put where it is, in seconds since the epoch.

    A copy may keep the time of writing, and a bench may have a wrong clock; the change time is set
    by the file server's and by nobody else.
    """
    if status.st_mtime > now.timestamp():
        return status.st_ctime
    return max(status.st_mtime, status.st_ctime)
