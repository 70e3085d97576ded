"""Look up the first files of an upload while the record of their execution is read.

With a distant server, each request would otherwise wait for the one before. Nothing is stored by
looking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from itertools import chain, islice
from typing import TypeVar

from orchestrator_cli.core.base.errors import OrchestratorError
from orchestrator_cli.core.s3.operations.request import Operation
from orchestrator_cli.core.s3.part_plan import BASE_PART_BYTES
from orchestrator_cli.core.transfer.engine import TransferEngine
from orchestrator_cli.core.transfer.upload.parts.key_look import KeyLook
from orchestrator_cli.core.transfer.upload.plan import PlanItem, PlannedFile
from orchestrator_cli.core.transfer.upload.stored_etags import StoredEtags
from orchestrator_cli.core.transfer.upload.target import UploadTarget

T = TypeVar("T")

# With this many files, one listing per thousand keys is cheaper than a look-up per file.
_LISTING_PAYS_FROM = 32
# As many large files are under way at once.
_LARGE_AHEAD = 8
# Each costs a request, so only some connections are opened ahead.
_SMALL_AHEAD = 128
# A server that is near has answered by then, and a look would only have taken time.
_NEAR_SECONDS = 0.01


class LookAhead:
    """What is known of the first files before they are tried, and of all where they are listed."""

    def __init__(self, engine: TransferEngine, target: UploadTarget) -> None:
        self._listed: StoredEtags | None = None
        self._listing: Future[None] | None = None
        self._engine = engine
        self._target = target
        self._large: dict[str, KeyLook] = {}
        self._small: dict[str, Future[str | None]] = {}

    def while_reading(
        self, read: Callable[[], T], plan: Iterable[PlanItem]
    ) -> tuple[T, Iterator[PlanItem]]:
        """Return what `read` returns, and the whole plan, whose first files are looked at."""
        reading = self._engine.run_request(read)
        items = iter(plan)
        first = list(islice(items, _LARGE_AHEAD))
        for item in first:
            if isinstance(item, PlannedFile) and item.size_bytes > BASE_PART_BYTES:
                self._large[item.key] = KeyLook(self._engine, self._target, item.key)
        if not self._engine.has_ended(reading, _NEAR_SECONDS):
            first += islice(items, _SMALL_AHEAD)
            self._look_at_small(first, reading)
        return self._engine.wait(reading), chain(first, items)

    def take_large(self, key: str) -> KeyLook | None:
        """Return the look at a large file's key, if one was begun; once."""
        return self._large.pop(key, None)

    @property
    def is_listing(self) -> bool:
        """Whether `seen_etag` tells of every key, by a listing."""
        return self._listed is not None

    def list_where_it_pays(self, plan: Iterable[PlanItem]) -> Iterator[PlanItem]:
        """Let `seen_etag` list what is stored if there are many files; return the whole plan."""
        items = iter(plan)
        if self.is_listing:
            return items
        first = list(islice(items, _LISTING_PAYS_FROM))
        if len(first) == _LISTING_PAYS_FROM:
            self._listed = self._target.listed_etags()
        return chain(first, items)

    def seen_etag(self, key: str) -> Operation[str | None]:
        """Return a small file's stored ETag, "" where the key is free, None where nobody looked."""
        look = self._small.pop(key, None)
        if self._listed is None:
            return None if look is None else (yield look)
        if self._listing is not None:
            yield self._listing
            self._listing = None
        return self._listed.etag_of(key)

    def _look_at_small(self, first: Iterable[PlanItem], reading: Future[T]) -> None:
        keys = [
            item.key
            for item in first
            if isinstance(item, PlannedFile) and item.size_bytes <= BASE_PART_BYTES
        ]
        listed = self._target.listed_etags()
        if listed is None or not keys:
            return
        looks: Iterable[Operation[None]] = map(self._look, keys)
        if len(keys) >= _LISTING_PAYS_FROM:
            self._listed = listed
            looks = chain([self._list(listed, keys[0])], looks)
        self._engine.run_until(reading, looks)

    def _list(self, listed: StoredEtags, key: str) -> Operation[None]:
        """Read the first page of a listing; `etag_of` meets an error again, and raises it."""
        listing = self._listing = Future()
        try:
            with suppress(OrchestratorError):
                yield from listed.begin(key)
        finally:
            listing.set_result(None)

    def _look(self, key: str) -> Operation[None]:
        """Look at one key; where all are listed, this only opens a connection."""
        found = self._small[key] = Future()
        etag = None
        try:
            with suppress(OrchestratorError):
                head = yield from self._target.head_for_compare(key)
                etag = head.etag.strip('"') if head is not None else ""
        finally:
            found.set_result(etag)
