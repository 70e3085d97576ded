"""`orchestrator index`: the index of lines and errors of logs."""

from __future__ import annotations

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.options import Example, command, execution_id_argument, json_option


@command(
    examples=(
        Example("after an upload by another tool", "orchestrator index $ID"),
        Example("the logs of the newest execution", "orchestrator index @latest"),
    ),
    exit_codes=(0, 2, 4, 5, 8, 9),
    exit_meanings={4: "no such execution or bucket"},
)
@execution_id_argument
@json_option
@pass_app
def index(app: App, execution_id: str, as_json: bool) -> None:
    """Index the lines and errors of an execution's logs.

    Commands that store a log over $archive_over index it by themselves. This command makes the
    index again, for logs that came from elsewhere; it reads each log once. The index is stored
    below derived/; with it, the pages of `serve` find a line or an error of a large log at once.
    The log's last $tail are kept there too, and can be read where the log itself is archived.
    Everything works without them; repeating the command is safe.
    """
    from orchestrator_cli.cli.output import human_count, human_size
    from orchestrator_cli.core.transfer.download.log_index import index_execution

    store = app.store()
    for log in index_execution(store, app.resolve_id(execution_id, store)):
        if as_json:
            app.output.record(
                {
                    "log": log.name,
                    "size_bytes": log.size_bytes,
                    "line_count": log.line_count,
                    "error_count": log.error_count,
                }
            )
            continue
        errors = human_count(log.error_count, "line") + " with errors"
        lines = human_count(log.line_count, "line")
        app.messages.note(f"{log.name}: {human_size(log.size_bytes)}, {lines}, {errors}")
