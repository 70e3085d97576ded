"""Escape sequences of logs, wherever the blocks of a transfer happen to end."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator_cli.core.executions.logs.ansi import strip_ansi

LONGEST = 4096

# Mostly what sequences are made of, so that many are found whole, cut, nested and broken.
introducers = [b"\x1b[", b"\x1b]", b"\x1bP", b"\x1b_", b"\x1b\\"]
single_bytes = [bytes([byte]) for byte in b"\x1b\x07[]\\01;m H(B\n\r\xff\x9b"]
bytes_of_sequences = st.lists(
    st.sampled_from([*introducers, *single_bytes, b"text"]), max_size=25
).map(b"".join)
logs = bytes_of_sequences | st.binary(max_size=40)


def strip(*blocks: bytes) -> bytes:
    return b"".join(strip_ansi(blocks))


def cut(data: bytes, *borders: int) -> list[bytes]:
    ends = [0, *sorted(min(border, len(data)) for border in borders), len(data)]
    return [data[start:end] for start, end in pairwise(ends)]


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
        # A sequence ends on its line: one that was not closed must not take the next line away.
        (b"\x1b]0;title\nx\x07y", b"0;title\nx\x07y"),
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
    stripped = strip_ansi([start, *[b" " * 1000] * 20, b"end"])
    arrived = [len(next(stripped)) for _ in range(15)]
    assert sum(arrived) > 0


def test_a_border_inside_a_character_is_no_border() -> None:
    log = "é😀".encode() * 3
    assert strip(*cut(log, *range(len(log)))) == log


def test_blocks_may_be_views_of_memory() -> None:
    blocks = [memoryview(b"\x1b[3"), memoryview(b"1mred")]
    assert b"".join(strip_ansi(blocks)) == b"red"
