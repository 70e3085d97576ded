"""The config file: defaults for the global options, and a table for each command."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import date
from typing import Any

from orchestrator_cli.cli.configuration.environment import config_home
from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.text import printable

DEFAULT_CONFIG = "orchestrator/config.toml"

OptionNames = Callable[[str], dict[str, str] | None]


def load_config(path: str | None, option_names: OptionNames) -> dict[str, Any]:
    """Read the config file as click's default map: global options, and a table per command.

    `option_names` gives click's name for each option of a command as it is typed, those of the
    program for "", and None where there is no such command; a command of a group is named by both
    words, and its table is inside the group's. A file that was named must exist.
    Raises UsageError naming what is wrong.
    """
    file = config_file(path)
    # A home that cannot be looked into is as good as none.
    if path is None and not os.path.isfile(file):
        return {}
    import tomllib

    from orchestrator_cli.core.files.small_file import read_small_file

    text, _ = read_small_file(file)
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{printable(file)} is not valid TOML: {error}") from error
    try:
        return _checked(content, "", option_names)
    except UsageError as error:
        raise UsageError(f"{printable(file)}: {error.message}") from None


def config_file(path: str | None) -> str:
    """Return the file that is read: the one that was named, or the one of this user."""
    if path is not None:
        return path
    return os.path.join(config_home(), DEFAULT_CONFIG)


def _checked(table: dict[str, Any], command: str, option_names: OptionNames) -> dict[str, Any]:
    known = option_names(command)
    if known is None:
        raise UsageError(f"there is no command {printable(command)!r}")
    defaults: dict[str, Any] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        inner = f"{command} {key}".strip()
        if isinstance(value, dict) and (not command or option_names(inner) is not None):
            defaults[key] = _checked(value, inner, option_names)
        elif name in known and not isinstance(value, dict):
            # TOML has dates; an option takes text.
            defaults[known[name]] = value.isoformat() if isinstance(value, date) else value
        else:
            where = f"[{command.replace(' ', '.')}] has no" if command else "there is no"
            raise UsageError(f"{where} option {printable(key)!r}")
    return defaults
