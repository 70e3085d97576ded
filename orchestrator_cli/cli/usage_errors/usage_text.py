"""Word a usage error in one line: click's message, and where a bad value came from."""

from __future__ import annotations

import click
from click.core import ParameterSource

# Where the root context keeps which config file was read.
CONFIG_FILE_KEY = "orchestrator_cli.config_file"


class HintedUsageError(click.UsageError):
    """A usage error with a hint of the line to type instead."""

    def __init__(self, message: str, hint: str, ctx: click.Context | None = None) -> None:
        super().__init__(message, ctx)
        self.hint = hint


def is_of_settings(error: Exception) -> bool:
    """Return True if the line is right, and a variable or the config file is not."""
    return not isinstance(error, click.UsageError) or (
        isinstance(error, click.BadParameter) and _origin(error.ctx, error.param) is not None
    )


def describe_usage_error(error: click.ClickException) -> str:
    """Return the message of a usage error, without a capital and a full stop."""
    if isinstance(error, click.MissingParameter):
        text = _describe_missing(error)
    elif isinstance(error, click.BadParameter):
        text = _describe_bad_value(error)
    elif isinstance(error, click.NoSuchOption):
        near = None if _has_advice(error, error.option_name) else _nearest_option(error)
        text = error.message + (f" Did you mean '{near}'?" if near else "")
    elif isinstance(error, click.NoSuchCommand):
        near = None if _has_advice(error, error.command_name) else nearest_subcommand(error)
        text = error.message + (f" Did you mean '{near}'?" if near else "")
    else:
        text = error.format_message()
    text = " ".join(text.split())
    if text[1:2].islower():
        text = text[0].lower() + text[1:]
    return text.removesuffix(".")


def _has_advice(error: click.UsageError, typed: str) -> bool:
    from orchestrator_cli.cli.usage_errors.command_habits import SUBCOMMAND_ADVICE
    from orchestrator_cli.cli.usage_errors.option_habits import OPTION_ADVICE

    place = (str(error.ctx.info_name if error.ctx is not None else None), typed)
    return place in OPTION_ADVICE or ("*", typed) in OPTION_ADVICE or place in SUBCOMMAND_ADVICE


def nearest_subcommand(error: click.NoSuchCommand) -> str | None:
    """Return the command of a group that was probably meant."""
    from orchestrator_cli.cli.usage_errors.command_habits import SUBCOMMAND_HABITS

    known = getattr(error.ctx.command, "commands", {}) if error.ctx else {}
    meant = SUBCOMMAND_HABITS.get(error.command_name)
    if meant not in known and len(known) == 1:
        meant = next(iter(known))
    return meant if meant in known else next(iter(error.possibilities or ()), None)


def _nearest_option(error: click.NoSuchOption) -> str | None:
    from orchestrator_cli.cli.usage_errors.rewritten_line import nearest_option, options_of

    if error.ctx is None:
        return None
    known = options_of(error.ctx.command, error.ctx.find_root().command)
    return nearest_option(error.option_name, known)


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
