"""No name from outside acts on a terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_cli.core.base.text import printable

# UAX #9: the characters that reorder what stands around them.
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"

# Surrogates are what Python makes of file names that are not UTF-8.
hostile = st.text(
    st.characters(exclude_categories=())
    | st.sampled_from(BIDI + "\x1b\x00\n\r\x85\x9b\u2028\u2029")
)


@given(hostile)
def test_nothing_is_left_that_a_terminal_acts_on(name: str) -> None:
    shown = printable(name)
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert not set(shown) & set(BIDI)
    assert len(shown.splitlines()) <= 1
    shown.encode()


@given(hostile)
def test_every_other_character_is_shown_as_it_is(name: str) -> None:
    kept = [character for character in name if printable(character) == character]
    shown = iter(printable(name))
    assert all(character in shown for character in kept)
    assert printable(printable(name)) == printable(name)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("", ""),
        ("logs/stdout.log", "logs/stdout.log"),
        ("[red]x[/]", "[red]x[/]"),
        ("a b\\n", "a b\\n"),
        ("café/日本/😀/👩‍💻", "café/日本/😀/👩‍💻"),
        ("\u05e9\u05dc\u05d5\u05dd", "\u05e9\u05dc\u05d5\u05dd"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("a\r\n\tb\x00\x7f", "a\\r\\n\\tb\\x00\\x7f"),
        ("\x9b31m\x85", "\\x9b31m\\x85"),
        ("caf\udce9", "caf\\udce9"),
        ("\ud83d\ude00", "\\ud83d\\ude00"),
        ("a\u202egnp.exe", "a\\u202egnp.exe"),
        ("\u2066x\u2069\u200f\u061c", "\\u2066x\\u2069\\u200f\\u061c"),
        ("a\u2028b\u2029", "a\\u2028b\\u2029"),
    ],
)
def test_what_could_act_on_a_terminal_is_shown_escaped(name: str, shown: str) -> None:
    assert printable(name) == shown


def test_anything_can_be_shown() -> None:
    assert printable(None) == "None"
    assert printable(ValueError("a\nb")) == "a\\nb"
