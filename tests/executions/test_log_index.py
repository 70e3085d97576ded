"""The index of a log, which anybody who may write to the bucket may have stored."""

from __future__ import annotations

import gzip
import io
import json
import random
import sys
import tracemalloc
from collections.abc import Iterator
from itertools import accumulate, count, islice
from typing import Any

import pytest

from orchestrator_cli.core.executions.logs import error_lines
from orchestrator_cli.core.executions.logs.index import parse_index
from orchestrator_cli.core.executions.logs.indexer import LogIndexer, index_log
from orchestrator_cli.core.transfer.upload.parts.arrivals import Arrivals

MIB = 1024 * 1024
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
    for most, errors in ((100_000, [8_000]), (sys.maxsize, [8_000, 68_001])):
        indexer = LogIndexer(most)
        part = indexer.begin(0)
        for at in range(0, len(log), 7_000):
            part.add(log[at : at + 7_000])
        index = indexer.finish("etag")
        assert parse_index(index.to_bytes(), len(log), "etag") == index
        assert [line for _, line in index.errors] == errors
        assert [log[:offset].count(b"\n") for offset, _ in index.errors] == errors
        assert (index.size_bytes, index.line_count) == (len(log), 68_001)
        # Who goes on behind begins with a line.
        assert 100_000 <= index.searched_bytes <= (len(log) if most > len(log) else 110_000)
        assert log[index.searched_bytes - 1 :][:1] == (b"e" if most > len(log) else b"\n")
        assert indexer.tail == log[-65_536:]


def _lines(chance: random.Random) -> Iterator[bytes]:
    """Yield lines of all lengths, some of which tell of an error, and the last without an end."""
    while True:
        size = chance.choice((0, 3, 40, 200, 200, 3_000, 90_000, 2_500_000))
        error = chance.choice((b"", b"", b" ERROR "))
        yield b"x" * chance.randrange(size + 1) + error + b"y" * size + b"\n"


@pytest.mark.parametrize("seed", range(4))
def test_parts_in_any_order_make_the_index_of_the_whole(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A longer line is searched in pieces, which begin where its parts do.
    monkeypatch.setattr(error_lines, "_MAX_LINE_BYTES", 16 * 1024 * 1024)
    chance = random.Random(seed)
    log = b"".join(islice(_lines(chance), 40)) + b"no end ERROR"
    cuts = [chance.randrange(len(log)) for _ in range(9)] + [log.index(b"ERROR") + 2, len(log) - 9]
    ends = [*sorted(set(cuts)), len(log)]
    parts = list(zip([0, *ends], ends, strict=False))
    chance.shuffle(parts)
    indexer, again = LogIndexer(), parts[0]
    for begin, end in [*parts, again]:
        indexer.begin(begin).add(memoryview(log)[begin:end])
    index = indexer.finish("etag")
    assert index == index_log([log], "etag") == indexer.finish("etag")
    assert index.points == [
        (offset, log.count(b"\n", 0, offset)) for offset in range(0, len(log), 1024**2)
    ]
    assert index.line_count == log.count(b"\n")
    begins = [0, *accumulate(map(len, log.splitlines(keepends=True)))]
    assert index.errors == [
        (begins[line], line) for line, text in enumerate(log.split(b"\n")) if b"ERROR" in text
    ]
    assert index.searched_bytes == len(log)
    assert indexer.tail == log[-65_536:]
    # Of what is behind a part that is missing nobody knows.
    lacking = LogIndexer()
    for begin, end in set(parts) - {again}:
        lacking.begin(begin).add(log[begin:end])
    assert lacking.finish("etag").size_bytes == again[0]


def test_more_errors_than_an_index_holds_are_looked_for_where_it_ends() -> None:
    log = b"Error: one of many\n" * 700
    indexer = LogIndexer()
    for number in (2, 0, 1):
        indexer.begin(number * len(log)).add(log)
    index = indexer.finish("etag")
    assert [line for _, line in index.errors] == list(range(1000))
    assert index.searched_bytes == 1000 * len(b"Error: one of many\n")
    assert parse_index(index.to_bytes(), 3 * len(log), "etag") == index


class _Dripping(io.RawIOBase):
    """Has half a mebibyte at each read, as a pipe has what was written to it so far."""

    def __init__(self, reads: int) -> None:
        self._reads = reads

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        self._reads -= 1
        return MIB // 2 if self._reads >= 0 else 0


def test_each_mebibyte_is_noted_when_it_comes_and_not_when_it_is_read_again() -> None:
    seconds = count()
    arrivals = Arrivals(lambda: next(seconds))
    buffer = memoryview(bytearray(8 * MIB))
    stream = arrivals.watch(io.BufferedReader(_Dripping(5)))
    read = [stream.readinto(buffer) for _ in range(6)]
    # Nobody waits until a buffer is full.
    assert read == [MIB // 2] * 5 + [0]
    assert arrivals.times_ms == [0, 1, 2]
    again = arrivals.watch(io.BufferedReader(_Dripping(7)))
    while again.readinto(buffer):
        pass
    assert arrivals.times_ms == [0, 1, 2, 3]


FAILURES = rb"""##[error]Process completed with exit code 1.
::error file=door.py,line=3::shut
##vso[task.logissue type=error]door
##vso[task.complete result=Failed;]
not ok 3 - door
    not ok 1 - shut
<failure message="91 == 100">
<error/>
E       assert 91 == 100
--- FAIL: TestDoor (0.00s)
    --- FAIL: TestDoor/shut (0.00s)
FAIL	example.com/door	0.1s
FAIL: test_door (tests.Door)
door.cc:3: Failure
[  FAILED  ] Door.IsShut
error[E0382]: borrow of moved value
[error] door
level=error msg=door
{"level":"error","msg":"door"}
thread 'main' panicked at src/door.rs:3
"""
SUCCESSES = b"""ok 3 - not ok is how a failure begins
is not ok
<testsuite errors="0" failures="0">
FAIL_FAST=1
XFAIL
0 errors
E  F
std::error_code
level=errors
##vso[task.complete result=Succeeded;]
##[group]errors
"""


def test_lines_by_which_test_frameworks_and_ci_systems_tell_of_an_error_are_found() -> None:
    index = index_log([SUCCESSES, b"\n", FAILURES], "etag")
    silent = SUCCESSES.count(b"\n") + 1
    assert [line - silent for _, line in index.errors] == list(range(FAILURES.count(b"\n")))
