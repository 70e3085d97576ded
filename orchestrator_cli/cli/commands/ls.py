"""`orchestrator ls`: executions in a time window, or one execution's files."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.options import (
    INSTANT,
    Example,
    command,
    complete_execution_id,
    json_option,
)

if TYPE_CHECKING:
    from orchestrator_cli.core.executions.metadata import ExecutionMetadata
    from orchestrator_cli.core.s3.types import ObjectSummary

_DEFAULT_WINDOW = timedelta(days=1)
_EXECUTION_WIDTHS = (26, 20, 7, 14, 6, -10, 0)
_FILE_WIDTHS = (-10, 20, 0)


@command(
    examples=(
        Example("what ran today and yesterday", "orchestrator ls --since 2d"),
        Example("last night's failures", "orchestrator ls --since 12h --result fail --suite smoke"),
        Example("the files of the newest execution", "orchestrator ls @latest"),
        Example("any file name, safely, in a script", "orchestrator ls -0 $ID | xargs -0 -n1 echo"),
    ),
    exit_codes=(0, 2, 4, 5, 9),
)
@click.argument(
    "execution_id", metavar="[ID]", required=False, shell_complete=complete_execution_id
)
@click.option(
    "--since", type=INSTANT, help="From when: 2d, 2026-01-31, RFC 3339.  [default: 1d ago]"
)
@click.option("--until", type=INSTANT, help="Until when; the same forms.  [default: now]")
@click.option("--result", type=click.Choice(["pass", "fail", "error"]), help="Only this result.")
@click.option("--suite", metavar="S", help="Only this test suite.")
@click.option("-0", "--null", is_flag=True, help="Only ids or paths, each ended by a NUL byte.")
@json_option
@pass_app
def ls(
    app: App,
    execution_id: str | None,
    since: datetime | None,
    until: datetime | None,
    result: str | None,
    suite: str | None,
    null: bool,
    as_json: bool,
) -> None:
    """List executions, or the files of one.

    Without ID, the executions that began in the time window, in time order: the cost follows the
    window, not the history. With ID, its files. JSON is one object a line.
    """
    if null and as_json:
        raise click.UsageError("--null and --json exclude each other.")
    if execution_id:
        if since or until or result or suite:
            raise click.UsageError("--since, --until, --result and --suite go without ID.")
        _list_files(app, execution_id, null, as_json)
    else:
        start = since or app.now() - _DEFAULT_WINDOW
        _list_executions(app, start, until, result, suite, null, as_json)


def _list_executions(
    app: App,
    since: datetime,
    until: datetime | None,
    result: str | None,
    suite: str | None,
    null: bool,
    as_json: bool,
) -> None:
    from orchestrator_cli.core.base.errors import OrchestratorError
    from orchestrator_cli.core.executions.filters import ExecutionFilter
    from orchestrator_cli.core.executions.listing import list_execution_ids
    from orchestrator_cli.core.executions.repository import read_executions

    if until is not None and until < since:
        raise click.UsageError("--until is before --since.")
    store = app.store()
    wanted = ExecutionFilter(
        results=frozenset([result] if result else []), suites=frozenset([suite] if suite else [])
    )
    shown = 0
    ids = list_execution_ids(store, since, until, app.now())
    for execution_id, item in read_executions(store, ids):
        if isinstance(item, OrchestratorError):
            app.output.warn(f"{execution_id}: {item.message}")
        elif wanted.matches(item):
            _print_execution(app, item, null, as_json, header=shown == 0)
            shown += 1
    if not shown:
        app.output.note("no such executions in this time window; --since widens it")


def _print_execution(
    app: App, item: ExecutionMetadata, null: bool, as_json: bool, header: bool
) -> None:
    from orchestrator_cli.cli.output import human_size, human_time
    from orchestrator_cli.core.base.text import printable

    if null:
        app.output.line(item.execution_id, end="\0")
        return
    if as_json:
        record = item.to_dict()
        # The manifest is `ls ID --json`; here it would make lines of 100 KiB.
        record.pop("artifacts")
        app.output.json(record)
        return
    if header and app.output.is_terminal:
        names = ("EXECUTION", "STARTED", "RESULT", "ARTIFACTS", "FILES", "SIZE", "SUITE")
        app.output.row(names, _EXECUTION_WIDTHS)
    result = str(item.result or item.status)
    finished = item.result is not None
    cells = (
        item.execution_id,
        human_time(item.started_at),
        result,
        str(item.artifact_status),
        f"{item.artifact_count:,}" if finished else "-",
        human_size(item.artifact_bytes) if finished else "-",
        printable(item.test_suite or "-"),
    )
    app.output.row(cells, _EXECUTION_WIDTHS, result)


def _list_files(app: App, text: str, null: bool, as_json: bool) -> None:
    from orchestrator_cli.core.executions.listing import list_all_files
    from orchestrator_cli.core.retention.archive import with_restore_status

    store = app.store()
    execution_id = app.resolve_id(text, store)
    files = list_all_files(store, execution_id, with_restore=True)
    for path, listed in with_restore_status(store, files):
        if null:
            # Bytes, because a script wants the name and nothing else.
            sys.stdout.flush()
            sys.stdout.buffer.write(path.encode() + b"\0")
        else:
            _print_file(app, path, listed, as_json)


def _print_file(app: App, path: str, listed: Any, as_json: bool) -> None:
    from orchestrator_cli.cli.output import human_size, human_time
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
        shown += f"  [{printable(listed.storage_class)}{_restore_note(listed)}]"
    cells = (human_size(listed.size_bytes), human_time(listed.last_modified), shown)
    app.output.row(cells, _FILE_WIDTHS)


def _restore_note(listed: ObjectSummary) -> str:
    from orchestrator_cli.cli.output import human_time

    if listed.restore is None:
        return ""
    if listed.restore.ongoing:
        return ", being restored"
    return f", readable until {human_time(listed.restore.expires_at)}"


def _restore_record(listed: ObjectSummary) -> dict[str, object] | None:
    restore = listed.restore
    if restore is None:
        return None
    return {"ongoing": restore.ongoing, "expires_at": restore.expires_at}
