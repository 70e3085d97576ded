"""`orchestrator ls`: executions in a time window, or one execution's files.

It must not know how the bucket is listed.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.commands.ls.files import list_execution_files
from orchestrator_cli.cli.commands.ls.options import LsOptions
from orchestrator_cli.cli.options import (
    Example,
    WholeNumber,
    command,
    complete_id_and_file,
    gather_options,
    json_option,
    no_op_options,
    window_options,
)
from orchestrator_cli.cli.options.filter_options import filter_options
from orchestrator_cli.cli.options.via_options import read_via_option

if TYPE_CHECKING:
    from orchestrator_cli.cli.output.execution_table import ExecutionTable
    from orchestrator_cli.core.base.errors import OrchestratorError
    from orchestrator_cli.core.executions.filters import ExecutionWindow
    from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata
    from orchestrator_cli.library.source import ExecutionSource

# How many executions are searched for the suite that was probably meant.
_LOOKED_AT_FOR_SUITES = 500


@command(
    examples=(
        Example("what ran today and yesterday", "orchestrator ls --since yesterday"),
        Example("last night's failures", "orchestrator ls --since 12h --failed --suite smoke"),
        Example("the last five of a bench", "orchestrator ls -n 5 --bench hil-07"),
        Example("the files of the newest execution", "orchestrator ls @latest"),
        Example("its screenshots", "orchestrator ls @latest '*.png'"),
        Example("everything, as a tree", "orchestrator ls @latest --tree"),
        Example("any file name, safely, in a script", "orchestrator ls -0 $ID | xargs -0 -n1 echo"),
    ),
    exit_codes=(0, 2, 3, 4, 5, 9),
    exit_meanings={
        3: "some executions could not be read; each is named, the rest are listed",
        4: "no such execution or bucket",
    },
)
@click.argument(
    "arguments", metavar="[ID [PATTERN…]]", nargs=-1, shell_complete=complete_id_and_file
)
@window_options("1d ago; with -n, a year")
@click.option("-n", "--limit", type=WholeNumber(1), metavar="N", help="List at most the newest N.")
@filter_options
@click.option("--tree", is_flag=True, help="With ID: draw its files as a tree.")
@click.option(
    "-0", "--null", is_flag=True, help="Print only ids or paths, each followed by a NUL byte."
)
@no_op_options(
    "-l", "-a", "-1", "-R", "-t", "--long", "--recursive", "--human-readable", "--summarize"
)
@read_via_option
@json_option
@gather_options(LsOptions)
@pass_app
def ls(app: App, options: LsOptions) -> None:
    """List executions, the newest first, or the files of one.

    Without ID, lists the executions that began in the time window; how long that takes depends on
    the window, not on how many executions there are in all. With ID, lists its files; PATTERN is a
    path, the name of a log, a directory or a glob. An option that is given several times matches
    any of its values; labels must all be there. With --json, each line is one object.

    On a terminal, a table has the columns that fit. After the result, ! says that some files could
    not be stored (artifact_error), and … that not all are stored yet (pending); `orchestrator show
    ID` has more. In a pipe, a table has all columns, with tabs between, and no header.

    An execution that is running, and whose writer has shown no sign of life for $lost_minutes
    minutes, is lost. That is never stored: a run that is resumed is running again, and
    `orchestrator salvage` finishes one that is not.

    Times without a zone are local on a terminal, in what is typed and in what is shown; where
    standard output is a pipe or a file, and in JSON, they are UTC.
    """
    style = options.style()
    places = options.places(app.settings.bucket)
    options.check(has_id=bool(places))
    if places:
        list_execution_files(app, app.source(options.via), places[0], places[1:], style)
    else:
        _list_executions(app, app.source(options.via), options.window(app.now()), style)


def _list_executions(
    app: App, source: ExecutionSource, window: ExecutionWindow, style: str
) -> None:
    """Print executions; one that cannot be read is a warning.

    Raises an error at the end where the reason is not its record, as then the list is not whole.
    """
    from orchestrator_cli.cli.output.execution_table import ExecutionTable
    from orchestrator_cli.core.base.errors import OrchestratorError

    table = ExecutionTable(app.output, source.console_bucket)
    shown, unread = 0, list[OrchestratorError]()
    try:
        for execution_id, item, liveness in source.select(
            window, looks_up_liveness=style != "null"
        ):
            if isinstance(item, OrchestratorError):
                app.messages.warn(f"{execution_id}: {item.message}")
                if item.is_inconclusive:
                    unread.append(item)
                continue
            _print_execution(app, table, item, liveness, style)
            shown += 1
            if shown == window.limit:
                break
    finally:
        table.flush()
    if unread:
        raise _unread_error(unread) if shown else unread[0]
    if not shown:
        near = _nearest_option(source, window)
        meant = f"did you mean {near}?" if near else "--since widens it"
        app.messages.note(f"no such executions in this time window; {meant}")


def _unread_error(errors: Sequence[OrchestratorError]) -> OrchestratorError:
    from orchestrator_cli.cli.output import human_count
    from orchestrator_cli.core.base.errors import PartialFailureError

    count = human_count(len(errors), "execution")
    return PartialFailureError(f"{count} could not be read", hint=errors[0].hint)


def _nearest_option(source: ExecutionSource, window: ExecutionWindow) -> str | None:
    """Return the option that was probably meant, where another one than the time excludes all."""
    for key, value in window.wanted.labels.items():
        # kubectl has == for =.
        if value.startswith("="):
            return f"--label {shlex.quote(key + value)}"
    near = _nearest_suite(source, window) if window.wanted.suites else None
    return f"--suite {shlex.quote(near)}" if near else None


def _nearest_suite(source: ExecutionSource, window: ExecutionWindow) -> str | None:
    """Return the suite that was probably meant, of those that the newest executions have."""
    from orchestrator_cli.core.base.errors import OrchestratorError
    from orchestrator_cli.core.executions.filters import ExecutionFilter, nearest_suite

    newest = window._replace(wanted=ExecutionFilter(), limit=_LOOKED_AT_FOR_SUITES)
    found = islice(source.select(newest, looks_up_liveness=False), newest.limit)
    items = (item for _, item, _ in found if not isinstance(item, OrchestratorError))
    return nearest_suite(window.wanted, (item.test_suite for item in items))


def _print_execution(
    app: App, table: ExecutionTable, item: ExecutionMetadata, liveness: str | None, style: str
) -> None:
    from orchestrator_cli.core.live.reading.liveness import with_liveness

    if style == "null":
        app.output.line(item.execution_id, end="\0")
    elif style == "json":
        record = item.to_dict()
        # The manifest is `ls ID --json`; here it would make lines of 100 KiB.
        record.pop("artifacts")
        app.output.json(with_liveness(record, liveness))
    else:
        table.add(item, liveness)
