"""`orchestrator show`: the validated metadata."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.options import Example, command, execution_id_argument, json_option
from orchestrator_cli.cli.options.via_options import Via, read_via_option

if TYPE_CHECKING:
    from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata

_LAST_FIELDS = (
    "execution_id",
    "status",
    "liveness",
    "artifact_status",
    "runner_type",
    "bench_id",
    "reservation_id",
    "labels",
    "run",
    "manifest_sha256",
    "schema_version",
)
_KNOWN_FIELDS = {
    *_LAST_FIELDS,
    "result",
    "test_suite",
    "started_at",
    "ended_at",
    "artifact_count",
    "artifact_bytes",
    "artifacts",
    "failures",
    "unfinished_uploads",
    "tree_stored",
}


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

    It begins with what people ask: the result, the suite, when and how long it ran, its files, and
    what could not be stored. The metadata is validated; --json prints it whole, manifest included.
    Times are local on a terminal, and UTC elsewhere. For an execution that is running, `liveness`
    says whether its writer is alive, silent or lost, by how long ago its last sign of life was.
    """
    from orchestrator_cli.cli.output.table import Column, table
    from orchestrator_cli.core.base.text import printable
    from orchestrator_cli.core.live.reading.liveness import with_liveness

    source = app.source(via)
    metadata, liveness = source.read(app.resolve(execution_id, source))
    record = with_liveness(metadata.to_dict(), liveness)
    if as_json:
        app.output.json(record)
        return
    columns = Column("FIELD", width=15, wrap=True, least=8), Column("VALUE", wrap=True, least=26)
    # With a gap of one, a SHA-256 has room beside the longest name in 80 columns.
    with table(app.output, *columns, header=False, gap=1) as shown:
        for name, text in _first_rows(app, metadata, liveness):
            shown.row(name, text, result=str(metadata.result) if name == "result" else None)
        for name in (*_LAST_FIELDS, *sorted(record.keys() - _KNOWN_FIELDS)):
            if name == "liveness" and liveness is None:
                continue
            # A newer version, or something else, may have written fields of any name.
            shown.row(printable(name).replace("_", " "), _text(name, record))


def _first_rows(
    app: App, metadata: ExecutionMetadata, liveness: str | None
) -> Iterator[tuple[str, str]]:
    from orchestrator_cli.cli.output import human_count, human_duration, human_size
    from orchestrator_cli.cli.output.execution_table import result_word
    from orchestrator_cli.core.base.text import printable

    started, ended = metadata.started_at, metadata.ended_at
    yield "result", result_word(metadata, liveness)
    page = app.pages.url_or_warn(metadata.execution_id)
    if page:
        yield "page", page
    yield "suite", printable(metadata.test_suite or "-")
    yield "started", app.output.time(started)
    yield "ended", app.output.time(ended)
    yield "duration", human_duration(ended - started if ended and started else None)
    size = human_size(metadata.artifact_bytes)
    count = human_count(metadata.artifact_count, "file")
    # Until the execution is finished, nobody has counted them.
    yield "files", f"{count}, {size}" if metadata.result else "-"
    failures = [printable(f"{item.path}: {item.error}") for item in metadata.failures]
    yield "failures", "; ".join(failures) or "-"
    for upload in metadata.unfinished_uploads:
        first = printable(upload.paths[0] if upload.paths else "?")
        others = " and more" if upload.more or len(upload.paths) > 1 else ""
        yield "unfinished", f"{first}{others}, since {app.output.time(upload.began_at)}"


def _text(name: str, record: dict[str, Any]) -> str:
    from orchestrator_cli.core.base.text import printable

    value = record.get(name)
    if value is None or value == [] or value == {}:
        return "-"
    if not isinstance(value, dict):
        return printable(value)
    if name != "run":
        return _pairs(value)
    return _run_text(value, "end unknown" if record.get("result") else "running")


def _pairs(value: dict[str, Any]) -> str:
    from orchestrator_cli.core.base.text import printable

    return ", ".join(printable(f"{key}={item}") for key, item in sorted(value.items()))


def _run_text(run: dict[str, Any], without_end: str) -> str:
    import shlex

    from orchestrator_cli.core.base.text import printable

    seconds = run.get("duration_seconds")
    lasted = "" if seconds is None else f" after {seconds:g} s"
    how = f"{run.get('summary') or without_end}{lasted} on {run.get('host')}"
    return printable(f"{how}: {shlex.join(run.get('command') or [])}")
