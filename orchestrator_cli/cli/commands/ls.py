"""`orchestrator ls`: executions in a time window, or one execution's files."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.options import (
    LABEL,
    Example,
    WholeNumber,
    command,
    complete_execution_id,
    json_option,
    window_options,
)
from orchestrator_cli.cli.options.via_options import Via, read_via_option

if TYPE_CHECKING:
    from orchestrator_cli.cli.output.execution_table import ExecutionTable
    from orchestrator_cli.core.base.errors import OrchestratorError
    from orchestrator_cli.core.executions.filters import ExecutionFilter
    from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata
    from orchestrator_cli.core.s3.types import ObjectSummary

_DEFAULT_WINDOW = timedelta(days=1)
# Of a few executions nobody knows when they began.
_LIMITED_WINDOW = timedelta(days=366)
_FILE_WIDTHS = (-10, 20, 0)
_FILTERS = (
    click.option(
        "--result",
        "results",
        type=click.Choice(["pass", "fail", "error"]),
        multiple=True,
        help="Only executions with this result.",
    ),
    click.option("--failed", is_flag=True, help="Only executions with result fail or error."),
    click.option(
        "--suite", "suites", metavar="S", multiple=True, help="Only executions of this test suite."
    ),
    click.option(
        "--label",
        "labels",
        type=LABEL,
        metavar="K=V",
        multiple=True,
        help="Only executions with this label.",
    ),
    click.option(
        "--bench", "bench_ids", metavar="B", multiple=True, help="Only executions of this bench."
    ),
    click.option(
        "--runner-type",
        "runner_types",
        type=click.Choice(["ec2", "eks", "onprem"]),
        multiple=True,
        help="Only executions on this kind of runner.",
    ),
    click.option(
        "--reservation",
        "reservation_ids",
        metavar="R",
        multiple=True,
        help="Only executions of this reservation.",
    ),
    click.option(
        "--artifact-status",
        "artifact_statuses",
        type=click.Choice(["pending", "complete", "artifact_error"]),
        multiple=True,
        help="Only executions with this artifact status.",
    ),
)


def _filter_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose executions; the function is given them as `wanted`."""

    @functools.wraps(function)
    def with_filter(*args: Any, **given: Any) -> Any:
        from orchestrator_cli.core.executions.filters import ExecutionFilter, parse_labels

        failed = {"fail", "error"} if given.pop("failed") else set()
        wanted = ExecutionFilter(
            results=frozenset({*given.pop("results"), *failed}),
            labels=parse_labels("=".join(label) for label in given.pop("labels")),
            **{
                name: frozenset(given.pop(name))
                for name in (
                    "suites",
                    "bench_ids",
                    "runner_types",
                    "reservation_ids",
                    "artifact_statuses",
                )
            },
        )
        return function(*args, wanted=wanted, **given)

    for option in reversed(_FILTERS):
        with_filter = option(with_filter)
    return with_filter


