"""`orchestrator new`: make an execution."""

from __future__ import annotations

from typing import Any

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.options import Example, command, json_option
from orchestrator_cli.cli.options.declaration_options import declaration_options


@command(
    examples=(
        Example("keep the id for the commands that follow", "ID=$(orchestrator new --suite smoke)"),
        Example(
            "an on-prem bench, with labels",
            "orchestrator new --runner-type onprem --bench-id b7 --label branch=main",
        ),
    ),
    exit_codes=(0, 2, 4, 5, 6, 9),
    exit_meanings={
        4: "no such bucket",
        6: "conflict: the execution has other properties; nothing was changed",
    },
)
@click.option("--id", "execution_id", metavar="ULID", help="Use this id instead of a new one.")
@declaration_options
@json_option
@pass_app
def new(
    app: App,
    execution_id: str | None,
    declared: dict[str, Any],
    as_json: bool,
) -> None:
    """Make an execution and print its id.

    Writes metadata.json and prints the id, a ULID, and nothing else. With --id, repeating the
    command is safe: an execution that has these properties already is left as it is, and one that
    has others is a conflict.
    """
    from orchestrator_cli.core.executions.record.metadata import build_metadata
    from orchestrator_cli.core.executions.record.repository import create_execution

    metadata = build_metadata(
        execution_id=execution_id or app.new_execution_id(), started_at=app.now(), **declared
    )
    created = create_execution(app.store(), metadata)
    if as_json:
        app.output.json(created.to_dict())
    else:
        app.output.line(created.execution_id)
