"""A page of the executions of a time window: listed, read, and judged."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from orchestrator_cli.api.reads.execution_query import ExecutionSelection, Order
from orchestrator_cli.api.reads.pagination import decode_cursor, encode_cursor
from orchestrator_cli.core.base.errors import OrchestratorError, UsageError
from orchestrator_cli.core.executions.ids import is_execution_id
from orchestrator_cli.core.executions.listings.executions import list_execution_ids
from orchestrator_cli.core.executions.listings.newest import NewestIds
from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata, Status
from orchestrator_cli.core.live.reading.liveness import (
    ExecutionWithLiveness,
    read_with_liveness,
    with_liveness,
)
from orchestrator_cli.core.s3.bucket.reader import ObjectReader


def list_executions(
    store: ObjectReader, asked: ExecutionSelection, now: datetime
) -> dict[str, Any]:
    """Return a page of the executions of a time window that a filter takes."""
    ids = _ids(store, asked, now)
    looks_at = asked.limit if asked.filter.takes_everything else asked.looks_at
    # One more tells whether there is a next page.
    looked_at = list(itertools.islice(ids, looks_at + 1))
    spent = ids.requests if isinstance(ids, NewestIds) else 0
    found, unreadable, last = [], [], None
    for last, item, judged in _read(store, looked_at[:looks_at], asked, spent):
        if isinstance(item, OrchestratorError):
            unreadable.append({"execution_id": last, "error": item.message})
        elif asked.filter.matches(item):
            record = item.model_copy(update={"artifacts": None}).to_dict()
            record.pop("artifacts")
            found.append(with_liveness(record, judged))
        if len(found) + len(unreadable) >= asked.limit:
            break
    more = last is not None and last != looked_at[-1]
    return {
        "executions": found,
        "unreadable": unreadable,
        "next_cursor": encode_cursor(asked.order, str(last)) if more else None,
    }


def _ids(
    store: ObjectReader, asked: ExecutionSelection, now: datetime
) -> Iterator[str] | NewestIds:
    """Return the ids behind the cursor, which goes on in the order it was made in only."""
    last = decode_cursor(asked.order, asked.cursor) if asked.cursor else None
    if last is not None and not is_execution_id(last):
        raise UsageError("not a cursor of this listing")
    window = (store, asked.since, asked.until, now)
    if asked.order is Order.NEWEST:
        return NewestIds(*window, last, at_once=asked.most_requests is not None)
    return list_execution_ids(*window, last)


def _read(
    store: ObjectReader, ids: list[str], asked: ExecutionSelection, spent: int
) -> Iterator[ExecutionWithLiveness]:
    """Read executions in the order given: all of them, or as many as the requests allow."""
    if asked.most_requests is None:
        yield from read_with_liveness(store, ids, asked.filter.matches)
        return
    budget = _Budget(asked.most_requests - spent, asked.filter.matches)
    # Somebody waits, and each round takes as long as the storage does. One that is running takes
    # two requests, and nobody knows which ones are.
    half = budget.left // 2
    for at_once in (ids[:half], ids[half:]):
        records = budget.take(at_once)
        for found in read_with_liveness(store, records, budget.has_heartbeat, len(ids)):
            if found[0] in budget.left_out:
                return
            yield found


class _Budget:
    """How many requests are `left`, and which records were `left_out` for want of one."""

    def __init__(self, requests: int, matches: Callable[[ExecutionMetadata], bool]) -> None:
        self.left = requests
        self.left_out: set[str] = set()
        self._matches = matches

    def take(self, ids: list[str]) -> list[str]:
        """Return those whose records can be read."""
        taken = ids[: max(0, self.left)]
        self.left -= len(taken)
        return taken

    def has_heartbeat(self, metadata: ExecutionMetadata) -> bool:
        """Say whether a heartbeat is looked at: of what runs and a filter takes."""
        if metadata.status is not Status.RUNNING or not self._matches(metadata):
            return False
        self.left -= 1
        if self.left < 0:
            self.left_out.add(metadata.execution_id)
        return self.left >= 0
