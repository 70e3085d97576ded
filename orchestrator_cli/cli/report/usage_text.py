"""What was typed wrongly, in one line: click's words, and where a bad value came from."""

from __future__ import annotations

from collections.abc import Sequence

import click
from click.core import ParameterSource

# Where the root context keeps which config file was read.
CONFIG_FILE_KEY = "orchestrator_cli.config_file"


class HintedUsageError(click.UsageError):
    """A usage error that knows what to type instead."""

    def __init__(self, message: str, hint: str, ctx: click.Context | None = None) -> None:
        super().__init__(message, ctx)
        self.hint = hint


def describe_usage_error(error: click.ClickException) -> str:
    """Return what is wrong, as this program says it: without a capital and a full stop."""
    if isinstance(error, click.MissingParameter):
        text = _describe_missing(error)
    elif isinstance(error, click.BadParameter):
        text = _describe_bad_value(error)
    elif isinstance(error, click.NoSuchOption):
        near = None if _advice(error, error.option_name) else _nearest_option(error)
        text = error.message + (f" Did you mean '{near}'?" if near else "")
    elif isinstance(error, click.NoSuchCommand):
        near = None if _advice(error, error.command_name) else _nearest_subcommand(error)
        text = error.message + (f" Did you mean '{near}'?" if near else "")
    else:
        text = error.format_message()
    text = " ".join(text.split())
    if text[1:2].islower():
        text = text[0].lower() + text[1:]
    return text.removesuffix(".")


def usage_hint(error: click.ClickException, arguments: Sequence[str]) -> str:
    """Return what to type, or the command that shows what can be typed."""
    if isinstance(error, HintedUsageError) and error.hint:
        return error.hint
    if isinstance(error, click.NoSuchOption):
        advice = _advice(error, error.option_name) or _moved_behind_command(error, arguments)
        if advice:
            return advice
    if isinstance(error, click.NoSuchCommand):
        advice = _advice(error, error.command_name)
        if advice:
            return advice
    context = error.ctx if isinstance(error, click.UsageError) else None
    if isinstance(error, click.MissingParameter) and isinstance(error.param, click.Option):
        # `finish ID pass`: the value is there, without its option.
        value = next((word for word in arguments if _is_choice(error.param, word)), None)
        if value is not None:
            return f"write {error.param.opts[0]} {value}"
    return f"see `{context.command_path if context else 'orchestrator'} --help`"


def _is_choice(option: click.Option, word: str) -> bool:
    return isinstance(option.type, click.Choice) and word in option.type.choices


def _advice(error: click.UsageError, typed: str) -> str | None:
    from orchestrator_cli.cli.report.habits import OPTION_ADVICE, SUBCOMMAND_ADVICE

    place = (str(error.ctx.info_name if error.ctx is not None else None), typed)
    return OPTION_ADVICE.get(place) or SUBCOMMAND_ADVICE.get(place)


def _moved_behind_command(error: click.NoSuchOption, arguments: Sequence[str]) -> str | None:
    """Return the hint for an option of a command that was typed before it."""
    from orchestrator_cli.cli.report.habits import option_for

    root = error.ctx.command if error.ctx is not None and error.ctx.parent is None else None
    if not isinstance(root, click.Group) or error.ctx is None:
        return None
    for name in arguments:
        command = root.get_command(error.ctx, name)
        if command is not None:
            known = {text for param in command.params for text in param.opts}
            typed = error.option_name if error.option_name in known else None
            line = typed or option_for(error.option_name, known)
            return f"it follows the command: `orchestrator {name} {line}`" if line else None
    return None


def _nearest_subcommand(error: click.NoSuchCommand) -> str | None:
    from orchestrator_cli.cli.report.habits import SUBCOMMAND_HABITS

    known = getattr(error.ctx.command, "commands", {}) if error.ctx else {}
    meant = SUBCOMMAND_HABITS.get(error.command_name)
    if meant not in known and len(known) == 1 and error.command_name in SUBCOMMAND_HABITS:
        meant = next(iter(known))
    return meant if meant in known else next(iter(error.possibilities or ()), None)


def _nearest_option(error: click.NoSuchOption) -> str | None:
    import difflib

    from orchestrator_cli.cli.report.habits import option_for

    params = error.ctx.command.params if error.ctx else []
    known = {text for param in params for text in param.opts}
    if error.ctx is not None and error.ctx.parent is not None:
        known |= {text for param in error.ctx.find_root().command.params for text in param.opts}
    meant = option_for(error.option_name, known)
    # Click's own finding goes further than what anybody mistypes.
    near = difflib.get_close_matches(error.option_name, error.possibilities or (), 1, 0.75)
    return meant or next(iter(near), None)


def _describe_missing(error: click.MissingParameter) -> str:
    param = error.param
    if isinstance(param, click.Option) and isinstance(param.type, click.Choice):
        *most, last = map(str, param.type.choices)
        return f"missing option '{param.opts[0]}': {', '.join(most)} or {last}"
    hint = f", which may be set by {param.envvar}" if param is not None and param.envvar else ""
    return error.format_message().removesuffix(".") + hint


def _describe_bad_value(error: click.BadParameter) -> str:
    origin = _origin(error.ctx, error.param)
    return f"{origin}: {error.message}" if origin else error.format_message()


def _origin(context: click.Context | None, param: click.Parameter | None) -> str | None:
    """Name the variable or the line of the config file that a value came from."""
    if context is None or param is None or param.name is None:
        return None
    source = context.get_parameter_source(param.name)
    if source is ParameterSource.ENVIRONMENT:
        return variable_of(context, param)
    if source is ParameterSource.DEFAULT_MAP:
        words = context.command_path.split()[1:]
        table = f"[{'.'.join(words)}] " if words else ""
        return f"{context.find_root().meta.get(CONFIG_FILE_KEY)}: {table}{option_name(param)}"
    return None


def variable_of(context: click.Context, param: click.Parameter) -> str:
    """Return the variable that a parameter may be set by."""
    if isinstance(param.envvar, str):
        return param.envvar
    return f"{context.auto_envvar_prefix}_{param.name}".upper()


def option_name(param: click.Parameter) -> str:
    """Return an option's name as the config file has it."""
    return max(param.opts, key=len).lstrip("-")
