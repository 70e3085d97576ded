"""Long windows are listed in parallel, and show what listing them in one go would."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_cli.cli.app import App
from orchestrator_cli.cli.configuration.settings import Settings
from orchestrator_cli.core.base.errors import AccessError
from orchestrator_cli.core.executions.ids import first_execution_id
from orchestrator_cli.core.executions.keys import execution_prefix
from orchestrator_cli.core.executions.listings.executions import list_execution_ids
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from tests.bench.counted.counting import Answer, Call, CountingServer, run_counting_server
from tests.bench.counted.crowd import Crowd
from tests.bench.measuring.peers import BUCKET
from tests.bench.servers.certificates import make_certificates
from tests.support.stored.executions import make_id

NOW = datetime(2026, 6, 1, tzinfo=UTC)
YEAR = timedelta(days=366)


class CountedCrowd:
    """A bucket of very many executions behind HTTPS, which counts how many requests it is sent."""

    def __init__(self, executions: int) -> None:
        self.answers = Crowd.of_last_hour(executions, NOW).answer
        self.requests: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self.awaited_at_once = 0
        self.fail_from: int | None = None
        self._lock = threading.Condition()

    def answer(self, call: Call) -> Answer:
        with self._lock:
            self.requests.append(call.request.operation)
            number = len(self.requests)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            self._lock.notify_all()
            # The first page is asked for alone.
            if number > 1:
                self._lock.wait_for(lambda: self.most_at_once >= self.awaited_at_once, 10)
        try:
            time.sleep(0.01)
            if self.fail_from is not None and number >= self.fail_from:
                return Answer(403, b"<Error><Code>AccessDenied</Code></Error>")
            return self.answers(call)
        finally:
            with self._lock:
                self.at_once -= 1


@contextmanager
def serving(
    crowd: CountedCrowd, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[ArtifactStore, CountingServer]]:
    make_certificates(directory)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(directory / "ca.pem"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with run_counting_server(crowd.answer, directory) as server:
        # The store's connections stay open until it is forgotten.
        server.daemon_threads, server.block_on_close = True, False
        yield App(Settings(bucket=BUCKET, endpoint_url=server.endpoint_url)).store(), server


@pytest.fixture(scope="module")
def many() -> CountedCrowd:
    return CountedCrowd(30_000)


@pytest.fixture
def crowd(many: CountedCrowd) -> CountedCrowd:
    many.requests, many.most_at_once, many.awaited_at_once, many.fail_from = [], 0, 0, None
    return many


def test_a_long_window_is_listed_several_pages_at_once(
    crowd: CountedCrowd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd.awaited_at_once = 4
    with serving(crowd, tmp_path, monkeypatch) as (store, _):
        found = list(list_execution_ids(store, NOW - YEAR, None, NOW))
    assert len(found) == len(set(found)) == 30_000
    assert found == sorted(found)
    assert set(crowd.requests) == {"ListObjectsV2"}
    # Thirty would be needed in one go, one after the other.
    assert 30 <= len(crowd.requests) <= 50
    assert 4 <= crowd.most_at_once <= 8


def test_a_window_that_nobody_reads_to_its_end_is_not_listed_to_it(
    crowd: CountedCrowd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(crowd, tmp_path, monkeypatch) as (store, server):
        ids = list_execution_ids(store, NOW - YEAR, None, NOW)
        first = [next(ids) for _ in range(1000)]
        assert len(crowd.requests) == 1
        # One more, as who pages through asks for, begins no more than two.
        assert next(ids) > first[-1]
        assert len(crowd.requests) <= 3
        cast("Any", ids).close()
        server.forget()
    assert len(crowd.requests) <= 3


def test_a_page_that_is_refused_ends_the_listing(
    crowd: CountedCrowd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd.fail_from = 12
    found: list[str] = []
    with serving(crowd, tmp_path, monkeypatch) as (store, _), pytest.raises(AccessError):
        found.extend(list_execution_ids(store, NOW - YEAR, None, NOW))
    assert found == sorted(found)
    assert 1000 <= len(found) < 30_000


class PrefixStore:
    """Sorted prefixes, listed as S3 does with StartAfter."""

    def __init__(self, ids: list[str]) -> None:
        foreign = ("executions/README/", "executions/a/")
        self._prefixes = sorted([*map(execution_prefix, ids), *foreign])

    def list_prefixes(self, prefix: str, start_after: str = "") -> Iterator[str]:
        # A prefix is listed where any key below it sorts after the start.
        return (one for one in self._prefixes if one + "metadata.json" > start_after)


bursts = st.tuples(st.integers(0, 10_000), st.integers(1, 30), st.sampled_from([0, 1, 50, 5_000]))


@given(st.lists(bursts, max_size=6), st.integers(-100, 12_000), st.integers(0, 12_000), st.data())
def test_however_a_window_is_cut_every_id_comes_once(
    drawn: list[tuple[int, int, int]], since: int, length: int, data: st.DataObject
) -> None:
    def at(second: float) -> datetime:
        return NOW + timedelta(seconds=second)

    ids = sorted(
        {
            make_id(at(begin + span * number / count), number)
            for begin, count, span in drawn
            for number in range(count)
        }
    )
    store = cast("Any", PrefixStore(ids))
    until = data.draw(st.none() | st.just(since + length))
    after = data.draw(st.none() | st.sampled_from(ids)) if ids else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orchestrator_cli.core.executions.listings.partitioned.PAGE_KEYS", 2)
        ends = None if until is None else at(until)
        found = list(list_execution_ids(store, at(since), ends, at(9_000), after))
    first = first_execution_id(at(since))
    beyond = first_execution_id(at(until + 0.001)) if until is not None else "8"
    assert found == [one for one in ids if first <= one < beyond and (not after or one > after)]
