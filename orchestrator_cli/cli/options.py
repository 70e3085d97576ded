"""Shared decorators and parameter types: execution id, duration, size, instant."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from orchestrator_cli.core.base.errors import EXIT_CODES, InterruptedByUser, UsageError
from orchestrator_cli.core.base.quantities import parse_duration, parse_instant, parse_size

if TYPE_CHECKING:
    from click.parser import _OptionParser

F = TypeVar("F", bound=Callable[..., Any])

_NUMBER = re.compile(r"\d+(\.\d+)?", re.ASCII)
EXECUTION_ID_ENVVAR = "ORCHESTRATOR_EXECUTION_ID"


@dataclass(frozen=True, slots=True)
class Example:
    """An example of a command: what it does, and the line to type."""

    text: str
    command: str


class OncePerOption(click.Command):
    """A command that refuses an option given again where only one of its values could count.

    It knows the global options too, which may follow it: the root group moves them to the front.
    """

    def make_parser(self, ctx: click.Context) -> _OptionParser:
        """Return the parser of the command's options and of the global ones."""
        parser = super().make_parser(ctx)
        for option in global_options(ctx):
            option.add_to_parser(parser, ctx)
        return parser

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the line. Raises UsageError."""
        ctx.default_map = self._with_lists(ctx.default_map)
        if not ctx.resilient_parsing:
            _, _, given = self.make_parser(ctx).parse_args(args=list(args))
            for param in given:
                if given.count(param) > 1 and _takes_one_value(param):
                    raise click.UsageError(f"{param.opts[0]} is given more than once.", ctx)
        return super().parse_args(ctx, args)

    def _with_lists(self, defaults: Any) -> Any:
        """Return the defaults, where one text for an option of several is a list of it."""
        texts = {
            param.name: [defaults[param.name]]
            for param in self.params
            if _is_list(param) and isinstance((defaults or {}).get(param.name), str)
        }
        return {**defaults, **texts} if texts else defaults


def _is_list(param: click.Parameter) -> bool:
    return isinstance(param, click.Option) and param.multiple


def global_options(ctx: click.Context) -> list[click.Option]:
    """Return the options of the program that a command has no option of its own for."""
    if ctx.parent is None:
        return []
    own = ctx.command.get_params(ctx)
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
    """A command whose help ends with examples and exit codes."""

    def __init__(
        self,
        *args: Any,
        examples: tuple[Example, ...] = (),
        exit_codes: tuple[int, ...] = (),
        exit_meanings: Mapping[int, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples
        self.exit_codes = exit_codes
        self.exit_meanings = exit_meanings or {}

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples and exit codes."""
        meanings = {**EXIT_CODES, **self.exit_meanings}
        _format_epilog(formatter, self.examples, self.exit_codes, meanings)


