"""What a help, or the text of a page, says in figures of its own is what the code does."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import click
import pytest

from orchestrator_cli.api import problems
from orchestrator_cli.cli.configuration.environment import VIA_COMMANDS
from orchestrator_cli.cli.main import COMMANDS, cli
from orchestrator_cli.core.base.quantities import parse_duration
from orchestrator_cli.core.base.retry import PATIENCE_SECONDS
from orchestrator_cli.core.efs.rules import SyncRules

API = Path(__file__).parents[2] / "orchestrator_cli/docgen/text/api.md"


def option(line: str, name: str) -> click.Option:
    context = click.Context(cli, info_name="orchestrator")
    command: click.Command = cli
    for word in line.split():
        assert isinstance(command, click.Group)
        found = command.get_command(context, word)
        assert found is not None
        command = found
    (option,) = (param for param in command.params if param.name == name)
    assert isinstance(option, click.Option)
    return option


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("", "patience", timedelta(seconds=PATIENCE_SECONDS)),
        ("sync-efs", "settle", SyncRules().settle),
        ("sync-efs", "log_settle", SyncRules().log_settle),
        ("sync-efs", "retain", SyncRules().retain),
    ],
)
def test_a_default_of_an_option_is_that_of_the_code(line: str, name: str, value: timedelta) -> None:
    found = option(line, name)
    said = re.search(r"\[default: (\S+)\]", found.help or "")
    assert parse_duration(said[1] if said else str(found.default)) == value


def test_the_page_of_the_api_gives_each_kind_of_error_its_status() -> None:
    section = API.read_text(encoding="utf-8").partition("## Errors")[2].partition("\n## ")[0]
    said: dict[str, set[str]] = {}
    for line in re.findall(r"^(\d{3}.*)$", section, re.MULTILINE):
        for kind in re.findall(r"`([a-z-]+)`", line):
            said.setdefault(kind, set()).update(re.findall(r"\d{3}", line))
    told = {kind: {str(status)} for kind, status in problems._STATUSES.items()}
    del told["unexpected"]
    assert {kind: said.get(kind) for kind in told} == told
    assert said.keys() <= problems._TITLES.keys()


def test_no_help_names_a_fact_that_is_none() -> None:
    context = click.Context(cli, info_name="orchestrator")
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        for one in (command, *getattr(command, "commands", {}).values()):
            text = one.get_help(click.Context(one, info_name=name, parent=context))
            assert not re.search(r"\$\{?[a-z_]+", text), name


def test_the_commands_with_via_are_those_that_an_error_names() -> None:
    context = click.Context(cli, info_name="orchestrator")
    commands = {name: cli.get_command(context, name) for name in COMMANDS}
    with_via = {
        name
        for name, command in commands.items()
        if any(param.name == "via" for param in (command.params if command else ()))
    }
    assert set(re.split(", | and ", VIA_COMMANDS)) == with_via
