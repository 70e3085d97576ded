"""The classes of commands: which words of a line they take, and which they refuse."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import click

from orchestrator_cli.cli.options.help import (
    Example,
    HelpContext,
    explain_exit_codes,
    explain_id,
    write_epilog,
)
from orchestrator_cli.cli.usage_errors.usage_text import HintedUsageError

if TYPE_CHECKING:
    from click.parser import _OptionParser
    from click.shell_completion import CompletionItem


class OncePerOption(click.Command):
    """A command that refuses an option given again where only one of its values could count.

    It knows the global options too, which may follow it: the root group moves them to the front.
    """

    context_class = HelpContext

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
        self.help = explain_id(self.help or "", self.params)
        self._refuses = refuses
        self.examples = examples
        self.exit_meanings = explain_exit_codes(exit_codes, exit_meanings)
        self.exit_codes = tuple(self.exit_meanings)

    def fill_in(self) -> None:
        """Put the facts that the help and its options name in their places."""
        # A line that asks for no help needs none.
        from orchestrator_cli.cli.options.facts import fill_in

        self.help = fill_in(self.help or "")
        for param in self.params:
            if isinstance(param, click.Option):
                param.help = fill_in(param.help or "")

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help."""
        self.fill_in()
        super().format_help(ctx, formatter)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return what may come next; options have their help beside them."""
        self.fill_in()
        return super().shell_complete(ctx, incomplete)

    def _check_words(self, ctx: click.Context, args: list[str]) -> None:
        if any("--json" in param.opts for param in self.params):
            _refuse_fields(args)
        super()._check_words(ctx, args)
        refused = self._refuses(args) if self._refuses is not None else None
        if refused is not None:
            raise refused

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples and exit codes."""
        write_epilog(formatter, self.examples, self.exit_meanings)


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


def _refuse_fields(words: Sequence[str]) -> None:
    """Refuse `--json FIELDS` as gh has it. Raises UsageError."""
    from orchestrator_cli.cli.usage_errors.option_habits import FIELD_HABITS

    for word, after in pairwise([*words, ""]):
        is_list = after in FIELD_HABITS or re.fullmatch(r"[A-Za-z_]+(,[A-Za-z_]+)+", after)
        if word.startswith("--json=") or (word == "--json" and is_list):
            raise HintedUsageError(
                "--json takes no fields.", "pipe it to jq: `… --json | jq .result`"
            )


def command(
    *, examples: tuple[Example, ...], exit_codes: tuple[int, ...], **settings: Any
) -> Callable[[Callable[..., Any]], Command]:
    """Make a function a command with examples and exit codes in its help.

    `exit_meanings` says what a code means where that is special to the command.
    """
    return click.command(cls=Command, examples=examples, exit_codes=exit_codes, **settings)
