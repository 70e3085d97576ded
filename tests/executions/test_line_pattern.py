"""Patterns see the text of lines, whatever bytes the lines are made of."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.executions.logs.line_pattern import LinePattern, split_alternatives


def found(
    block: bytes, *patterns: str, ignore_case: bool = False, literal: bool = False
) -> list[bytes]:
    spans = LinePattern(patterns, ignore_case, literal).spans(block)
    return [block[start:end] for start, end in spans]


TEXT = "ERROR 1\nfine\n\nan ERROR 2\r\ncafé\nÄÖÜ\nERROR 3".encode()


@pytest.mark.parametrize(
    ("pattern", "matching"),
    [
        ("ERROR", ["ERROR 1\n", "an ERROR 2\r\n", "ERROR 3"]),
        ("^ERROR", ["ERROR 1\n", "ERROR 3"]),
        (r"\AERROR", ["ERROR 1\n", "ERROR 3"]),
        ("(?-m)^ERROR", ["ERROR 1\n", "ERROR 3"]),
        ("1$|3$", ["ERROR 1\n", "ERROR 3"]),
        (r"ERROR \d\z", ["ERROR 1\n", "an ERROR 2\r\n", "ERROR 3"]),
        ("R 2$", ["an ERROR 2\r\n"]),
        ("^$", ["\n"]),
        ("^.{4}$", ["fine\n", "café\n"]),
        ("caf.$", ["café\n"]),
        ("[äöüé]", ["café\n"]),
        ("(?i)äöü", ["ÄÖÜ\n"]),
        (r"\p{Lu}{3}$", ["ÄÖÜ\n"]),
        ("fine|café", ["fine\n", "café\n"]),
        ("fine|fin", ["fine\n"]),
        ("an|ERROR|2", ["ERROR 1\n", "an ERROR 2\r\n", "ERROR 3"]),
        ("[^x]*2", ["an ERROR 2\r\n"]),
        (r"(?s)fine.*ERROR", []),
        (r"fine\s+an", []),
        (r"fine\Can", []),
        ("nothing\nfine", ["fine\n"]),
        (r"\Qan ER", ["an ERROR 2\r\n"]),
        (r"\Q1", ["ERROR 1\n"]),
        ("nothing", []),
    ],
)
def test_a_pattern_finds_its_lines(pattern: str, matching: list[str]) -> None:
    assert found(TEXT, pattern) == [line.encode() for line in matching]


def test_everything_matches_the_empty_pattern() -> None:
    assert found(TEXT, "") == TEXT.splitlines(keepends=True)
    assert found(b"\n\n", "x*") == [b"\n", b"\n"]


def test_any_of_several_patterns_is_enough() -> None:
    assert found(TEXT, "caf", "^fine|nothing", "e$") == [b"fine\n", "café\n".encode()]


def test_case_is_ignored_for_all_patterns() -> None:
    assert found(TEXT, "FINE", "äöü", ignore_case=True) == [b"fine\n", "ÄÖÜ\n".encode()]
    assert found(TEXT, "FINE|CAFÉ", ignore_case=True) == [b"fine\n", "café\n".encode()]


def test_a_literal_pattern_is_no_expression() -> None:
    block = b"a.b|c\naxb|c\n(\n"
    assert found(block, "a.b|c", literal=True) == [b"a.b|c\n"]
    assert found(block, "(", literal=True) == [b"(\n"]


@pytest.mark.parametrize(
    ("pattern", "matching"),
    [
        ("ERROR", [0, 1, 2]),
        ("^ERROR: [abc]$", [0, 1, 2]),
        ("ERROR.*panic", []),
        ("31m", []),
        ("fine", [3]),
    ],
)
def test_escape_sequences_are_not_seen(pattern: str, matching: list[int]) -> None:
    lines = [
        b"\x1b[1;31mERROR\x1b[0m: a\r\n",
        b"ER\x1b[31mROR: b\n",
        b"\x1b]0;panic\x07ERROR: c\x1b\n",
        b"\x1b]0;fine\n",
        b"\x1b[0m",
    ]
    assert found(b"".join(lines), pattern) == [lines[number] for number in matching]


@pytest.mark.parametrize(
    ("pattern", "matching"),
    [
        ("café", [0, 1]),
        ("caf.$", [0, 1, 3]),
        ("^.{4}$", [0, 1, 3]),
        ("(?i)CAFÉ", [0, 1]),
        (r"\xff", [2]),
        ("naïve", [2]),
        ("text", [2]),
        ("Ã", [2]),
        (r"\Acafé|\Acafe", [0, 1, 3]),
    ],
)
def test_a_line_that_is_not_utf8_is_searched_as_latin1_as_well(
    pattern: str, matching: list[int]
) -> None:
    lines = ["café\n".encode(), "café\r\n".encode("latin-1"), b"na\xc3\xafve \xff text\n", b"cafe"]
    assert found(b"".join(lines), pattern) == [lines[number] for number in matching]


def test_a_pattern_that_is_not_utf8_is_latin1() -> None:
    # As Python gives an argument of these bytes.
    pattern = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert found(b"caf\xe9\ncafe\n", pattern) == [b"caf\xe9\n"]


@pytest.mark.parametrize(
    "pattern", ["(", "[", "a{9999}", "*", r"(a)\1", "a(?=b)", "a(?!b)", "(?<=a)b", "a)(b", "\\"]
)
def test_what_re2_does_not_know_is_a_usage_error(pattern: str) -> None:
    with pytest.raises(UsageError, match="not a regular expression") as raised:
        LinePattern(["fine", pattern])
    assert "neither backreferences nor look-around" in str(raised.value.hint)
    LinePattern([pattern], literal=True)


def test_a_pattern_that_backtracks_for_ever_elsewhere_takes_linear_time() -> None:
    assert found(b"a" * 1_000_000 + b"!\n", "^(a+)+$") == []


# Patterns that RE2 and `re` agree on, and text in which they are often found.
atoms = st.sampled_from([*"abÄé", ".", "[ab]", "[^a]", "^", "$", "ab", r"\w", "(?:a|bé)"])
pieces = st.tuples(atoms, st.sampled_from(["", "", "*", "?", "{2}"])).map(
    lambda piece: piece[0] if piece[0] in "^$" else "".join(piece)
)
sequences = st.lists(pieces, min_size=1, max_size=4).map("".join)
expressions = st.lists(sequences, min_size=1, max_size=3).map("|".join)
texts = st.lists(st.sampled_from([*"abÄé\n\n", "\r\n", "ab", "\x1b[1ma"]), max_size=20).map("".join)


@given(expressions, texts)
@example("ab|bb", "bb\nab")
@example("a*", "\n\n")
@example("$", "a")
def test_a_block_is_searched_as_its_lines_are(expression: str, text: str) -> None:
    expected = []
    for line in re.findall("[^\n]*\n|[^\n]+", text):
        plain = line.replace("\x1b[1m", "").removesuffix("\n")
        plain = plain.removesuffix("\r") if line.endswith("\r\n") else plain
        if re.search(expression, plain, re.ASCII):
            expected.append(line.encode())
    assert found(text.encode(), expression) == expected


@pytest.mark.parametrize(
    ("pattern", "parts"),
    [
        ("ERROR.*panic|FATAL", ["ERROR.*panic", "FATAL"]),
        ("ERROR(a|b)|FATAL[|]|oops", ["ERROR(a|b)", "FATAL[|]", "oops"]),
        ("ab[]|]|cd[^]|]|ef[[:alpha:]|]", ["ab[]|]", "cd[^]|]", "ef[[:alpha:]|]"]),
        (r"ab\|cd|ef\\|gh", [r"ab\|cd", r"ef\\", "gh"]),
        (r"ab\Q|x\E|cd", [r"ab\Q|x\E", "cd"]),
        ("ERROR", ["ERROR"]),
        *((one, [one]) for one in ["ERROR|.*", "ab|", "(ab|cd)", "ab(?i)c|de", "ab|c*d", "a?b|cd"]),
    ],
)
def test_alternatives_are_told_apart_where_each_is_searched_for_faster(
    pattern: str, parts: list[str]
) -> None:
    assert split_alternatives(pattern) == parts
