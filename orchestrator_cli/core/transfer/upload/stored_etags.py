"""Look up what is stored under keys, roughly in order, by listing them with little memory.

A walk of local files meets the keys of each place where files go in ascending order, but for a few
steps back. Each place has a cursor, which holds one page of its listing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from orchestrator_cli.core.s3.operations.listing import ListingProgress, ListPage, ListQuery
from orchestrator_cli.core.s3.operations.request import Operation
from orchestrator_cli.core.s3.types import ObjectSummary

# Lists a page under a prefix, behind a key or, with a token, after another page.
ListPageBehind = Callable[[str, str, str | None], Operation[ListPage]]

# Where files go, `executions/<id>/artifacts/custom/` for instance, has so many segments at most.
_PLACE_SEGMENTS = 4


@dataclass(eq=False, repr=False)
class _Cursor:
    """Reads a listing forwards and holds one page of it, which begins after the key `behind`."""

    behind: str
    list_page: Callable[[str | None], Operation[ListPage]]
    progress: ListingProgress
    keys: list[str] = field(default_factory=list)
    objects: list[ObjectSummary] = field(default_factory=list)
    token: str | None = None
    has_begun: bool = False

    def find(self, key: str) -> ObjectSummary | None:
        """Return the object under a key that it covers, None where nothing is stored there."""
        index = bisect_left(self.keys, key)
        return self.objects[index] if index < len(self.keys) and self.keys[index] == key else None

    def covers(self, key: str) -> bool:
        """Return True if the page that it holds tells of a key."""
        if not self.has_begun:
            return False
        return self.token is None or (bool(self.keys) and key <= self.keys[-1])

    def go_on(self) -> Operation[None]:
        """Read the next page."""
        if self.has_begun and self.keys:
            self.behind = self.keys[-1]
        page = yield from self.list_page(self.token)
        self.progress.check(page.names)
        self.has_begun, self.token = True, page.next_token
        self.objects = page.objects
        self.keys = [one.key for one in page.objects]


class StoredEtags:
    """The stored files of an execution and their ETags, listed page by page on demand."""

    def __init__(self, list_page: ListPageBehind, run: Callable[[Operation[None]], None]) -> None:
        """`run` runs an operation and waits for its end."""
        self._list_page = list_page
        self._run = run
        self._cursors: dict[str, _Cursor] = {}

    def etag_of(self, key: str) -> str:
        """Return the ETag of a key by the listing, or "" where nothing is stored there."""
        found = self.find(key)
        return "" if found is None else found.etag

    def find(self, key: str) -> ObjectSummary | None:
        """Return the object under a key by the listing, None where nothing is stored there."""
        cursor = self._cursor_for(key)
        while not cursor.covers(key):
            self._run(cursor.go_on())
        return cursor.find(key)

    def begin(self, key: str) -> Operation[None]:
        """Read the page that tells of a key, before `etag_of` is asked for it."""
        yield from self._cursor_for(key).go_on()

    def _cursor_for(self, key: str) -> _Cursor:
        segments = key.split("/", _PLACE_SEGMENTS)
        place = key[: len(key) - len(segments[-1])]
        cursor = self._cursors.get(place)
        if cursor is None or key <= cursor.behind:
            # A proper prefix sorts before the key, and hardly anything lies between the two.
            list_page = partial(self._list_page, place, key[:-1])
            progress = ListingProgress(ListQuery(place).what)
            cursor = self._cursors[place] = _Cursor(key[:-1], list_page, progress)
        return cursor
