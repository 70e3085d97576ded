"""Remember, in little memory, which files an upload has begun to store and not stored yet."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain, islice

from orchestrator_cli.core.base.quantities import rfc3339
from orchestrator_cli.core.executions.record.upload_mark import MAX_PATHS, UploadMark
from orchestrator_cli.core.transfer.upload.plan import PlanItem, PlannedFile


def begin_upload(now: datetime, selection: str = "") -> BegunUpload:
    """Return an upload that begins now, with an id of its own."""
    return BegunUpload(os.urandom(8).hex(), now, selection)


class BegunUpload:
    """One upload by the names of its files: of the first ones, and of those that are under way.

    `selection` says which files of a tree it takes, "" for all of them.
    """

    def __init__(self, upload_id: str, now: datetime, selection: str = "") -> None:
        self.mark = UploadMark(upload_id, rfc3339(now), (), selection=selection)
        self._missing: set[str] = set()
        self._stored_count = 0
        self._others: list[UploadMark] = []
        self._left_of_others: set[str] = set()

    def begin(self, plan: Iterable[PlanItem]) -> Iterator[PlanItem]:
        """Note the first items of a plan, for the mark, and return the whole plan."""
        items = iter(plan)
        head = list(islice(items, MAX_PATHS + 1))
        paths = tuple(one.path for one in head if isinstance(one, PlannedFile))
        self._missing.update(paths)
        more = len(head) > MAX_PATHS
        self.mark = self.mark._replace(paths=paths, more=more).shortened()
        return self._noted(chain(head, items))

    def _noted(self, plan: Iterable[PlanItem]) -> Iterator[PlanItem]:
        for item in plan:
            if isinstance(item, PlannedFile):
                self._missing.add(item.path)
            yield item

    def watch(self, others: Iterable[UploadMark]) -> None:
        """Track the files of other unfinished uploads, which this one may repeat."""
        self._others = list(others)
        self._left_of_others = {path for one in self._others for path in one.paths}

    def add(self, path: str, *, is_stored: bool) -> None:
        """Note that a file was tried."""
        self._missing.discard(path)
        if is_stored:
            self._stored_count += 1
            self._left_of_others.discard(path)

    @property
    def missing(self) -> list[str]:
        """The known files that were not tried to the end."""
        return sorted(self._missing)

    def covered(self, *, all_stored: bool) -> set[str]:
        """Return the ids of other uploads all of whose files this one has stored."""
        return {one.upload_id for one in self._others if self._covers(one, all_stored)}

    def _covers(self, other: UploadMark, all_stored: bool) -> bool:
        if not self._left_of_others.isdisjoint(other.paths):
            return False
        if not other.more:
            return True
        # The same tree begins with the same files.
        is_same = other.selection == self.mark.selection and self._stored_count > len(other.paths)
        return all_stored and is_same and bool(other.paths)
