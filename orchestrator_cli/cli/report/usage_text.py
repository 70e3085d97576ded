"""What was typed wrongly, in one line: click's words, and where a bad value came from."""

from __future__ import annotations

import click
from click.core import ParameterSource

from orchestrator_cli.cli.report.habits import option_for

# Where the root context keeps which config file was read.
CONFIG_FILE_KEY = "orchestrator_cli.config_file"


def describe_usage_error(error: click.ClickException) -> str:
    """Return what is wrong, as this program says it: without a capital and a full stop."""
    if isinstance(error, click.MissingParameter):
        text = _describe_missing(error)
    elif isinstance(error, click.BadParameter):
        text = _describe_bad_value(error)
    elif isinstance(error, click.NoSuchOption):
        near = _nearest_option(error)
        text = error.message + (f" Did you mean '{near}'?" if near else "")
    else:
        text = error.format_message()
    text = " ".join(text.split())
    if text[1:2].islower():
        text = text[0].lower() + text[1:]
    return text.removesuffix(".")


def help_command(error: click.ClickException) -> str:
    """Return the command that shows what can be typed."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"{context.command_path if context else 'orchestrator'} --help"


def _nearest_option(error: click.NoSuchOption) -> str | None:
    import difflib

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
