"""UsageSource sizes: requests follow the window, memory follows nothing, the order is time."""

from __future__ import annotations

import bisect
import gc
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from orchestrator_cli.core.executions.keys import key_execution_id
from orchestrator_cli.core.retention.billing import Usage
from orchestrator_cli.core.retention.forecast import LifecycleForecaster, Retention
from orchestrator_cli.core.retention.usage import list_usage, merge_same_execution, read_usage
from orchestrator_cli.core.s3.bucket.reader import ObjectReader
from orchestrator_cli.core.s3.error_codes import NotS3Error
from orchestrator_cli.core.s3.types import ObjectSummary
from tests.support.servers.canned import answer, canned
from tests.support.stored.executions import make_id

START = datetime(2026, 1, 1, tzinfo=UTC)
TELLER = LifecycleForecaster(Retention(), START)
NAMES = ("artifacts/results.json", "logs/stdout.log", "metadata.json")


class FakeLister:
    """A bucket of executions with the same files each, listed a thousand keys a request."""

    def __init__(self, ids: list[str], names: tuple[str, ...] = NAMES) -> None:
        self.keys = [f"executions/{one}/{name}" for one in sorted(ids) for name in sorted(names)]
        self.requests = 0
        self.threads: set[int] = set()
        self._lock = threading.Lock()

    @property
    def pages(self) -> int:
        return -(-len(self.keys) // 1000)

    def list_objects(self, prefix: str, start_after: str = "") -> Iterator[ObjectSummary]:
        start = bisect.bisect_left(self.keys, prefix)
        place = max(start, bisect.bisect_right(self.keys, start_after)) if start_after else start
        while True:
            with self._lock:
                self.requests += 1
                self.threads.add(threading.get_ident())
            page = self.keys[place : place + 1000]
            for key in page:
                if not key.startswith(prefix):
                    return
                yield ObjectSummary(key, len(key), "e", START)
            place += 1000
            if place >= len(self.keys):
                return


def read(
    lister: FakeLister, since: datetime | None, until: datetime, ahead: int = 8
) -> list[tuple[str, Usage]]:
    return list(list_usage(cast("ObjectReader", lister), TELLER, since, until, ahead))


def spread(count: int, start: datetime, length: timedelta) -> list[str]:
    return [make_id(start + length * number / count, number) for number in range(count)]


# --- scale -----------------------------------------------------------------------------------


def test_a_hundred_thousand_executions_stream_in_flat_memory() -> None:
    """Evenly over a month, but for a night in which a third of them ran."""
    ids = spread(66_000, START, timedelta(days=30))
    ids += spread(34_000, START + timedelta(days=20), timedelta(hours=6))
    lister = FakeLister(ids)
    count, most, total = 0, 0, Usage()
    last = ""
    for execution_id, usage in list_usage(
        cast("ObjectReader", lister), TELLER, START, START + timedelta(days=31), 4
    ):
        assert execution_id > last
        last = execution_id
        total.add(usage)
        count += 1
        if count % 10_000 == 0:
            most = max(most, sum(isinstance(one, Usage) for one in gc.get_objects()))
    assert count == total.executions == 100_000
    assert total.objects == 300_000
    assert total.size_bytes == sum(map(len, lister.keys))
    # Four thousand objects for each of four threads, and what a burst holds back.
    assert 0 < most < 16_000
    assert lister.pages <= lister.requests < lister.pages * 1.7
    # The beginning is listed by who asks.
    assert len(lister.threads) == 1 + 4


@pytest.mark.parametrize("ahead", [1, 3, 16])
def test_every_key_counts_once_however_it_is_cut(ahead: int) -> None:
    ids = spread(3_000, START, timedelta(days=3)) + spread(9_000, START, timedelta(seconds=9))
    # Some have the same millisecond.
    ids += [make_id(START + timedelta(days=1), number) for number in range(500)]
    ids = sorted(set(ids))
    live = ids[::2]
    lister = FakeLister(ids)
    lister.keys += [f"live/{one}/state.json" for one in live]
    found = read(lister, None, START + timedelta(days=4), ahead)
    assert [one for one, _ in found] == ids
    assert [one for one, usage in found if usage.objects == 4] == live
    assert {usage.objects for _, usage in found} == {3, 4}
    assert {usage.executions for _, usage in found} == {1}
    # The worst case: a burst first, and hardly anything after it.
    assert lister.requests <= 3 * lister.pages


def test_one_execution_of_many_files_is_listed_page_by_page() -> None:
    execution_id = make_id(START)
    names = tuple(f"artifacts/custom/{number:05}" for number in range(25_000))
    lister = FakeLister([execution_id], names)
    ((found, usage),) = read(lister, START - timedelta(days=9), START + timedelta(days=300))
    assert found == execution_id
    assert (usage.objects, usage.executions) == (25_000, 1)
    # One more to see that nothing follows.
    assert lister.requests in (lister.pages, lister.pages + 1)


def test_a_listing_that_goes_round_is_refused() -> None:
    pages = [
        answer(
            "<ListBucketResult><IsTruncated>true</IsTruncated>"
            f"<NextContinuationToken>{token}</NextContinuationToken></ListBucketResult>"
        )
        for token in "12" * 1000
    ]
    client, transport = canned(pages)
    with pytest.raises(NotS3Error, match="what answered is not S3"):
        client.run(read_usage(TELLER, make_id(START)))
    assert len(transport.requests) < 1000


# --- the window ------------------------------------------------------------------------------


def test_requests_follow_the_window_not_the_history() -> None:
    ids = spread(40_000, START, timedelta(days=400))
    lister = FakeLister(ids, ("metadata.json",))
    since, until = START + timedelta(days=200), START + timedelta(days=201)
    assert len(read(lister, since, until)) == 101
    # One below executions/, and one to see that no log of the window is live.
    assert lister.requests == 2


def test_the_window_includes_its_ends() -> None:
    tick = timedelta(milliseconds=1)
    ids = [make_id(START + tick * ticks, number) for ticks in range(4) for number in (0, 2**80 - 1)]
    found = read(FakeLister(ids), START + tick, START + 2 * tick)
    assert [one for one, _ in found] == ids[2:6]


def test_an_empty_window_costs_two_requests() -> None:
    lister = FakeLister(spread(5_000, START, timedelta(days=1)))
    assert read(lister, START + timedelta(days=2), START + timedelta(days=90)) == []
    assert lister.requests == 2


def test_a_sparse_end_costs_few_empty_requests() -> None:
    lister = FakeLister(spread(2_000, START, timedelta(days=1)))
    assert len(read(lister, None, START + timedelta(days=3000))) == 2_000
    assert lister.requests <= 3 * lister.pages


def test_foreign_keys_are_left_out() -> None:
    lister = FakeLister([make_id(START), "0foreign", "foreign"])
    ((found, usage),) = read(lister, None, START + timedelta(days=1))
    assert (found, usage.objects) == (make_id(START), 3)


def test_a_reader_that_stops_early_stops_the_listing() -> None:
    lister = FakeLister(spread(60_000, START, timedelta(days=30)))
    stream = list_usage(cast("ObjectReader", lister), TELLER, None, START + timedelta(days=31), 4)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert lister.requests < lister.pages / 4


def test_a_failing_listing_fails_the_command() -> None:
    class Failing(FakeLister):
        def list_objects(self, prefix: str, start_after: str = "") -> Iterator[ObjectSummary]:
            if self.requests > 9:
                raise PermissionError("denied")
            return super().list_objects(prefix, start_after)

    with pytest.raises(PermissionError, match="denied"):
        read(Failing(spread(20_000, START, timedelta(days=30))), None, START + timedelta(days=31))


# --- named executions, parts -------------------------------------------------------------------


def test_parts_of_an_execution_become_one() -> None:
    first = Usage(1, unfinished_uploads=1, unfinished_bytes=5)
    second = Usage(1, unfinished_uploads=2, unfinished_bytes=7)
    merged = list(merge_same_execution([("a", first), ("a", second), ("b", Usage(1))]))
    assert [(name, usage.executions) for name, usage in merged] == [("a", 1), ("b", 1)]
    assert merged[0][1].unfinished_bytes == 12


def test_keys_tell_their_execution() -> None:
    one = make_id(START)
    assert key_execution_id(f"executions/{one}/metadata.json") == one
    assert key_execution_id(f"executions/{one}/a//b") == one
    for foreign in (f"executions/{one}", f"live/{one}/x", f"executions/{one.lower()}/x", "x"):
        assert key_execution_id(foreign) is None
