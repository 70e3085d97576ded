"""Escape sequences and lines of logs, wherever the blocks of a transfer happen to end."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator_cli.core.executions import ansi as logtext
from orchestrator_cli.core.executions.ansi import LineReader, strip_escapes

LONGEST = 4096

# Mostly what sequences are made of, so that many are found whole, cut, nested and broken.
introducers = [b"\x1b[", b"\x1b]", b"\x1bP", b"\x1b_", b"\x1b\\"]
single_bytes = [bytes([byte]) for byte in b"\x1b\x07[]\\01;m H(B\n\r\xff\x9b"]
bytes_of_sequences = st.lists(
    st.sampled_from([*introducers, *single_bytes, b"text"]), max_size=25
).map(b"".join)
logs = bytes_of_sequences | st.binary(max_size=40)


def strip(*blocks: bytes) -> bytes:
    return b"".join(strip_escapes(blocks))


def cut(data: bytes, *borders: int) -> list[bytes]:
    ends = [0, *sorted(min(border, len(data)) for border in borders), len(data)]
    return [data[start:end] for start, end in pairwise(ends)]


# --- escape sequences ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("log", "plain"),
    [
        (b"", b""),
        (b"plain \xe9\xff\x00\r\n", b"plain \xe9\xff\x00\r\n"),
        (b"\x1b[31mred\x1b[0m", b"red"),
        (b"\x1b[1;38;2;255;0;0mred\x1b[m", b"red"),
        (b"\x1b[?25l\x1b[2J\x1b[10;20Hx", b"x"),
        (b"\x1b[3 qx\x1b[!p", b"x"),
        (b"\x1b]0;title\x07x", b"x"),
        (b"\x1b]0;title\x1b\\x", b"x"),
        (b"\x1b]8;;https://example.com\x1b\\link\x1b]8;;\x1b\\", b"link"),
        (b"\x1bP1$r0m\x1b\\x\x1b_app\x1b\\\x1b^pm\x1b\\\x1bXsos\x1b\\", b"x"),
        (b"\x1b(B\x1b)0\x1b=\x1b>\x1bc\x1b7x\x1b8\x1bM", b"x"),
        (b"10%\r20%\r100%\n", b"10%\r20%\r100%\n"),
        # C1 controls are parts of letters in UTF-8.
        ("\u065b".encode() + b"\x9b31m", "\u065b".encode() + b"\x9b31m"),
        # What ends a string that was not closed is a sequence of its own.
        (b"\x1b]0;title\x1b[31mred", b"0;titlered"),
        # Not finished, or not a sequence: the ESC goes, so that nothing can come alive again.
        (b"x\x1b", b"x"),
        (b"x\x1b[31", b"x31"),
        (b"x\x1b]0;title", b"x0;title"),
        (b"\x1b\n", b"\n"),
        (b"\x1b[31\nm", b"31\nm"),
        (b"\x1b\x1b[31m[31mx", b"[31mx"),
        (b"\x1b" * 5 + b"[31mx", b"x"),
    ],
)
def test_sequences_are_removed_and_everything_else_stays(log: bytes, plain: bytes) -> None:
    assert strip(log) == plain
    assert strip(*cut(log, *range(len(log)))) == plain


@given(logs, st.lists(st.integers(0, 80), max_size=6))
@example(b"\x1b]0;t\x1b\\x", [5, 6])
@example(b"\x1b[31mx", [1, 2, 3, 4])
@example(b"\x1b]0;t\x1b\x1b\\x", [5, 6, 7])
def test_the_borders_of_the_blocks_do_not_matter(log: bytes, borders: list[int]) -> None:
    assert strip(*cut(log, *borders)) == strip(log)


@given(logs, st.lists(st.integers(0, 80), max_size=6))
def test_nothing_that_is_left_can_be_a_sequence(log: bytes, borders: list[int]) -> None:
    plain = strip(*cut(log, *borders))
    assert b"\x1b" not in plain
    assert strip(plain) == plain


@given(logs)
def test_only_sequences_are_removed(log: bytes) -> None:
    # What is left is what was there, in order.
    left = iter(log)
    assert all(byte in left for byte in strip(log))
    assert strip(log.replace(b"\x1b", b"")) == log.replace(b"\x1b", b"")


@pytest.mark.parametrize(
    "introducer", [b"\x1b]0;", b"\x1bP", b"\x1b[", b"\x1b[ ", b"\x1b "], ids=repr
)
@pytest.mark.parametrize("excess", [-8, -1, 0, 1, 8])
def test_sequences_about_as_long_as_any_are_the_same_at_every_border(
    introducer: bytes, excess: int
) -> None:
    filler, end = {b"]": (b"x", b"\x1b\\"), b"P": (b"x", b"\x07")}.get(
        introducer[1:2], (b" " if introducer.endswith(b" ") else b"1", b"m")
    )
    log = introducer + filler * (LONGEST + excess) + end + b"after"
    whole = strip(log)
    assert whole.endswith(b"after")
    for border in (1, 2, 3, LONGEST, *range(len(log) - 10, len(log))):
        assert strip(*cut(log, border)) == whole


def test_the_longest_sequence_of_all_is_recognised_at_every_border() -> None:
    log = b"\x1b[" + b"1" * LONGEST + b" " * LONGEST + b"mafter"
    for border in (0, 1, 2, LONGEST, *range(len(log) - 8, len(log))):
        assert strip(*cut(log, border)) == b"after"


@pytest.mark.parametrize("start", [b"\x1b]0;", b"\x1b[", b"\x1bP", b"\x1b"])
def test_an_endless_sequence_does_not_hold_the_log_back(start: bytes) -> None:
    stripped = strip_escapes([start, *[b" " * 1000] * 20, b"end"])
    arrived = [len(next(stripped)) for _ in range(15)]
    assert sum(arrived) > 0


def test_a_border_inside_a_character_is_no_border() -> None:
    log = "é😀".encode() * 3
    assert strip(*cut(log, *range(len(log)))) == log


def test_blocks_may_be_views_of_memory() -> None:
    blocks = [memoryview(b"\x1b[3"), memoryview(b"1mred")]
    assert b"".join(strip_escapes(blocks)) == b"red"


# --- lines -----------------------------------------------------------------------------------

lines_of_text = st.lists(
    st.sampled_from([b"\n", b"\r\n", b"\r", b"a", b"ERROR", b"\x85", b"\xff", b"\x0b\x0c"]),
    max_size=30,
).map(b"".join)


@given(lines_of_text, st.lists(st.integers(0, 60), max_size=6))
def test_lines_join_to_the_log_and_end_only_at_newlines(log: bytes, borders: list[int]) -> None:
    lines = list(LineReader(cut(log, *borders)))
    assert b"".join(lines) == log
    assert all(line.endswith(b"\n") for line in lines[:-1])
    assert all(line.count(b"\n") <= 1 for line in lines)
    assert b"" not in lines


def test_a_progress_bar_is_one_line() -> None:
    bar = b"".join(b"\r%d%%" % percent for percent in range(101))
    assert list(LineReader([b"start\n" + bar, b"\nend"])) == [b"start\n", bar + b"\n", b"end"]


@given(st.lists(st.integers(0, 25), max_size=6), st.integers(0, 3))
def test_a_very_long_line_comes_in_pieces_of_bounded_size(borders: list[int], more: int) -> None:
    log = b"x" * 20 + b"\n" + b"y" * more
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logtext, "MAX_LINE_BYTES", 4)
        pieces = list(LineReader(cut(log, *borders)))
    largest = max(map(len, cut(log, *borders)))
    assert b"".join(pieces) == log
    assert all(len(piece) <= 4 + largest for piece in pieces)


@pytest.mark.parametrize(
    ("pattern", "last", "matching"),
    [
        (b"ERROR", None, [b"ERROR 1\n", b"an ERROR 2\r\n", b"ERROR 3"]),
        (b"ERROR", 2, [b"an ERROR 2\r\n", b"ERROR 3"]),
        (b"ERROR", 9, [b"ERROR 1\n", b"an ERROR 2\r\n", b"ERROR 3"]),
        (b"ERROR", 0, []),
        (b"^ERROR", None, [b"ERROR 1\n", b"ERROR 3"]),
        (b"1$|3$", None, [b"ERROR 1\n", b"ERROR 3"]),
        (rb"\xff", None, [b"\xff not text\n"]),
        (b"nothing", None, []),
        (b"^$", None, [b"\n"]),
    ],
)
def test_lines_that_match(pattern: bytes, last: int | None, matching: list[bytes]) -> None:
    log = b"ERROR 1\nfine\n\nan ERROR 2\r\n\xff not text\nERROR 3"
    for blocks in ([log], cut(log, *range(len(log)))):
        assert list(LineReader(blocks).matching(re.compile(pattern), last)) == matching


def test_matching_reads_no_further_than_is_taken() -> None:
    taken = []

    def blocks() -> list[bytes]:
        taken.append(1)
        return [b"x\n"]

    found = LineReader(block for _ in range(100) for block in blocks()).matching(re.compile(b"x"))
    assert [next(found) for _ in range(3)] == [b"x\n"] * 3
    assert len(taken) == 3
