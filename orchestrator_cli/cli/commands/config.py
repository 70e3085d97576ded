"""`orchestrator config`: the settings in use, and where each comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import click
from click.core import ParameterSource

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.configuration.aws_settings import aws_setting, credentials_source
from orchestrator_cli.cli.configuration.environment import aws_variable, own_variables
from orchestrator_cli.cli.options import CommandGroup, Example, command, json_option
from orchestrator_cli.cli.usage_errors.usage_text import CONFIG_FILE_KEY, variable_of
from orchestrator_cli.core.base.command_secrets import MASK
from orchestrator_cli.core.base.quantities import format_duration
from orchestrator_cli.core.base.retry import PATIENCE_SECONDS
from orchestrator_cli.core.base.text import printable, without_secrets

# The settings that AWS's own variables and files may decide.
_AWS_VARIABLES = {
    "profile": ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"),
    "region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
    "endpoint-url": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
}


@dataclass(frozen=True, slots=True)
class _Setting:
    name: str
    value: str | None
    origin: str


@click.group(
    cls=CommandGroup,
    examples=(Example("which bucket, and who says so", "orchestrator config show"),),
    exit_codes=(0, 2),
)
def config() -> None:
    """Show the settings in use.

    An option takes precedence over its variable, that over the config file, and that over the
    default.
    """


@command(
    examples=(
        Example("which bucket, and who says so", "orchestrator config show"),
        Example("for a script", "orchestrator config show --json | jq -r '.bucket.value'"),
    ),
    exit_codes=(0, 2, 5),
)
@json_option
@click.pass_context
@pass_app
def show(app: App, ctx: click.Context, as_json: bool) -> None:
    """Show each setting with its value and where that comes from.

    These are the global options, what AWS's variables and profile decide in their place, where the
    credentials come from, and the options of single commands that are set by a variable or in the
    config file. No request is sent, and no secret is shown.
    """
    from orchestrator_cli.cli.output.table import Column, table

    settings = list(_settings(app, ctx.find_root()))
    if as_json:
        app.output.json({one.name: {"value": one.value, "origin": one.origin} for one in settings})
        return
    value = Column("VALUE", wrap=True, least=12)
    with table(app.output, Column("SETTING"), value, Column("FROM", wrap=True, least=8)) as shown:
        for one in settings:
            shown.row(printable(one.name), printable(one.value or "-"), printable(one.origin))


def _settings(app: App, root: click.Context) -> Iterator[_Setting]:
    file = str(root.meta[CONFIG_FILE_KEY])
    for param in root.command.params:
        if isinstance(param, click.Option) and param.name not in {"version", "config"}:
            yield _global_setting(app, root, param, file)
    yield _Setting("config", file, _config_origin(root))
    yield _Setting("credentials", credentials_source(app.settings), "AWS")
    known = {variable_of(root, param) for param in root.command.params}
    for name, text in own_variables().items():
        if name not in known:
            yield _Setting(name, MASK if "TOKEN" in name else without_secrets(text), "variable")
    yield from _tables(root.default_map or {}, file)


def _global_setting(app: App, root: click.Context, param: click.Option, file: str) -> _Setting:
    name = max(param.opts, key=len).lstrip("-")
    value = root.params.get(str(param.name))
    source = root.get_parameter_source(str(param.name))
    if source is ParameterSource.COMMANDLINE:
        return _Setting(name, _text(value), f"--{name}")
    if source is ParameterSource.ENVIRONMENT:
        return _Setting(name, _text(value), variable_of(root, param))
    if source is ParameterSource.DEFAULT_MAP:
        return _Setting(name, _text(value), file)
    variable = aws_variable(_AWS_VARIABLES.get(name, ()))
    if variable is not None:
        return _Setting(name, _text(variable[1]), variable[0])
    if name in {"region", "endpoint-url"}:
        return _Setting(
            name, _text(aws_setting(app.settings, name)), "AWS configuration or default"
        )
    if name == "patience":
        value = timedelta(seconds=PATIENCE_SECONDS)
    return _Setting(name, _text(value), "default")


def _config_origin(root: click.Context) -> str:
    source = root.get_parameter_source("config")
    origins = {
        ParameterSource.COMMANDLINE: "--config",
        ParameterSource.ENVIRONMENT: "ORCHESTRATOR_CONFIG",
    }
    return origins.get(source, "default") if source else "default"


def _tables(table: Mapping[str, Any], file: str, where: str = "") -> Iterator[_Setting]:
    """Yield the settings of single commands in the config file."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _tables(value, file, f"{where}.{name}".lstrip("."))
        elif where:
            yield _Setting(f"[{where}] {name.replace('_', '-')}", _text(value), file)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, tuple):
        # Tags are the only setting of several values.
        return ", ".join("=".join(pair) for pair in value) or None
    return without_secrets(str(value))


config.add_command(show)
