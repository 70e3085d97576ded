"""The group of all commands, each of which is imported only when it is used."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

import click

from orchestrator_cli.cli.configuration.environment import terminal_columns
from orchestrator_cli.cli.configuration.option_names import name_variables
from orchestrator_cli.cli.configuration.settings import GO_ON_WITHOUT_SETTINGS
from orchestrator_cli.cli.options import OncePerOption, global_options
from orchestrator_cli.cli.usage_errors.usage_text import (
    HintedUsageError,
    describe_usage_error,
    is_of_settings,
)
from orchestrator_cli.core.base.errors import UsageError

# The help of a group lists its commands; with their help here it need not import them.
COMMANDS: dict[str, str] = {
    "new": "Make an execution and print its id.",
    "upload": "Store files, directories or standard input.",
    "finish": "Finish an execution: write its result and manifest.",
    "run": "Run a command and store its output.",
    "ls": "List executions, or the files of one.",
    "logs": "Print a log.",
    "grep": "Search the logs of many executions.",
    "salvage": "Keep the logs of an execution whose writer is lost.",
    "show": "Show the metadata of an execution.",
    "url": "Print presigned URLs.",
    "open": "Open the page of an execution in the browser.",
    "download": "Download files and verify them.",
    "verify": "Check stored checksums, and local files against them.",
    "index": "Index the lines and errors of logs, for fast look-ups.",
    "sync-efs": "Store what benches left on EFS, then remove what is stored.",
    "lifecycle": "Archive and delete by age, with rules of the bucket.",
    "restore": "Bring archived files back for some days.",
    "cost": "Show what executions cost to store, now and once archived.",
    "history": "Query finished executions in Athena, DuckDB or Spark.",
    "adapter": "Check programs that write a bench's output.",
    "deploy": "Print files to copy: benches, EC2, EKS, CI, serve, IAM, alerts.",
    "doctor": "Check what this bucket and these credentials can do.",
    "serve": "Serve executions and files over HTTP, and take uploads.",
    "config": "Show the settings in use, and where each comes from.",
    "schema": "Print the JSON Schema of what a command prints with --json.",
    "completion": "Print the completion script of a shell.",
    "sandbox": "Start a throw-away S3 on this machine.",
}

# Where the root context keeps why settings of the environment or the config file are broken.
PROBLEM_KEY = "orchestrator_cli.settings_problem"


_WIDEST_HELP = 100


class BrokenStdout(Exception):  # noqa: N818 - no fault
    """The reader of standard output is gone. This is no OSError, which click would exit with 1."""


class LazyGroup(OncePerOption, click.Group):
    """A group that imports a command's module only when that command is used."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the line, which may print help."""
        with _translate_broken_pipe():
            return super().make_context(*args, terminal_width=_help_columns(), **kwargs)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the line; global options may follow the command as well."""
        try:
            words = [*self._options_after_command(ctx, args), *args]
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise
        try:
            return super().parse_args(ctx, words)
        except (click.UsageError, UsageError) as error:
            _, rest, _ = self.make_parser(ctx).parse_args(args=list(words))
            goes_on = bool(rest) and rest[0] in GO_ON_WITHOUT_SETTINGS
            if not (goes_on and is_of_settings(error)):
                raise
            ctx.meta[PROBLEM_KEY] = _as_problem(error)
        return self._parse_line_alone(ctx, words)

    def _parse_line_alone(self, ctx: click.Context, words: list[str]) -> list[str]:
        """Parse the line without the environment and the config file, but for the command's own."""
        kept = ctx.default_map, ctx.auto_envvar_prefix
        ctx.params.clear()
        ctx.default_map = ctx.auto_envvar_prefix = None
        try:
            return super().parse_args(ctx, words)
        finally:
            ctx.default_map, ctx.auto_envvar_prefix = kept

    def _options_after_command(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Return the global options that follow the command, as they are typed before it."""
        _, rest, _ = self.make_parser(ctx).parse_args(args=list(args))
        found: list[str] = []
        command: click.Command | None = self
        while rest and isinstance(command, click.Group):
            name = rest.pop(0)
            command = command.get_command(ctx, name)
            if command is not None:
                ctx = click.Context(
                    command, ctx, name, resilient_parsing=True, **command.context_settings
                )
                values, rest, order = command.make_parser(ctx).parse_args(args=rest)
                for option in global_options(ctx):
                    if option in order:
                        found += _as_typed(option, values[str(option.name)])
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; `help CMD` is `CMD --help`, `version` is `--version`.

        Raises UsageError that names the nearest.
        """
        if args[0] == "version":
            args = ["--version"]
        if args[0] == "help":
            if not args[1:]:
                click.echo(ctx.get_help(), color=ctx.color)
                ctx.exit()
            is_group = isinstance(self.get_command(ctx, args[1]), click.Group)
            args = [*args[1 : 3 if is_group else 2], "--help"]
        if args[0] not in COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise self._no_such_command(args, ctx)
        return super().resolve_command(ctx, args)

    def _no_such_command(self, words: list[str], ctx: click.Context) -> HintedUsageError:
        from orchestrator_cli.cli.usage_errors.suggested_line import advise_command

        near, hint = advise_command(words, COMMANDS, self, ctx)
        meant = f" Did you mean '{near}'?" if near else ""
        return HintedUsageError(f"No such command {words[0]!r}.{meant}", hint, ctx)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _translate_broken_pipe():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(
            f"orchestrator_cli.cli.commands.{cmd_name.replace('-', '_')}"
        )
        loaded: click.Command = getattr(module, cmd_name.replace("-", "_"))
        name_variables(cmd_name, loaded)
        return loaded

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write where to begin."""
        with formatter.section("To begin"):
            formatter.write_dl(
                [
                    ("orchestrator sandbox", "try everything with no account"),
                    ("orchestrator help COMMAND", "options, examples and exit codes"),
                    ("man orchestrator-layout", "what is stored, and where"),
                    ("man orchestrator-retention", "how long, and what that costs"),
                ]
            )


def _as_problem(error: click.UsageError | UsageError) -> UsageError:
    return error if isinstance(error, UsageError) else UsageError(describe_usage_error(error))


def _help_columns() -> int:
    return max(min(terminal_columns(), _WIDEST_HELP) - 2, 50)


def _as_typed(option: click.Option, value: Any) -> list[str]:
    """Return an option and its value as the words of a line, again and again where it is a list."""
    if option.is_flag:
        spellings = option.opts if value else option.secondary_opts
        return [max(spellings, key=len)]
    name = max(option.opts, key=len)
    return [word for one in (value if option.multiple else [value]) for word in (name, str(one))]


@contextlib.contextmanager
def _translate_broken_pipe() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise BrokenStdout from error
