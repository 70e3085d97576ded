"""A listing is read page by page, and every key is told as a whole listing would tell it."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_cli.core.s3.error_codes import NotS3Error
from orchestrator_cli.core.s3.operations.listing import ListPage
from orchestrator_cli.core.s3.operations.request import Operation
from orchestrator_cli.core.s3.types import ObjectSummary
from orchestrator_cli.core.transfer.upload.stored_etags import StoredEtags

NAMES = st.text("abc/", min_size=1, max_size=8)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Listing:
    """Pages of two keys, as S3 lists them."""

    def __init__(self, keys: set[str], page_size: int = 2) -> None:
        self.keys = sorted(keys)
        self.page_size = page_size
        self.pages = 0

    def list_page(self, prefix: str, start_after: str, token: str | None) -> Operation[ListPage]:
        yield from ()
        self.pages += 1
        keys = [key for key in self.keys if key.startswith(prefix)]
        begin = bisect_right(keys, token if token is not None else start_after)
        found = keys[begin : begin + self.page_size]
        objects = [ObjectSummary(key, 1, f"etag of {key}", NOW) for key in found]
        is_last = begin + self.page_size >= len(keys)
        return ListPage(objects, [], None if is_last else found[-1])


def run(operation: Operation[None]) -> None:
    assert list(operation) == []


@given(st.sets(NAMES), st.lists(NAMES))
def test_every_key_is_told_right_whatever_the_order(stored: set[str], asked: list[str]) -> None:
    etags = StoredEtags(Listing(stored).list_page, run)
    for key in asked:
        assert etags.etag_of(key) == (f"etag of {key}" if key in stored else "")


def test_keys_in_order_cost_a_page_each_thousand() -> None:
    keys = {f"executions/ID/artifacts/custom/{number:05}" for number in range(10_000)}
    listing = Listing(keys, 1000)
    etags = StoredEtags(listing.list_page, run)
    assert all(etags.etag_of(key) for key in sorted(keys))
    assert listing.pages == 10


def test_runs_that_take_turns_have_a_cursor_each() -> None:
    places = (
        "executions/ID/artifacts/custom/",
        "executions/ID/artifacts/screenshots/",
        "executions/ID/logs/",
    )
    keys = {f"{place}{number:04}" for place in places for number in range(1000)}
    listing = Listing(keys, 100)
    etags = StoredEtags(listing.list_page, run)
    for number in range(1000):
        assert all(etags.etag_of(f"{place}{number:04}") for place in places)
    # Each run reads its own pages, and no other's.
    assert listing.pages == 30


def test_where_nothing_is_stored_one_page_tells_all() -> None:
    listing = Listing(set())
    etags = StoredEtags(listing.list_page, run)
    assert not any(
        etags.etag_of(f"executions/ID/artifacts/custom/{number:04}") for number in range(100)
    )
    assert listing.pages == 1


@pytest.mark.parametrize("keys", [("executions/ID/logs/a",), ()])
def test_a_listing_without_an_end_is_refused(keys: tuple[str, ...]) -> None:
    tokens = itertools.cycle("12")

    def list_page(prefix: str, start_after: str, token: str | None) -> Operation[ListPage]:
        yield from ()
        objects = [ObjectSummary(key, 1, "etag", NOW) for key in keys]
        return ListPage(objects, [], next(tokens))

    with pytest.raises(NotS3Error, match="listing of executions/ID/logs/: "):
        StoredEtags(list_page, run).etag_of("executions/ID/logs/b")
