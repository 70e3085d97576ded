"""The help of a command: how it is wrapped, its examples and its exit codes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import click

from orchestrator_cli.cli.configuration.environment import EXECUTION_ID_VARIABLE
from orchestrator_cli.core.base.errors import EXIT_CODES

# What the codes mean in a command that does not go on where it ended.
_MEANINGS = EXIT_CODES | {
    0: "done",
    1: "unexpected error, or an output that cannot be written",
    9: "storage unavailable after retries",
    130: "interrupted",
}
RESUMES = {code: EXIT_CODES[code] for code in (9, 130)}
_WHAT_AN_ID_IS = (
    "ID is a ULID or the unique start of one, @latest, @latest:suite=S,result=fail for the newest "
    "like that, or a URL of the execution."
)
# Any command may end so.
_ALWAYS = {0, 1, 2, 130}


class Example(NamedTuple):
    """An example of a command: its purpose, and the line to type."""

    text: str
    command: str


class _HelpFormatter(click.HelpFormatter):
    """Breaks no line inside a word such as --include-hidden, so that it can be copied."""

    _HYPHEN = "\ue000"

    def write(self, string: str) -> None:
        """Write text that is wrapped already."""
        super().write(string.replace(self._HYPHEN, "-"))

    def write_text(self, text: str) -> None:
        """Wrap a text and write it."""
        super().write_text(text.replace("-", self._HYPHEN))

    def write_dl(self, rows: Iterable[tuple[str, str]], *args: Any, **kwargs: Any) -> None:
        """Write a list of terms and their descriptions, wrapped."""
        kept = [(term, text.replace("-", self._HYPHEN)) for term, text in rows]
        super().write_dl(kept, *args, **kwargs)


class HelpContext(click.Context):
    """A context whose help is wrapped by `_HelpFormatter`."""

    formatter_class = _HelpFormatter


def explain_id(text: str, params: Sequence[click.Parameter]) -> str:
    """Return the help with an explanation of ID, if the command takes one."""
    taken = [param.metavar or "" for param in params if isinstance(param, click.Argument)]
    if not any(re.search(r"\bID\b", metavar) for metavar in taken):
        return text
    # Where it may be left out, everything is meant.
    is_needed = any(metavar.startswith("ID") for metavar in taken)
    preset = f" Left out, it is that of {EXECUTION_ID_VARIABLE}." if is_needed else ""
    return f"{inspect.cleandoc(text)}\n\n{_WHAT_AN_ID_IS}{preset}"


def explain_exit_codes(codes: tuple[int, ...], special: Mapping[int, str] | None) -> dict[int, str]:
    """Return the meaning of each exit code of a command; `special` has those of its own."""
    meanings = {**_MEANINGS, **(special or {})}
    return {code: meanings[code] for code in sorted(_ALWAYS.union(codes))}


def write_epilog(
    formatter: click.HelpFormatter,
    examples: tuple[Example, ...],
    meanings: Mapping[int, str],
) -> None:
    """Write the examples and the exit codes at the end of a help."""
    with formatter.section("Examples"):
        for number, example in enumerate(examples):
            if number:
                formatter.write_paragraph()
            formatter.write(f"{'':>{formatter.current_indent}}# {example.text}\n")
            for line in _fold(example.command, formatter.width - formatter.current_indent):
                formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
    with formatter.section("Exit codes"):
        formatter.write_dl([(str(code), text) for code, text in meanings.items()])


def _fold(line: str, width: int) -> Iterator[str]:
    """Yield a line for the shell, continued on others where it is wider than that."""
    shown = ""
    for words in _phrases(line):
        if shown and len(shown) + len(words) + 3 > width:
            yield f"{shown} \\"
            shown = f"    {words}"
        else:
            shown = f"{shown} {words}" if shown else words
    yield shown


def _phrases(line: str) -> list[str]:
    """Split a line at its spaces, but not inside quotes, nor between an option and its value."""
    if "\n" in line:
        # It is continued already.
        return [line]
    phrases: list[str] = []
    for word in re.findall(r"""(?:'[^']*'|"[^"]*"|[^\s'"])+""", line):
        last = phrases[-1] if phrases else ""
        if last in (">", ">>") or (re.fullmatch(r"--\S+", last) and not word.startswith("-")):
            phrases[-1] = f"{last} {word}"
        else:
            phrases.append(word)
    return phrases
