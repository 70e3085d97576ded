"""Find the newest executions in a bucket, which lists the oldest first; nothing is read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from orchestrator_cli.core.executions.ids import (
    CLOCK_SKEW,
    MILLISECOND,
    NUMBER_RANDOM_BITS,
    execution_number,
    first_execution_id,
    last_execution_id,
    numbered_execution_id,
)
from orchestrator_cli.core.executions.keys import (
    EXECUTIONS_PREFIX,
    key_after_execution,
    parse_execution_prefix,
)
from orchestrator_cli.core.s3.bucket.reader import ObjectReader
from orchestrator_cli.core.s3.operations.listing import PAGE_KEYS, ListPage, ListQuery

# A sparse stretch is followed by one that is longer by this factor, any other by one twice as long.
_FEW_IDS = 100
_LENGTHEN = 24
# Stretches behind a crowd are so many times longer, each than the one before.
_GALLOP = 16
# The end of the crowd is not sought within so many pages: listing on is cheaper.
_PAGES_ON = 4
_HOUR = timedelta(hours=1) // MILLISECOND << NUMBER_RANDOM_BITS
# The first of the stretches that are listed at once: seconds long, as there may be a crowd.
_FIRST_AT_ONCE = _HOUR // _LENGTHEN**2
_AT_ONCE = 8


class NewestIds:
    """Yields the ids of a time window, the newest first; `requests` is how many it has sent.

    The window is listed in stretches that begin at its end. Ids are numbers here, as a ULID is one
    of 128 bits: so a crowd is cut in pieces even where all of it is of one millisecond. A stretch
    with more ids than a page of a listing holds is crowded. Then the end of the crowd is sought:
    first where it is if ids come at an even rate, then ever further behind the page.

    With `at_once` the first stretches, of seconds to years, are listed at the same time: a few
    more requests, where each takes long.
    """

    def __init__(
        self,
        store: ObjectReader,
        since: datetime,
        until: datetime | None,
        now: datetime,
        before: str | None = None,
        *,
        at_once: bool = False,
    ) -> None:
        self.requests = 0
        self._store = store
        self._since = execution_number(first_execution_id(since))
        self._end = execution_number(before or last_execution_id(until or now + CLOCK_SKEW))
        self._end += before is None
        # Hardly any id is ahead of our clock; those are listed with the first stretch.
        present = execution_number(last_execution_id(now))
        self._present = self._end if before or until else min(present, self._end)
        self._length = _FIRST_AT_ONCE if at_once else _HOUR
        self._at_once = at_once
        # First pages of stretches, by where these begin.
        self._listed: dict[int, ListPage] = {}
        # Behind the last crowded page, whose ids are so far apart in all.
        self._behind: int | None = None
        self._span = 1
        self._gallop = _GALLOP
        self._is_even = True

    def __iter__(self) -> Iterator[str]:
        """List until the window is at its end, or nobody asks for more."""
        start = self._present - self._length
        if self._at_once:
            self._list_at_once(start)
        while self._end > self._since:
            start = max(self._since, start)
            ids, behind = self._page(start)
            if behind is None:
                yield from reversed(ids)
                self._end, self._present = start, min(self._present, start)
                if ids:
                    self._is_even, self._gallop = True, _GALLOP
            else:
                self._behind, self._span = behind, behind - execution_number(ids[0])
            start = self._next_start(len(ids), is_crowded=behind is not None)

    def _list_at_once(self, start: int) -> None:
        """List the stretches that follow each other where each has few ids."""
        starts, length = [max(self._since, start)], self._length
        while starts[-1] > self._since and len(starts) < _AT_ONCE:
            length *= _LENGTHEN
            starts.append(max(self._since, starts[-1] - length))
        location = self._store.location
        queries = (
            ListQuery(EXECUTIONS_PREFIX, _key_before(one), "/", location=location) for one in starts
        )
        pages = self._store.map_operations(map(self._store.index.list_page, queries))
        self._listed = dict(zip(starts, pages, strict=True))
        self.requests += len(starts)

    def _next_start(self, count: int, *, is_crowded: bool) -> int:
        if self._behind is not None and self._behind >= self._end:
            # The crowded page itself comes next.
            self._behind, self._length = None, self._span
            return self._end - self._length
        if self._behind is None:
            self._length *= _LENGTHEN if count < _FEW_IDS else 2
            return self._end - self._length
        left = self._present - self._behind
        if left <= _PAGES_ON * self._span:
            return self._behind
        if self._is_even:
            self._is_even = count > 0 and not is_crowded
            return max(self._behind, self._present - self._span // 2)
        length = min(self._gallop * self._span, left // 2)
        self._gallop *= _GALLOP
        return self._behind + length

    def _page(self, start: int) -> tuple[list[str], int | None]:
        """Return the ids from a number on; where there are more, the number to go on at as well."""
        last_key = key_after_execution(numbered_execution_id(self._end - 1))
        first = self._listed.pop(start, None)
        # That one is counted already.
        self.requests -= first is not None
        listed = self._store.list_prefixes(EXECUTIONS_PREFIX, _key_before(start), first)
        ids: list[str] = []
        for number, prefix in enumerate(listed):
            self.requests += number % PAGE_KEYS == 0
            if prefix > last_key:
                return ids, None
            execution_id = parse_execution_prefix(prefix)
            if execution_id is not None:
                ids.append(execution_id)
            if number % PAGE_KEYS == PAGE_KEYS - 1 and ids:
                behind = execution_number(ids[-1]) + 1
                return ids, behind if behind < self._end else None
        self.requests += not ids
        return ids, None


def _key_before(number: int) -> str:
    """Return the key behind which a listing begins with the id of a number."""
    return EXECUTIONS_PREFIX + numbered_execution_id(number)
