"""The commands of click as plain data, from which the pages are made.

The result does not depend on the terminal, the environment or the date.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import click

from orchestrator_cli.cli.options import Example, WholeNumber
from orchestrator_cli.cli.options.command import Command

PROGRAM = "orchestrator"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One option or argument: how it is written, its help, and its environment variables."""

    names: tuple[str, ...]
    metavar: str
    help: str
    notes: tuple[str, ...]
    environment: tuple[str, ...]

    @property
    def main_name(self) -> str:
        """The name that texts use: the first long one."""
        return next((name for name in self.names if name.startswith("--")), self.names[0])

    @property
    def label(self) -> str:
        """The option as it is written, such as `-n, --tail N`."""
        return " ".join(part for part in (", ".join(self.names), self.metavar) if part)


@dataclass(frozen=True, slots=True)
class CommandReference:
    """Everything that is documented of one command. `name` is "" for the program itself."""

    name: str
    usage: str
    summary: str
    description: tuple[str, ...]
    arguments: tuple[Parameter, ...]
    options: tuple[Parameter, ...]
    examples: tuple[Example, ...]
    exit_codes: tuple[int, ...]
    exit_meanings: Mapping[int, str]

    @property
    def invocation(self) -> str:
        """The words that are typed to run the command."""
        return f"{PROGRAM} {self.name}".rstrip()

    @property
    def page_name(self) -> str:
        """The name of the manual page."""
        return self.invocation.replace(" ", "-")


def read_program(root: click.Group) -> CommandReference:
    """Return the reference of the program itself, with its global options."""
    return _read(root, _root_context(root), "")


def read_commands(root: click.Group) -> tuple[CommandReference, ...]:
    """Return the reference of every command that is not hidden, in the order of the help."""
    return tuple(_walk(root, _root_context(root), ""))


def _root_context(root: click.Group) -> click.Context:
    return click.Context(root, info_name=PROGRAM, **root.context_settings)


def _walk(group: click.Group, context: click.Context, prefix: str) -> Iterator[CommandReference]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        inner = click.Context(command, info_name=name, parent=context, **command.context_settings)
        yield _read(command, inner, f"{prefix}{name}")
        if isinstance(command, click.Group):
            yield from _walk(command, inner, f"{prefix}{name} ")


def _read(command: click.Command, context: click.Context, name: str) -> CommandReference:
    if isinstance(command, Command):
        command.fill_in()
    parameters = [p for p in command.get_params(context) if not getattr(p, "hidden", False)]
    description = split_paragraphs(command.help or "")
    return CommandReference(
        name=name,
        usage=" ".join([context.command_path, *command.collect_usage_pieces(context)]),
        summary=" ".join(description[0].split()) if description else "",
        description=description,
        arguments=tuple(_argument(p, context) for p in parameters if isinstance(p, click.Argument)),
        options=tuple(_option(p, context) for p in parameters if isinstance(p, click.Option)),
        examples=tuple(getattr(command, "examples", ())),
        exit_codes=tuple(sorted(getattr(command, "exit_codes", ()))),
        exit_meanings=getattr(command, "exit_meanings", {}),
    )


def _argument(argument: click.Argument, context: click.Context) -> Parameter:
    return Parameter(
        names=(argument.make_metavar(context),),
        metavar="",
        help=_one_line(getattr(argument, "help", None)),
        notes=(),
        environment=_environment(argument, context),
    )


def _option(option: click.Option, context: click.Context) -> Parameter:
    return Parameter(
        names=(*sorted(option.opts, key=len), *option.secondary_opts),
        metavar=_metavar(option, context),
        help=_one_line(option.help),
        notes=tuple(_notes(option, context)),
        environment=_environment(option, context),
    )


def _metavar(option: click.Option, context: click.Context) -> str:
    if option.is_flag or option.count:
        return ""
    return option.make_metavar(context)


def _notes(option: click.Option, context: click.Context) -> Iterator[str]:
    default = option.get_help_extra(context).get("default")
    if default:
        yield f"default: {default}"
    if isinstance(option.type, WholeNumber):
        yield option.type.bounds
    if option.required:
        yield "required"
    if option.multiple:
        yield "can be given more than once"


def _environment(parameter: click.Parameter, context: click.Context) -> tuple[str, ...]:
    if isinstance(parameter.envvar, str):
        return (parameter.envvar,)
    if parameter.envvar:
        return tuple(parameter.envvar)
    # click would read variables for these two as well, but they make no sense.
    is_eager = {"--help", "--version"} & set(parameter.opts)
    automatic = getattr(parameter, "allow_from_autoenv", False) and not is_eager
    if automatic and context.auto_envvar_prefix and parameter.name:
        return (f"{context.auto_envvar_prefix}_{parameter.name.upper()}",)
    return ()


def split_paragraphs(text: str) -> tuple[str, ...]:
    r"""Split a help text as click does: at blank lines, up to a form feed.

    A paragraph that starts with `\b` keeps its lines; any other is one line.
    """
    cleaned = inspect.cleandoc(text).partition("\f")[0]
    blocks = (block.strip("\n") for block in cleaned.split("\n\n"))
    return tuple(
        block if block.startswith("\b") else " ".join(block.split())
        for block in blocks
        if block.strip()
    )


def _one_line(text: str | None) -> str:
    return " ".join((text or "").replace("\b", " ").split())
