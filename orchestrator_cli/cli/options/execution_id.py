"""The ID of an execution on a command line, and what a shell is offered for it."""

from __future__ import annotations

from typing import Any

import click

from orchestrator_cli.cli.configuration.environment import EXECUTION_ID_VARIABLE, variable
from orchestrator_cli.cli.options.common import F
from orchestrator_cli.cli.usage_errors.usage_text import HintedUsageError

# What other programs call the newest.
_NEWEST = {"head", "last", "latest", "newest", "@last", "@newest"}


def complete_execution_id(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Complete execution ids of the last weeks, newest first; silent where S3 cannot be asked."""
    from orchestrator_cli.cli.completion.offers import execution_ids

    return execution_ids(ctx, incomplete)


def complete_file_name(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Complete the paths of the execution that is named on the line."""
    from orchestrator_cli.cli.completion.offers import file_names

    return file_names(ctx, incomplete)


def complete_id_or_log(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Complete an execution id first, the names of its logs and its files after it."""
    from orchestrator_cli.cli.completion.offers import log_names

    given = ctx.params.get(str(param.name)) or ()
    if given or variable(EXECUTION_ID_VARIABLE):
        return [*log_names(ctx, incomplete), *complete_file_name(ctx, param, incomplete)]
    return complete_execution_id(ctx, param, incomplete)


def complete_command(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Complete the command to run first, local files after it."""
    from click.shell_completion import CompletionItem

    kind = "file" if ctx.params.get(str(param.name)) else "command"
    return [CompletionItem(incomplete, type=kind)]


def complete_id_or_path(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Complete an execution id first, local files after it."""
    from click.shell_completion import CompletionItem

    local = [CompletionItem(incomplete, type="file")]
    given = ctx.params.get(str(param.name)) or ()
    return local if given else complete_execution_id(ctx, param, incomplete) or local


def complete_id_or_file(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Complete an execution id first, its files after it."""
    given = ctx.params.get(str(param.name)) or ()
    if given or variable(EXECUTION_ID_VARIABLE):
        return complete_file_name(ctx, param, incomplete)
    return complete_execution_id(ctx, param, incomplete)


def complete_pattern_and_ids(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[Any]:
    """Complete nothing for a pattern, execution ids after it."""
    return complete_execution_id(ctx, param, incomplete) if ctx.params.get(str(param.name)) else []


def complete_id_and_file(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Complete an execution id first, its files after it; the variable is not looked at."""
    if ctx.params.get(str(param.name)):
        return complete_file_name(ctx, param, incomplete)
    return complete_execution_id(ctx, param, incomplete)


def execution_id_argument(function: F) -> F:
    """Add the ID argument; it defaults to ORCHESTRATOR_EXECUTION_ID."""
    return click.argument(
        "execution_id",
        metavar="ID",
        envvar=EXECUTION_ID_VARIABLE,
        shell_complete=complete_execution_id,
        callback=_drop_path,
    )(function)


def split_id(arguments: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Take ID off the front of arguments; it may be left to ORCHESTRATOR_EXECUTION_ID.

    With the variable set, a first argument that could be a file as well belongs to the rest.
    Raises UsageError where there is no ID.
    """
    preset = variable(EXECUTION_ID_VARIABLE)
    arguments = split_id_and_path(arguments)
    if arguments and _is_selector(arguments[0]):
        return arguments[0], arguments[1:]
    if preset:
        return preset, arguments
    if arguments and _may_be_id(arguments[0]):
        return arguments[0], arguments[1:]
    context = click.get_current_context(silent=True)
    if arguments and context is not None and context.info_name != "upload":
        from orchestrator_cli.core.executions.selector import what_an_id_can_be

        raise HintedUsageError(
            f"not an execution id: {arguments[0]!r}.",
            _line_with_id(arguments) or what_an_id_can_be(arguments[0]),
        )
    found = f" {arguments[0]!r} is not one." if arguments else ""
    raise HintedUsageError(
        f"Missing argument 'ID'.{found} It comes first, or is set by {EXECUTION_ID_VARIABLE}.",
        _line_with_id(arguments),
    )


def _line_with_id(arguments: tuple[str, ...]) -> str:
    """Return the line that was probably meant, as a hint; "" where none can be guessed."""
    import shlex

    from orchestrator_cli.cli.usage_errors.suggested_line import OF_ONE

    context = click.get_current_context(silent=True)
    if context is None:
        return ""
    reads = context.info_name in OF_ONE
    first, *rest = arguments or ("",)
    named = first.rpartition("/")[2]
    found = next((text for text in rest if _is_selector(split_id_and_path((text,))[0])), None)
    if first.lower() in _NEWEST:
        words = ["@latest", *rest, *([] if reads else ["--yes"])]
    elif found is not None:
        words = [found, first, *(text for text in rest if text is not found)]
    elif _is_selector(named):
        words = [named, *rest]
    elif first == "help":
        words = ["--help"]
    elif reads and _may_be_file(first):
        words = ["@latest", *arguments]
    elif context.info_name == "upload" and first:
        return f"`orchestrator new` prints an ID: `orchestrator upload ID {shlex.join(arguments)}`"
    else:
        return ""
    newest = ", the newest" if words[0] == "@latest" else ""
    return f"try `{context.command_path} {shlex.join(words)}`{newest}"


def split_id_and_path(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """Return the arguments, of which the first may be a place in an execution.

    `ID/path`, the URL of an object and that of a page of `serve` become two arguments: the
    execution, and what of it is meant.
    """
    from orchestrator_cli.core.executions.ids import split_place

    if not arguments:
        return arguments
    execution, path = split_place(arguments[0])
    return (execution, path, *arguments[1:]) if path else (execution, *arguments[1:])


def _drop_path(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    return value if value is None else split_id_and_path((value,))[0]


def _is_selector(text: str) -> bool:
    from orchestrator_cli.core.executions.ids import is_selector

    return is_selector(text)


def _may_be_file(text: str) -> bool:
    from orchestrator_cli.core.executions.placement import log_storage_path

    return not text or log_storage_path(text) is not None or not text.isalnum()


def _may_be_id(text: str) -> bool:
    from orchestrator_cli.core.executions.ids import is_execution_id_prefix

    return text.startswith("@") or is_execution_id_prefix(text.removesuffix("/"))


def is_preset_id(execution_id: str) -> bool:
    """Return True if the execution is the one of the environment, as inside `run`."""
    return (variable(EXECUTION_ID_VARIABLE) or "").upper() == execution_id
