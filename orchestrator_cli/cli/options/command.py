"""The classes of commands: global options, examples and exit codes in the help."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from orchestrator_cli.cli.configuration.environment import EXECUTION_ID_VARIABLE
from orchestrator_cli.cli.usage_errors.usage_text import HintedUsageError
from orchestrator_cli.core.base.errors import EXIT_CODES

if TYPE_CHECKING:
    from click.parser import _OptionParser


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
    """An example of a command: what it does, and the line to type."""

    text: str
    command: str


class _HelpFormatter(click.HelpFormatter):
    """Breaks no line inside a word such as --include-hidden, so that it can be copied."""

    _HYPHEN = "\ue000"

    def write(self, string: str) -> None:
        """Write what is wrapped already."""
        super().write(string.replace(self._HYPHEN, "-"))

    def write_text(self, text: str) -> None:
        """Wrap a text and write it."""
        super().write_text(text.replace("-", self._HYPHEN))

    def write_dl(self, rows: Iterable[tuple[str, str]], *args: Any, **kwargs: Any) -> None:
        """Write a list of terms and what they mean, which is wrapped."""
        kept = [(term, text.replace("-", self._HYPHEN)) for term, text in rows]
        super().write_dl(kept, *args, **kwargs)


class _HelpContext(click.Context):
    formatter_class = _HelpFormatter


class OncePerOption(click.Command):
    """A command that refuses an option given again where only one of its values could count.

    It knows the global options too, which may follow it: the root group moves them to the front.
    """

    context_class = _HelpContext

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the command's parameters; while completing, the global options too."""
        own = super().get_params(ctx)
        return [*own, *_global_options(ctx, own)] if _is_completing(ctx) else own

    def make_parser(self, ctx: click.Context) -> _OptionParser:
        """Return the parser of the command's options and of the global ones."""
        parser = super().make_parser(ctx)
        if not _is_completing(ctx):
            for option in global_options(ctx):
                option.add_to_parser(parser, ctx)
        return parser

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the line. Raises UsageError that knows the command."""
        ctx.default_map = self._with_lists(ctx.default_map)
        try:
            if not ctx.resilient_parsing:
                self._check_words(ctx, args)
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise

    def _check_words(self, ctx: click.Context, args: list[str]) -> None:
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for param in given:
            if given.count(param) > 1 and _takes_one_value(param):
                raise click.UsageError(f"{param.opts[0]} is given more than once.", ctx)

    def _with_lists(self, defaults: Any) -> Any:
        """Return the defaults; for an option that may be repeated, a single text becomes a list."""
        texts = {
            param.name: [defaults[param.name]]
            for param in self.params
            if _is_list(param) and isinstance((defaults or {}).get(param.name), str)
        }
        return {**defaults, **texts} if texts else defaults


def _is_list(param: click.Parameter) -> bool:
    return isinstance(param, click.Option) and param.multiple


def _is_completing(ctx: click.Context) -> bool:
    return bool(getattr(ctx.find_root().obj, "is_completing", False))


def global_options(ctx: click.Context) -> list[click.Option]:
    """Return the options of the program that a command has no option of its own for."""
    return _global_options(ctx, ctx.command.get_params(ctx))


def _global_options(ctx: click.Context, own: list[click.Parameter]) -> list[click.Option]:
    if ctx.parent is None:
        return []
    taken = {text for param in own for text in (*param.opts, param.name)}
    return [
        param
        for param in ctx.find_root().command.params
        if isinstance(param, click.Option)
        and param.name != "version"
        and taken.isdisjoint((*param.opts, param.name))
    ]


def _takes_one_value(param: click.Parameter) -> bool:
    if not isinstance(param, click.Option):
        return False
    return not (param.multiple or param.is_flag or param.count)


class Command(OncePerOption):
    """A command whose help ends with examples and exit codes.

    `refuses` looks at the words of the line, for what means something else in other programs.
    """

    def __init__(
        self,
        *args: Any,
        examples: tuple[Example, ...] = (),
        exit_codes: tuple[int, ...] = (),
        exit_meanings: Mapping[int, str] | None = None,
        refuses: Callable[[Sequence[str]], click.UsageError | None] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.help = _with_id(self.help or "", self.params)
        self._refuses = refuses
        self.examples = examples
        self.exit_meanings = _meanings(exit_codes, exit_meanings)
        self.exit_codes = tuple(self.exit_meanings)

    def _check_words(self, ctx: click.Context, args: list[str]) -> None:
        if any("--json" in param.opts for param in self.params):
            _refuse_fields(args)
        super()._check_words(ctx, args)
        refused = self._refuses(args) if self._refuses is not None else None
        if refused is not None:
            raise refused

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples and exit codes."""
        _format_epilog(formatter, self.examples, self.exit_meanings)


class CommandGroup(Command, click.Group):
    """A group of commands whose help ends as a command's does."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; `help` shows the group's help, and `help CMD` that of one."""
        if args[0] == "help":
            if not args[1:]:
                click.echo(ctx.get_help(), color=ctx.color)
                ctx.exit()
            args = [args[1], "--help"]
        return super().resolve_command(ctx, args)


def _with_id(text: str, params: Sequence[click.Parameter]) -> str:
    """Return the help with what an ID may be, where the command takes one."""
    taken = [param.metavar or "" for param in params if isinstance(param, click.Argument)]
    if not any(re.search(r"\bID\b", metavar) for metavar in taken):
        return text
    # Where it may be left out, everything is meant.
    is_needed = any(metavar.startswith("ID") for metavar in taken)
    preset = f" Left out, it is that of {EXECUTION_ID_VARIABLE}." if is_needed else ""
    return f"{inspect.cleandoc(text)}\n\n{_WHAT_AN_ID_IS}{preset}"


def _refuse_fields(words: Sequence[str]) -> None:
    """Refuse `--json FIELDS` as gh has it. Raises UsageError."""
    from orchestrator_cli.cli.usage_errors.option_habits import FIELD_HABITS

    for word, after in pairwise([*words, ""]):
        is_list = after in FIELD_HABITS or re.fullmatch(r"[A-Za-z_]+(,[A-Za-z_]+)+", after)
        if word.startswith("--json=") or (word == "--json" and is_list):
            raise HintedUsageError(
                "--json takes no fields.", "pipe it to jq: `… --json | jq .result`"
            )


def _meanings(codes: tuple[int, ...], special: Mapping[int, str] | None) -> dict[int, str]:
    meanings = {**_MEANINGS, **(special or {})}
    return {code: meanings[code] for code in sorted(_ALWAYS.union(codes))}


def _format_epilog(
    formatter: click.HelpFormatter,
    examples: tuple[Example, ...],
    meanings: Mapping[int, str],
) -> None:
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


def command(
    *, examples: tuple[Example, ...], exit_codes: tuple[int, ...], **settings: Any
) -> Callable[[Callable[..., Any]], Command]:
    """Make a function a command with examples and exit codes in its help.

    `exit_meanings` says what a code means where that is special to the command.
    """
    return click.command(cls=Command, examples=examples, exit_codes=exit_codes, **settings)
