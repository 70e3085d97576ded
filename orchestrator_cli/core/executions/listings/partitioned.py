"""List a time window in parallel: in partitions by ULID, split as its density shows.

Each is listed by a thread, a bounded number of pages at a time. Memory follows neither the window
nor the history.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from orchestrator_cli.core.base.cancellation import bind_token, current_token
from orchestrator_cli.core.base.ordered_map import wait_result
from orchestrator_cli.core.executions.ids import (
    MILLISECOND,
    execution_time,
    first_execution_id,
    last_execution_id,
)
from orchestrator_cli.core.executions.keys import EXECUTIONS_PREFIX, key_after_execution
from orchestrator_cli.core.s3.operations.listing import PAGE_KEYS

if TYPE_CHECKING:
    from concurrent.futures import Future

Entry = TypeVar("Entry")
Found = TypeVar("Found")

_PAGES_AT_ONCE = 4


class Window(NamedTuple):
    """A range of keys: those after one, up to another. `ends_at` is about when it ends.

    All of them begin with `prefix`, which execution ids follow.
    """

    start_after: str
    last_key: str
    ends_at: datetime
    prefix: str = EXECUTIONS_PREFIX

    @classmethod
    def of(cls, since: datetime | None, until: datetime, prefix: str = EXECUTIONS_PREFIX) -> Window:
        """Return the window of the executions between two instants, both included."""
        # Listings begin after a key, and a prefix sorts before what it holds: so the first id of
        # the window itself is not skipped.
        start_after = prefix + first_execution_id(since) if since else ""
        return cls(
            start_after, key_after_execution(last_execution_id(until), prefix), until, prefix
        )


class RangeListing(NamedTuple, Generic[Entry, Found]):
    """How a window is listed, a thousand entries a request, and what is made of the entries.

    `entries` lists the entries after a key, in order; `behind` returns the key to resume after an
    entry; `gather` makes the results of entries; `id_of` returns the execution of a result.
    """

    entries: Callable[[str], Iterable[Entry]]
    behind: Callable[[Entry], str]
    gather: Callable[[Iterator[Entry]], list[Found]]
    id_of: Callable[[Found], str]


# A part of a window, and how many pages of it are listed at once.
_Partition = tuple[Window, int]


class _PartitionResult(NamedTuple, Generic[Found]):
    """What was found at the beginning of a window; `rest` is None where that was all of it."""

    found: list[Found]
    pages: int
    rest: Window | None


class WindowListing(Generic[Entry, Found]):
    """Lists a window in partitions, up to `ahead` at once, and splits the rest by its beginning.

    What is found in two partitions is not joined. About a request a thousand entries, and one
    more a partition: none where the window fits into the first pages. Use it once.
    """

    def __init__(self, listing: RangeListing[Entry, Found], ahead: int) -> None:
        self._listing = listing
        self._ahead = ahead
        self._pages = 0

    def read(self, window: Window, first_pages: int = 1) -> Iterator[Found]:
        """Yield the results of a window, in order."""
        first = self._list(window, first_pages)
        yield from first.found
        partitions = self._remaining(first)
        if partitions:
            yield from self._read_ahead(partitions)

    def _read_ahead(self, partitions: list[_Partition]) -> Iterator[Found]:
        from concurrent.futures import Future, ThreadPoolExecutor

        executor = ThreadPoolExecutor(self._ahead, "listing", partial(bind_token, current_token()))
        # What is to come, in order; only so many at the front are under way.
        waiting: deque[_Partition | Future[_PartitionResult[Found]]] = deque(partitions)
        try:
            while waiting:
                for place in range(min(self._ahead, len(waiting))):
                    item = waiting[place]
                    if not isinstance(item, Future):
                        waiting[place] = executor.submit(self._list, *item)
                front = waiting.popleft()
                assert isinstance(front, Future)  # noqa: S101 - for the type checker
                result = wait_result(front)
                yield from result.found
                waiting.extendleft(reversed(self._remaining(result)))
        finally:
            executor.shutdown(wait=False, cancel_futures=True)

    def _list(self, window: Window, pages: int) -> _PartitionResult[Found]:
        most, count, behind = pages * PAGE_KEYS, 0, ""

        def inside() -> Iterator[Entry]:
            nonlocal count, behind
            for entry in islice(self._listing.entries(window.start_after), most):
                count += 1
                behind = self._listing.behind(entry)
                if behind > window.last_key:
                    return
                yield entry

        found = self._listing.gather(inside())
        goes_on = count == most and behind <= window.last_key
        rest = window._replace(start_after=behind) if goes_on else None
        return _PartitionResult(found, max(1, -(-count // PAGE_KEYS)), rest)

    def _remaining(self, result: _PartitionResult[Found]) -> list[_Partition]:
        """Return the partitions of what a result has left, in order."""
        self._pages += result.pages
        if result.rest is None:
            return []
        pages = min(self._pages, _PAGES_AT_ONCE)
        return [(window, pages) for window in self._split(result, result.rest)]

    def _split(self, result: _PartitionResult[Found], rest: Window) -> list[Window]:
        if not result.found:
            return [rest]
        first, last = (execution_time(self._listing.id_of(result.found[at])) for at in (0, -1))
        left = rest.ends_at - last
        if first == last or left <= MILLISECOND:
            return [rest]
        pages = int(result.pages * (left / (last - first)))
        # So few that empty ones cost no more than what was listed already.
        wanted = min(pages // 2, max(self._ahead, pages // _PAGES_AT_ONCE))
        number = min(wanted, max(2, self._pages), left // MILLISECOND)
        if number < 2:
            return [rest]
        ends = [last + left * step / number for step in range(1, number)]
        return list(_parts(rest, ends))


def _parts(window: Window, ends: Iterable[datetime]) -> Iterator[Window]:
    """Yield the parts of a window that end at these instants, and the rest."""
    for end in ends:
        last_key = key_after_execution(last_execution_id(end), window.prefix)
        yield window._replace(last_key=last_key, ends_at=end)
        window = window._replace(start_after=last_key)
    yield window
