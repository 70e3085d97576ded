"""When a file that S3 holds is due to be removed. A new condition for that goes here."""

from __future__ import annotations

import os
from datetime import datetime
from typing import TYPE_CHECKING, cast

from orchestrator_cli.core.efs.rules import SyncRules, last_change
from orchestrator_cli.core.transfer.upload.plan import PlannedFile

if TYPE_CHECKING:
    from orchestrator_cli.core.files.tree import TreeFile


def is_due(item: PlannedFile, rules: SyncRules, now: datetime) -> bool:
    """Return True for a file that is there and is to be deleted once S3 holds it."""
    try:
        return has_been_kept(item.stat(), rules, now) and not _was_moved_lately(item, rules, now)
    except OSError:
        return False


def _was_moved_lately(item: PlannedFile, rules: SyncRules, now: datetime) -> bool:
    """Return True for a file whose directory was moved here and has not rested as long as it.

    The file's own times know nothing of that. Raises OSError.
    """
    file = cast("TreeFile", item.file)
    places = (file.tree.stat(file.parts[:depth]) for depth in range(1, len(file.parts)))
    # What is put into a directory, or taken out, sets both times; to move it sets one.
    return any(one.st_ctime > one.st_mtime and not has_been_kept(one, rules, now) for one in places)


def has_been_kept(status: os.stat_result, rules: SyncRules, now: datetime) -> bool:
    """Return True for a file or directory that has not changed for as long as the rules ask."""
    if rules.retain is None:
        return False
    return now.timestamp() - last_change(status, now) > rules.retain.total_seconds()