class CommandGroup(OncePerOption, click.Group):
    """A group of commands whose help ends as a command's does."""

    def __init__(
        self,
        *args: Any,
        examples: tuple[Example, ...] = (),
        exit_codes: tuple[int, ...] = (),
        exit_meanings: Mapping[int, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples
        self.exit_codes = exit_codes
        self.exit_meanings = exit_meanings or {}

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples and exit codes."""
        meanings = {**EXIT_CODES, **self.exit_meanings}
        _format_epilog(formatter, self.examples, self.exit_codes, meanings)


def _format_epilog(
    formatter: click.HelpFormatter,
    examples: tuple[Example, ...],
    exit_codes: tuple[int, ...],
    meanings: Mapping[int, str],
) -> None:
    with formatter.section("Examples"):
        for number, example in enumerate(examples):
            if number:
                formatter.write_paragraph()
            formatter.write(f"{'':>{formatter.current_indent}}# {example.text}\n")
            formatter.write(f"{'':>{formatter.current_indent}}{example.command}\n")
    with formatter.section("Exit codes"):
        formatter.write_dl([(str(code), meanings[code]) for code in exit_codes])


def command(
    *, examples: tuple[Example, ...], exit_codes: tuple[int, ...], **settings: Any
) -> Callable[[Callable[..., Any]], Command]:
    """Make a function a command with examples and exit codes in its help.

    `exit_meanings` says what a code means where that is special to the command.
    """
    return click.command(cls=Command, examples=examples, exit_codes=exit_codes, **settings)


class DurationType(click.ParamType[timedelta]):
    """A duration such as 90s, 15m, 2h, 7d or 1h30m; a number alone is seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Parse a duration."""
        if isinstance(value, timedelta):
            return value
        try:
            text = str(value).strip()
            return parse_duration(f"{text}s" if _NUMBER.fullmatch(text) else text)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class SizeType(click.ParamType[int]):
    """A size in bytes such as 512K, 5M or 1.5G; units are powers of 1,024."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse a size."""
        try:
            return parse_size(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class InstantType(click.ParamType[datetime]):
    """An instant: 2d (ago), today, yesterday, 14:30, 2026-01-31 or an RFC 3339 time.

    Without a zone it is local time where standard output is a terminal, and UTC elsewhere.
    """

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Parse an instant."""
        try:
            zone = None if sys.stdout.isatty() else UTC
            return parse_instant(str(value), datetime.now(UTC), zone)
        except ValueError as error:
            self.fail(str(error), param, ctx)


DURATION = DurationType()
SIZE = SizeType()
INSTANT = InstantType()


class LabelType(click.ParamType[tuple[str, str]]):
    """A label KEY=VALUE."""

    name = "key=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Parse a label."""
        if isinstance(value, tuple):
            return value[0], value[1]
        key, separator, text = str(value).partition("=")
        if not separator or not key:
            self.fail(f"{value!r} is not KEY=VALUE", param, ctx)
        return key, text


LABEL = LabelType()


def complete_execution_id(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Complete execution ids of the last weeks, newest first; silent where S3 cannot be asked."""
    from orchestrator_cli.cli.completion import execution_ids

    return execution_ids(ctx, incomplete)


def complete_file_name(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Complete the paths of the execution that is named on the line."""
    from orchestrator_cli.cli.completion import file_names

    return file_names(ctx, incomplete)


def complete_id_or_path(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Complete an execution id first, local files after it."""
    from click.shell_completion import CompletionItem

    local = [CompletionItem(incomplete, type="file")]
    given = ctx.params.get(str(param.name)) or ()
    return local if given else complete_execution_id(ctx, param, incomplete) or local


def complete_id_or_file(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Complete an execution id first, its files after it."""
    given = ctx.params.get(str(param.name)) or ()
    if given or os.environ.get(EXECUTION_ID_ENVVAR):
        return complete_file_name(ctx, param, incomplete)
    return complete_execution_id(ctx, param, incomplete)


def execution_id_argument(function: F) -> F:
    """Add the ID argument; it defaults to ORCHESTRATOR_EXECUTION_ID."""
    return click.argument(
        "execution_id",
        metavar="ID",
        envvar=EXECUTION_ID_ENVVAR,
        shell_complete=complete_execution_id,
    )(function)


def split_id(arguments: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Take ID off the front of arguments; it may be left to ORCHESTRATOR_EXECUTION_ID.

    With the variable set, a first argument that could be a file as well belongs to the rest.
    Raises UsageError where there is no ID.
    """
    preset = os.environ.get(EXECUTION_ID_ENVVAR)
    if arguments and _is_selector(arguments[0]):
        return arguments[0], arguments[1:]
    if preset:
        return preset, arguments
    if arguments and _may_be_id(arguments[0]):
        return arguments[0], arguments[1:]
    found = f" {arguments[0]!r} is not one." if arguments else ""
    raise click.UsageError(
        f"Missing argument 'ID'.{found} It comes first, or is set by {EXECUTION_ID_ENVVAR}."
    )


def _is_selector(text: str) -> bool:
    from orchestrator_cli.core.executions.ids import is_selector

    return is_selector(text)


def _may_be_id(text: str) -> bool:
    from orchestrator_cli.core.executions.ids import is_execution_id_prefix

    return text.startswith("@") or is_execution_id_prefix(text.removesuffix("/"))


def is_preset_id(execution_id: str) -> bool:
    """Say whether the execution is the one of the environment, as inside `run`."""
    return os.environ.get(EXECUTION_ID_ENVVAR, "").upper() == execution_id


def json_option(function: F) -> F:
    """Add --json."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print JSON with stable field names, for scripts."
    )(function)


def yes_option(function: F) -> F:
    """Add --yes, which `confirm` takes."""
    return click.option(
        "-y", "--yes", is_flag=True, help="Do not ask for confirmation. Needed without a terminal."
    )(function)


def write_to_latest_option(function: F) -> F:
    """Add --yes to a command that writes, which `check_may_write` takes."""
    return click.option(
        "-y", "--yes", is_flag=True, help="Accept @latest as ID; a newer execution may have begun."
    )(function)


def check_may_write(execution_id: str, yes: bool) -> None:
    """Raise UsageError for @latest unless `yes`: by now it may be another execution."""
    if execution_id.startswith("@latest") and not yes:
        raise UsageError(
            "@latest may be another execution by the time this is stored",
            hint="name the execution by its ID, or give --yes",
        )


def confirm(question: str, yes: bool) -> None:
    """Ask on the terminal, unless `yes`.

    Raises UsageError where nobody can be asked, InterruptedByUser where the answer is no.
    """
    if yes:
        return
    stdin: TextIO | None = sys.stdin
    if stdin is None or not stdin.isatty():
        hint = "--yes does it without asking"
        raise UsageError("nobody can be asked: standard input is no terminal", hint=hint)
    if not click.confirm(question, err=True):
        raise InterruptedByUser("not confirmed")


def concurrency_option(function: F) -> F:
    """Add --concurrency."""
    return click.option(
        "--concurrency",
        type=click.IntRange(1, 256),
        default=256,
        show_default=True,
        help="The most requests at once; fewer are sent where more would not be faster.",
    )(function)