@command(
    examples=(
        Example("what ran today and yesterday", "orchestrator ls --since yesterday"),
        Example("last night's failures", "orchestrator ls --since 12h --failed --suite smoke"),
        Example("the last five of a bench", "orchestrator ls -n 5 --bench hil-07"),
        Example("the files of the newest execution", "orchestrator ls @latest"),
        Example("any file name, safely, in a script", "orchestrator ls -0 $ID | xargs -0 -n1 echo"),
    ),
    exit_codes=(0, 2, 4, 5, 9),
    exit_meanings={
        4: "no such execution or bucket",
    },
)
@click.argument(
    "execution_id", metavar="[ID]", required=False, shell_complete=complete_execution_id
)
@window_options("1d ago; with -n, a year")
@click.option(
    "-n", "--limit", type=WholeNumber(min=1), metavar="N", help="List at most the newest N."
)
@_filter_options
@click.option(
    "-0", "--null", is_flag=True, help="Print only ids or paths, each followed by a NUL byte."
)
@read_via_option
@json_option
@pass_app
def ls(
    app: App,
    execution_id: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int | None,
    wanted: ExecutionFilter,
    null: bool,
    via: Via | None,
    as_json: bool,
) -> None:
    """List executions, the newest first, or the files of one.

    Without ID, lists the executions that began in the time window; how long that takes depends on
    the window, not on how many executions there are in all. With ID, lists its files. An option
    that is given several times matches any of its values; of labels, all must be there. With
    --json, each line is one object.

    Times without a zone are local on a terminal, in what is typed and in what is shown; where
    standard output is a pipe or a file, and in JSON, they are UTC.
    """
    from orchestrator_cli.core.transfer.download.source import ExecutionWindow

    if null and as_json:
        raise click.UsageError("--null and --json exclude each other.")
    if execution_id:
        if since or until or limit or not wanted.takes_everything:
            raise click.UsageError("A time window, a limit and filters go without ID.")
        _list_files(app, execution_id, via, null, as_json)
        return
    since = since or app.now() - (_LIMITED_WINDOW if limit else _DEFAULT_WINDOW)
    if until is not None and until < since:
        raise click.UsageError("--until is before --since.")
    window = ExecutionWindow(since, until, limit, wanted, app.now())
    if not _list_executions(app, app.source(via).select(window), limit, null, as_json):
        app.output.note("no such executions in this time window; --since widens it")


def _list_executions(
    app: App,
    selected: Iterator[tuple[str, ExecutionMetadata | OrchestratorError]],
    limit: int | None,
    null: bool,
    as_json: bool,
) -> int:
    """Print executions and return how many; one that cannot be read is a warning."""
    from orchestrator_cli.cli.output.execution_table import ExecutionTable
    from orchestrator_cli.core.base.errors import OrchestratorError

    table = ExecutionTable(app.output)
    shown = 0
    for execution_id, item in selected:
        if isinstance(item, OrchestratorError):
            app.output.warn(f"{execution_id}: {item.message}")
            continue
        _print_execution(app, table, item, null, as_json)
        shown += 1
        if shown == limit:
            break
    return shown


def _print_execution(
    app: App, table: ExecutionTable, item: ExecutionMetadata, null: bool, as_json: bool
) -> None:
    if null:
        app.output.line(item.execution_id, end="\0")
    elif as_json:
        record = item.to_dict()
        # The manifest is `ls ID --json`; here it would make lines of 100 KiB.
        record.pop("artifacts")
        app.output.json(record)
    else:
        table.row(item)


def _list_files(app: App, text: str, via: Via | None, null: bool, as_json: bool) -> None:
    source = app.source(via)
    for path, listed in source.list_files(app.resolve(text, source)):
        if null:
            # Bytes, because a script wants the name and nothing else.
            sys.stdout.flush()
            sys.stdout.buffer.write(path.encode() + b"\0")
        else:
            _print_file(app, path, listed, as_json)


def _print_file(app: App, path: str, listed: Any, as_json: bool) -> None:
    from orchestrator_cli.cli.output import human_size
    from orchestrator_cli.core.base.text import printable

    if as_json:
        app.output.json(
            {
                "path": path,
                "key": listed.key,
                "size_bytes": listed.size_bytes,
                "last_modified": listed.last_modified,
                "storage_class": listed.storage_class,
                "restore": _restore_record(listed),
                "etag": listed.etag,
            }
        )
        return
    shown = printable(path)
    if listed.storage_class != "STANDARD":
        shown += f"  [{printable(listed.storage_class)}{_restore_note(app, listed)}]"
    cells = (human_size(listed.size_bytes), app.output.time(listed.last_modified), shown)
    app.output.row(cells, _FILE_WIDTHS)


def _restore_note(app: App, listed: ObjectSummary) -> str:
    if listed.restore is None:
        return ""
    if listed.restore.ongoing:
        return ", being restored"
    return f", readable until {app.output.time(listed.restore.expires_at)}"


def _restore_record(listed: ObjectSummary) -> dict[str, object] | None:
    restore = listed.restore
    if restore is None:
        return None
    return {"ongoing": restore.ongoing, "expires_at": restore.expires_at}
