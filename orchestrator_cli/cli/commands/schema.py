"""`orchestrator schema`: the shape of what a command prints with --json."""

from __future__ import annotations

import json

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.options import Example, command


@command(
    examples=(
        Example("the files of an execution", "orchestrator schema ls"),
        Example("a command of a group", "orchestrator schema lifecycle plan"),
        Example(
            "check what a script is given",
            "orchestrator schema show > show.json && orchestrator show $ID --json "
            "| check-jsonschema --schemafile show.json -",
        ),
    ),
    exit_codes=(0, 2),
)
@click.argument("words", metavar="COMMAND…", nargs=-1, required=True)
@pass_app
def schema(app: App, words: tuple[str, ...]) -> None:
    """Print the JSON Schema of what a command prints with --json.

    Where a command prints an object a line, the schema is that of each line. Fields are added in
    later versions, and none is taken away. orchestrator-json(7) has all of them.
    """
    from orchestrator_cli.cli.schemas.commands import OUTPUTS, render_schema
    from orchestrator_cli.core.base.errors import UsageError

    name = " ".join(words)
    if name not in OUTPUTS:
        known = ", ".join(OUTPUTS)
        raise UsageError(f"{name!r} is not a command with --json", hint=f"these have: {known}")
    app.output.line(json.dumps(render_schema(name), indent=2))
