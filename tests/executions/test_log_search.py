"""Searching a log block by block: the same lines wherever the blocks of a transfer end."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_cli.core.executions.logs import search as log_search
from orchestrator_cli.core.executions.logs.line_pattern import LinePattern
from orchestrator_cli.core.executions.logs.search import (
    Context,
    LogLine,
    count_matches,
    search_log,
    whole_lines,
)

MIB = 1024 * 1024


def cut(data: bytes, *borders: int) -> list[bytes]:
    ends = [0, *sorted(min(border, len(data)) for border in borders), len(data)]
    return [data[start:end] for start, end in pairwise(ends)]


def search(
    blocks: list[bytes], pattern: str, before: int = 0, after: int = 0, numbered: bool = True
) -> list[LogLine]:
    found = search_log(
        blocks, LinePattern([pattern]), Context(before, after), 1 if numbered else None
    )
    return [line for lines in found for line in lines]


# --- blocks of whole lines -------------------------------------------------------------------

texts = st.lists(st.sampled_from([b"\n", b"\r\n", b"a", b"ERROR", b"\xff"]), max_size=30).map(
    b"".join
)
borders = st.lists(st.integers(0, 60), max_size=6)


@given(texts, borders)
def test_blocks_end_where_lines_do(log: bytes, borders: list[int]) -> None:
    blocks = list(whole_lines(cut(log, *borders)))
    assert b"".join(blocks) == log
    assert all(block.endswith(b"\n") for block in blocks[:-1])
    assert b"" not in blocks


@given(borders, st.integers(0, 3))
def test_a_very_long_line_comes_in_pieces_of_bounded_size(borders: list[int], more: int) -> None:
    log = b"x" * 20 + b"\n" + b"y" * more
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_search, "MAX_LINE_BYTES", 8)
        patch.setattr(log_search, "BLOCK_BYTES", 4)
        blocks = list(whole_lines(cut(log, *borders)))
    assert b"".join(blocks) == log
    assert max(map(len, blocks)) <= 8 + 4


def test_a_block_is_free_again_when_the_next_is_asked_for() -> None:
    def blocks() -> Iterator[memoryview]:
        buffer = bytearray(4)
        for text in (b"1\n22", b"2\n33", b"3\n44"):
            buffer[:] = text
            yield memoryview(buffer)

    assert list(whole_lines(blocks())) == [b"1\n", b"222\n", b"333\n", b"44"]


# --- lines, numbers, context -----------------------------------------------------------------


def test_a_line_says_where_it_is() -> None:
    log = b"one\nERROR 1\nthree\nERROR 2"
    for blocks in ([log], cut(log, *range(len(log)))):
        assert search(blocks, "ERROR") == [
            LogLine(4, 2, b"ERROR 1\n"),
            LogLine(18, 4, b"ERROR 2"),
        ]
        assert search(blocks, "ERROR", numbered=False) == [
            LogLine(4, 0, b"ERROR 1\n"),
            LogLine(18, 0, b"ERROR 2"),
        ]
        assert count_matches(blocks, LinePattern(["ERROR"])) == 2


def expected_lines(log: bytes, before: int, after: int) -> list[LogLine]:
    """Find the same by looking at each line on its own."""
    lines = log.splitlines(keepends=True)
    matches = [number for number, line in enumerate(lines) if b"x" in line]
    found: list[LogLine] = []
    last = -1
    for number, line in enumerate(lines):
        if not any(-before <= number - match <= after for match in matches):
            continue
        offset = sum(map(len, lines[:number]))
        gap = bool(found) and number > last + 1 and (before or after) > 0
        found.append(LogLine(offset, number + 1, line, number in matches, gap))
        last = number
    return found


@given(
    st.lists(st.sampled_from([b"\n", b"a\n", b"x\n", b"bb\n"]), max_size=25).map(b"".join),
    st.sampled_from([b"", b"x", b"c"]),
    st.integers(0, 3),
    st.integers(0, 3),
    borders,
)
def test_context_is_the_lines_around(
    log: bytes, end: bytes, before: int, after: int, borders: list[int]
) -> None:
    found = search(cut(log + end, *borders), "x", before, after)
    assert found == expected_lines(log + end, before, after)


def test_a_search_reads_no_further_than_is_taken() -> None:
    taken: list[int] = []

    def blocks() -> Iterator[bytes]:
        for number in range(100):
            taken.append(number)
            yield b"x\n"

    found = search_log(blocks(), LinePattern(["x"]))
    assert [next(found) for _ in range(3)] == [[LogLine(at, 0, b"x\n")] for at in (0, 2, 4)]
    assert len(taken) == 3


@pytest.mark.parametrize("context", [Context(), Context(3, 3)])
@pytest.mark.parametrize("line_bytes", [1000, 20 * MIB, 200 * MIB])
def test_memory_is_bounded_whatever_the_lines_are(line_bytes: int, context: Context) -> None:
    block = "é".encode() * (MIB // 2 - 1)

    def blocks() -> Iterator[bytes]:
        written = 0
        for _ in range(48):
            yield block
            written += len(block)
            if written >= line_bytes:
                yield b"\xff panic\n"
                written = 0

    tracemalloc.start()
    try:
        found = search_log(blocks(), LinePattern(["p.nic"]), context)
        sizes = [len(line.text) for lines in found for line in lines if line.is_match]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(sizes) == {1000: 48, 20 * MIB: 2, 200 * MIB: 0}[line_bytes]
    assert peak < 80 * MIB
