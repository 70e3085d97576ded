"""`orchestrator show`: the validated metadata."""

from __future__ import annotations

from typing import Any

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.options import Example, command, execution_id_argument, json_option
from orchestrator_cli.cli.options.via_options import Via, read_via_option


@command(
    examples=(
        Example("the newest execution", "orchestrator show @latest"),
        Example("one field, in a script", "orchestrator show --json $ID | jq -r .result"),
    ),
    exit_codes=(0, 2, 4, 5, 7, 9),
    exit_meanings={
        4: "no such execution or bucket",
        7: "integrity: metadata.json is not valid",
    },
)
@execution_id_argument
@read_via_option
@json_option
@pass_app
def show(app: App, execution_id: str, via: Via | None, as_json: bool) -> None:
    """Show the metadata of an execution.

    The metadata is validated; --json prints it whole, manifest included. Times are local on a
    terminal, and UTC elsewhere.
    """
    from orchestrator_cli.core.base.text import printable

    source = app.source(via)
    metadata = source.read(app.resolve(execution_id, source))
    record = metadata.to_dict()
    if as_json:
        app.output.json(record)
        return
    if app.output.is_terminal:
        record["started_at"] = app.output.time(metadata.started_at)
        record["ended_at"] = app.output.time(metadata.ended_at)
    for name, value in record.items():
        # A newer version, or something else, may have written fields of any name.
        app.output.line(f"{printable(name).replace('_', ' '):<16}  {_text(name, value)}")


def _text(name: str, value: Any) -> str:
    from orchestrator_cli.cli.output import human_size
    from orchestrator_cli.core.base.text import printable

    if value is None or value == [] or value == {}:
        return "-"
    if name == "artifacts":
        return f"{len(value):,} (orchestrator ls ID)"
    if name == "artifact_bytes":
        return f"{value:,} ({human_size(value)})"
    if name == "failures":
        return "; ".join(printable(f"{item['path']}: {item['error']}") for item in value)
    if isinstance(value, dict):
        return (
            _run_text(value)
            if name == "run"
            else ", ".join(printable(f"{key}={item}") for key, item in sorted(value.items()))
        )
    return printable(value)


def _pairs(value: dict[str, Any]) -> str:
    from orchestrator_cli.core.base.text import printable

    return ", ".join(printable(f"{key}={item}") for key, item in sorted(value.items()))


def _run_text(run: dict[str, Any]) -> str:
    import shlex

    from orchestrator_cli.core.base.text import printable

    seconds = run.get("duration_seconds")
    lasted = "" if seconds is None else f" after {seconds:g} s"
    how = f"{run.get('summary') or 'running'}{lasted} on {run.get('host')}"
    return printable(f"{how}: {shlex.join(run.get('command') or [])}")
