"""Suggest the line to type in place of a wrong one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import click

from orchestrator_cli.cli.usage_errors.command_habits import SUBCOMMAND_ADVICE
from orchestrator_cli.cli.usage_errors.option_habits import OPTION_ADVICE, VALUE_HABITS
from orchestrator_cli.cli.usage_errors.rewritten_line import (
    options_of,
    rewrite_options,
    takes_operands,
    try_line,
    without_operands,
)
from orchestrator_cli.cli.usage_errors.suggested_line import OF_ONE
from orchestrator_cli.cli.usage_errors.usage_text import HintedUsageError, nearest_subcommand
from orchestrator_cli.core.executions.ids import LATEST

# As many as two lines of a terminal have room for.
_MOST_NAMES = 12
_OPTION = re.compile(r"(?<![\w-])--?[a-zA-Z][\w-]*")


def usage_hint(error: click.ClickException, arguments: Sequence[str]) -> str:
    """Return the line to type, or the command that shows how to use it."""
    if isinstance(error, HintedUsageError) and error.hint:
        return error.hint
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None:
        return "see `orchestrator --help`"
    hint = None
    if isinstance(error, click.NoSuchOption):
        hint = _for_option(error.option_name, context, arguments)
    elif isinstance(error, click.NoSuchCommand):
        hint = _for_subcommand(error, context, arguments)
    elif isinstance(error, click.BadOptionUsage):
        hint = _for_value(error, context, arguments)
    elif isinstance(error, click.MissingParameter):
        hint = _for_missing(error, context, arguments)
    elif isinstance(error, click.BadParameter):
        hint = _with_known_value(error.param, arguments)
    return hint or _example(error, context) or f"see `{context.command_path} --help`"


def _place(context: click.Context) -> str:
    return str(context.info_name)


def _for_option(typed: str, context: click.Context, arguments: Sequence[str]) -> str | None:
    moved = _moved_after_command(context, arguments) if context.parent is None else None
    advice = OPTION_ADVICE.get((_place(context), typed)) or moved or OPTION_ADVICE.get(("*", typed))
    if advice is not None:
        return advice
    rewritten = _rewritten(context, arguments)
    if rewritten is not None:
        return try_line(rewritten)
    names = _names_of_options(context)
    return f"it has {names}; see `{context.command_path} --help`" if names else None


def _rewritten(context: click.Context, arguments: Sequence[str]) -> list[str] | None:
    """Return the line with known options; None where that changes nothing."""
    known = options_of(context.command, context.find_root().command)
    rewritten = rewrite_options(arguments, known)
    return rewritten if rewritten != list(arguments) else None


def _names_of_options(context: click.Context) -> str:
    options = [param for param in context.command.params if isinstance(param, click.Option)]
    names = [max(one.opts, key=len) for one in options if not one.hidden]
    return ", ".join([*names[:_MOST_NAMES], *(["…"] if names[_MOST_NAMES:] else [])])


def _moved_after_command(context: click.Context, arguments: Sequence[str]) -> str | None:
    """Return the hint for an option of a command that was typed before it."""
    root = context.command
    if not isinstance(root, click.Group):
        return None
    for number, name in enumerate(arguments):
        command = root.get_command(context, name)
        if command is not None:
            known = options_of(command, root)
            before = rewrite_options(arguments[:number], known)
            own = {text for param in command.params for text in param.opts}
            if own.isdisjoint(before):
                return None
            return try_line([name, *before, *arguments[number + 1 :]])
    return None


def _for_subcommand(
    error: click.NoSuchCommand, context: click.Context, arguments: Sequence[str]
) -> str | None:
    advice = SUBCOMMAND_ADVICE.get((_place(context), error.command_name))
    if advice is not None:
        return advice
    near = nearest_subcommand(error)
    group = context.command
    names = getattr(group, "commands", {})
    if near is None or not isinstance(group, click.Group) or error.command_name not in arguments:
        return f"the commands are {', '.join(names)}" if names else None
    command = group.get_command(context, near)
    at = list(arguments).index(error.command_name)
    rest = list(arguments[at + 1 :])
    if command is not None and not takes_operands(command):
        rest = without_operands(rest, command)
    return try_line([*arguments[:at], near, *rest])


def _for_value(
    error: click.BadOptionUsage, context: click.Context, arguments: Sequence[str]
) -> str | None:
    """Return the hint for an option without its value, or with one where it takes none."""
    known = options_of(context.command, context.find_root().command)
    option = known.get(error.option_name)
    if option is None:
        return None
    if option.is_flag:
        return try_line(_rewritten(context, arguments) or arguments)
    return _with_metavar(option, context)


def _with_metavar(option: click.Option, context: click.Context) -> str:
    return f"write {max(option.opts, key=len)} {option.make_metavar(context).strip('[]')}"


def _for_missing(
    error: click.MissingParameter, context: click.Context, arguments: Sequence[str]
) -> str | None:
    if isinstance(error.param, click.Option):
        # `finish ID pass`: the value is there, without its option.
        meant = {word: VALUE_HABITS.get(word, word) for word in arguments}
        named = next((word for word in meant if _is_choice(error.param, meant[word])), None)
        if named is not None:
            return f"write {error.param.opts[0]} {meant[named]}"
    elif (
        error.param is not None and error.param.name == "execution_id" and _place(context) in OF_ONE
    ):
        return f"{try_line([*arguments, LATEST])}, the newest"
    return None


def _is_choice(option: click.Option, word: str) -> bool:
    return isinstance(option.type, click.Choice) and word in option.type.choices


def _with_known_value(param: click.Parameter | None, arguments: Sequence[str]) -> str | None:
    """Return the line with the word for a result that this program has."""
    if not isinstance(param, click.Option):
        return None
    known = [
        (at, sign, VALUE_HABITS.get(value.lower(), ""))
        for at, (name, sign, value) in enumerate(_with_values(arguments))
        if name in param.opts and _is_choice(param, VALUE_HABITS.get(value.lower(), ""))
    ]
    words = list(arguments)
    for at, sign, value in known:
        words[at if sign else at + 1] = f"{param.opts[0]}={value}" if sign else value
    return try_line(words) if known else None


def _with_values(words: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Yield each word as an option, the sign in it, and the value in it or after it."""
    for word, after in zip(words, [*words[1:], ""], strict=True):
        name, sign, value = word.partition("=")
        yield name, sign, value if sign else after


def _example(error: click.ClickException, context: click.Context) -> str | None:
    """Return the example of the command's help that has the option of the error."""
    param = error.param if isinstance(error, click.BadParameter) else None
    named = {*_OPTION.findall(error.message), *(param.opts if param is not None else ())}
    examples = [one.command for one in getattr(context.command, "examples", ())]
    best = max(examples, key=lambda line: len(named.intersection(line.split())), default="")
    is_operand = not named or isinstance(param, click.Argument)
    if not best or not (is_operand or named.intersection(best.split())):
        return _with_metavar(param, context) if isinstance(param, click.Option) else None
    return f"such as `{best}`; see `{context.command_path} --help`"
