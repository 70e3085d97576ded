"""A page of the executions of a time window: list their ids, read their records, filter them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from orchestrator_cli.api.reads.execution_query import ExecutionSelection, Order
from orchestrator_cli.api.reads.pagination import decode_cursor, encode_cursor
from orchestrator_cli.core.base.errors import OrchestratorError, UsageError
from orchestrator_cli.core.executions.filters import FoundExecution
from orchestrator_cli.core.executions.ids import is_execution_id
from orchestrator_cli.core.executions.listings.executions import list_execution_ids
from orchestrator_cli.core.executions.listings.newest import NewestIds
from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata, Status
from orchestrator_cli.core.gateway.error_kinds import kind_of_error
from orchestrator_cli.core.live.reading.liveness import read_with_liveness, with_liveness
from orchestrator_cli.core.s3.bucket.reader import ObjectReader


def list_executions(
    store: ObjectReader, selection: ExecutionSelection, now: datetime
) -> dict[str, Any]:
    """Return a page of the executions of a time window that match a filter."""
    ids = _ids(store, selection, now)
    max_read = selection.limit if selection.filter.takes_everything else selection.max_read
    # One id more shows whether there is a next page.
    listed = list(itertools.islice(ids, max_read + 1))
    spent = ids.requests if isinstance(ids, NewestIds) else 0
    found, unreadable, last = [], [], None
    for last, item, liveness in _read(store, listed[:max_read], selection, spent):
        if isinstance(item, OrchestratorError):
            unreadable.append(
                {"execution_id": last, "error": item.message, "kind": kind_of_error(item)}
            )
        elif selection.filter.matches(item):
            record = item.model_copy(update={"artifacts": None}).to_dict()
            record.pop("artifacts")
            found.append(with_liveness(record, liveness))
        if len(found) + len(unreadable) >= selection.limit:
            break
    has_more = last is not None and last != listed[-1]
    return {
        "executions": found,
        "unreadable": unreadable,
        "next_cursor": encode_cursor(selection.order, str(last)) if has_more else None,
    }


def _ids(
    store: ObjectReader, selection: ExecutionSelection, now: datetime
) -> Iterator[str] | NewestIds:
    """Return the ids after the cursor. Raises UsageError for a cursor of the other order."""
    last = decode_cursor(selection.order, selection.cursor) if selection.cursor else None
    if last is not None and not is_execution_id(last):
        raise UsageError("not a cursor of this listing")
    window = (store, selection.since, selection.until, now)
    if selection.order is Order.NEWEST:
        return NewestIds(*window, last, at_once=selection.max_requests is not None)
    return list_execution_ids(*window, last)


def _read(
    store: ObjectReader, ids: list[str], selection: ExecutionSelection, spent: int
) -> Iterator[FoundExecution]:
    """Read executions in the order given: all of them, or as many as the requests allow."""
    if selection.max_requests is None:
        yield from read_with_liveness(store, ids, selection.filter.matches)
        return
    budget = _RequestBudget(selection.max_requests - spent, selection.filter.matches)
    # A running execution takes a second request, for its heartbeat, and which ones are running is
    # not known before. Reading in two rounds, each concurrent, leaves requests for those.
    half = budget.left // 2
    for batch in (ids[:half], ids[half:]):
        records = budget.take(batch)
        for found in read_with_liveness(store, records, budget.allows_heartbeat, len(ids)):
            if found[0] in budget.exceeded:
                return
            yield found


class _RequestBudget:
    """Counts the requests that are left for a page.

    `exceeded` are the executions whose heartbeat could not be read any more.
    """

    def __init__(self, requests: int, matches: Callable[[ExecutionMetadata], bool]) -> None:
        self.left = requests
        self.exceeded: set[str] = set()
        self._matches = matches

    def take(self, ids: list[str]) -> list[str]:
        """Return as many of the ids as records can be read, and count those requests."""
        taken = ids[: max(0, self.left)]
        self.left -= len(taken)
        return taken

    def allows_heartbeat(self, metadata: ExecutionMetadata) -> bool:
        """Return True if the heartbeat is to be read: the execution is running and matches."""
        if metadata.status is not Status.RUNNING or not self._matches(metadata):
            return False
        self.left -= 1
        if self.left < 0:
            self.exceeded.add(metadata.execution_id)
        return self.left >= 0
