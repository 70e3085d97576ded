"""The index of a log, which anybody who may write to the bucket may have stored."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from typing import Any

import pytest

from orchestrator_cli.core.executions.logs.index import parse_index
from orchestrator_cli.core.executions.logs.indexer import LogIndexer, index_log

LOG = b"one\nERROR two\n" * 150_000
HONEST = index_log([LOG], "etag")


def read(record: Any) -> object:
    return parse_index(gzip.compress(json.dumps(record).encode()), len(LOG), "etag")


def test_an_index_makes_the_round_trip_and_is_of_one_log_only() -> None:
    stored = HONEST.to_bytes()
    assert parse_index(stored, len(LOG), "etag") == HONEST
    assert len(HONEST.points) == 3
    assert parse_index(stored, len(LOG), "other") is None
    assert parse_index(stored, len(LOG) - 1, "etag") is None
    assert parse_index(stored[:-1], len(LOG), "etag") is None


@pytest.mark.parametrize(
    "points",
    [
        [{"offset": float("inf"), "line": 0}],
        [{"offset": -1, "line": 0}],
        [{"offset": len(LOG) + 1, "line": 0}],
        [{"offset": "1", "line": 0}],
        [{"offset": 9, "line": 0}, {"offset": 0, "line": 0}],
        [[0, 0]],
        {"offset": 0},
        None,
    ],
)
def test_places_that_no_log_has_are_no_index(points: object) -> None:
    record = json.loads(gzip.decompress(HONEST.to_bytes()))
    assert read(record) == HONEST
    assert read(record | {"points": points}) is None
    assert read(record | {"errors": points}) is None


def test_an_index_that_is_larger_than_any_is_not_unpacked() -> None:
    record = json.loads(gzip.decompress(HONEST.to_bytes()))
    point = json.dumps({"offset": 0, "line": 0})
    bomb = json.dumps(record | {"points": "@"}).replace('"@"', f"[{','.join([point] * 200_000)}]")
    content = gzip.compress(bomb.encode())
    assert len(content) < 100_000
    tracemalloc.start()
    assert parse_index(content, len(LOG), "etag") is None
    assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    tracemalloc.stop()


def test_errors_are_looked_for_as_far_as_is_wanted() -> None:
    log = b"fine\n" * 8_000 + b"Error \xff\n" + b"fine\n" * 60_000 + b"Error: late"
    for most, errors in ((100_000, [8_000]), (None, [8_000, 68_001])):
        indexer = LogIndexer(most)
        for at in range(0, len(log), 7_000):
            indexer.add(log[at : at + 7_000])
        index = indexer.finish("etag")
        assert parse_index(index.to_bytes(), len(log), "etag") == index
        assert [line for _, line in index.errors] == errors
        assert [log[:offset].count(b"\n") for offset, _ in index.errors] == errors
        assert (index.size_bytes, index.line_count) == (len(log), 68_001)
        # Who goes on behind begins with a line.
        assert 100_000 <= index.searched_bytes <= (len(log) if most is None else 110_000)
        assert log[index.searched_bytes - 1 :][:1] == (b"e" if most is None else b"\n")
        assert indexer.tail == log[-65_536:]
