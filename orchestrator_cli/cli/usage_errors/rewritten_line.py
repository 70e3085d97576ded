"""Rewrite a line that has options of other programs with the options of a command here."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence

import click

from orchestrator_cli.cli.usage_errors.option_habits import VALUE_HABITS, option_for

_COUNT = re.compile(r"-(\d+)")
# Where these become --json, their value (`-o json`, `--jq .id`) has no place.
_WITHOUT_VALUE = "--json"


def try_line(words: Iterable[str]) -> str:
    """Return the hint to type these words after the program's name; a pipe stays one."""
    quoted = (word if word == "|" else shlex.quote(word) for word in words)
    return f"try `{' '.join(['orchestrator', *quoted])}`"


def options_of(command: click.Command, root: click.Command) -> dict[str, click.Option]:
    """Return the options of a command and of the program, by how they can be typed."""
    params = [*root.params, *command.params]
    options = [param for param in params if isinstance(param, click.Option)]
    return {text: one for one in options for text in (*one.opts, *one.secondary_opts)}


def nearest_option(typed: str, known: dict[str, click.Option]) -> str | None:
    """Return the option here for one of another program, or for a misspelt one."""
    count = _COUNT.fullmatch(typed)
    if count is not None:
        return next((f"{one} {count[1]}" for one in ("-n", "-C") if _has_value(one, known)), None)
    name = typed.partition("=")[0]
    candidates = [*known, "--help"]
    if f"-{name}" in candidates:
        return f"-{name}"
    # Click's own finding goes further than what anybody mistypes.
    near = difflib.get_close_matches(name, candidates, 1, 0.75) if name.startswith("--") else []
    return option_for(name, {*candidates}) or next(iter(near), None)


def rewrite_options(words: Sequence[str], known: dict[str, click.Option]) -> list[str]:
    """Return the words with each option that the command lacks replaced by its counterpart."""
    return list(_rewritten(list(words), known))


def _rewritten(words: list[str], known: dict[str, click.Option]) -> Iterator[str]:
    given = list(words)
    while words:
        word = words.pop(0)
        if word == "--":
            yield from [word, *words]
            return
        name, attached = _split(word, known)
        meant = name if name in known or not _is_option(word) else nearest_option(name, known)
        if meant is None or (meant == name and not _has_useless_value(word, name, known)):
            yield word
            if meant is None and words and _COUNT.fullmatch(words[0]):
                # The value of what is unknown: no count of ours.
                yield words.pop(0)
            continue
        if meant != _WITHOUT_VALUE or meant not in given:
            yield from meant.split()
        values = [attached] if attached is not None else _following_value(meant, words, known)
        if _has_value(meant, known):
            yield from (
                VALUE_HABITS.get(one, one) if meant == "--result" else one for one in values
            )


def _following_value(meant: str, words: list[str], known: dict[str, click.Option]) -> list[str]:
    """Take the value of an option off the words; `-o json` and `--last 3` had one elsewhere."""
    has_value = _has_value(meant, known) or meant == _WITHOUT_VALUE
    is_value = words and not _is_option(words[0]) and (has_value or words[0].isdigit())
    return [words.pop(0)] if is_value else []


def takes_operands(command: click.Command) -> bool:
    """Return True if words without an option mean something to the command."""
    arguments = any(isinstance(param, click.Argument) for param in command.params)
    return arguments or isinstance(command, click.Group)


def without_operands(words: Sequence[str], command: click.Command) -> list[str]:
    """Return the options among the words, with their values."""
    known = options_of(command, command)
    pairs = zip(words, ["", *words], strict=False)
    return [word for word, before in pairs if _is_option(word) or _has_value(before, known)]


def _has_value(word: str, known: dict[str, click.Option]) -> bool:
    return word in known and not known[word].is_flag


def _is_option(word: str) -> bool:
    return word.startswith("-") and word != "-"


def _split(word: str, known: dict[str, click.Option]) -> tuple[str, str | None]:
    """Return the option of a word and the value that is attached to it, if any."""
    if not _is_option(word) or _COUNT.fullmatch(word):
        return word, None
    if word.startswith("--"):
        name, separator, value = word.partition("=")
        return name, value if separator else None
    if len(word) == 2 or f"-{word}" in known:
        return word, None
    return word[:2], word[2:].removeprefix("=")


def _has_useless_value(word: str, name: str, known: dict[str, click.Option]) -> bool:
    return word.startswith("--") and "=" in word and name in known and known[name].is_flag
