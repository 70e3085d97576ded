"""`orchestrator finish`: manifest, result, history line."""

from __future__ import annotations

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.options import Example, command, execution_id_argument, json_option


@command(
    examples=(
        Example("after the last upload", "orchestrator finish $ID --result pass"),
        Example("the test could not be run to its end", "orchestrator finish $ID --result error"),
    ),
    exit_codes=(0, 2, 4, 5, 6, 7, 9),
)
@execution_id_argument
@click.option(
    "--result",
    required=True,
    type=click.Choice(["pass", "fail", "error"]),
    help="How the test ended. error: it could not be run to its end.",
)
@json_option
@pass_app
def finish(app: App, execution_id: str, result: str, as_json: bool) -> None:
    """Finish an execution: manifest, result, history line.

    Repeating it is safe; another result than the one recorded is a conflict. Later uploads extend
    the manifest.
    """
    from orchestrator_cli.cli.output import human_count, human_size
    from orchestrator_cli.core.base.text import printable
    from orchestrator_cli.core.executions.metadata import Result
    from orchestrator_cli.core.executions.repository import (
        finish_execution,
        list_incomplete_uploads,
    )

    store = app.store()
    resolved = app.resolve_id(execution_id, store)
    metadata = finish_execution(store, resolved, Result(result), app.now())
    for path in list_incomplete_uploads(store, resolved):
        app.output.warn(f"the upload of {printable(path)} is unfinished; it is not stored yet")
    if as_json:
        app.output.json(metadata.to_dict())
        return
    count = human_count(metadata.artifact_count, "file")
    size = human_size(metadata.artifact_bytes)
    app.output.note(f"finished {resolved}: {metadata.result}, {count}, {size}")
