"""How an option is named in the config file and as a variable: as people type it."""

from __future__ import annotations

import click


def option_names_of(command: click.Command) -> dict[str, str]:
    """Return click's name of every option by the name that people type, `-` written as `_`."""
    return {
        spelling.removeprefix("--").replace("-", "_"): str(param.name)
        for param in command.params
        if isinstance(param, click.Option) and not param.hidden
        for spelling in param.opts
        if spelling.startswith("--")
    }


def name_variables(command_name: str, command: click.Command) -> None:
    """Derive the variable of an option from the name that people type, not from click's name."""
    spelled = {name: typed for typed, name in option_names_of(command).items()}
    for param in command.params:
        typed = spelled.get(str(param.name), param.name)
        if typed != param.name and param.envvar is None:
            param.envvar = f"ORCHESTRATOR_{command_name}_{typed}".replace("-", "_").upper()
        if isinstance(param, click.Option) and param.multiple:
            _split_by_line(param)
    for name, inner in getattr(command, "commands", {}).items():
        name_variables(f"{command_name}_{name}", inner)


def _split_by_line(option: click.Option) -> None:
    """Let the variable of an option that can be repeated have a value a line."""
    import copy

    # A word of a choice has no space; a suite, a label or a pattern may.
    if not isinstance(option.type, click.Choice):
        option.type = copy.copy(option.type)
        option.type.envvar_list_splitter = "\n"  # type: ignore[misc]
