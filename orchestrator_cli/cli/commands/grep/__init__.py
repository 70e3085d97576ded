"""`orchestrator grep`: search the logs of many executions.

It must not know how a log is searched.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.commands.grep.report import Failures, Log, Printer
from orchestrator_cli.cli.options import Example, command, json_option, window_options
from orchestrator_cli.cli.options.filter_options import filter_options
from orchestrator_cli.cli.options.search_options import (
    NO_MATCH_EXIT_CODE,
    SearchOptions,
    search_options,
)

if TYPE_CHECKING:
    from orchestrator_cli.core.executions.filters import ExecutionFilter
    from orchestrator_cli.core.executions.logs.line_pattern import LinePattern
    from orchestrator_cli.core.executions.logs.listing import ExecutionLogs
    from orchestrator_cli.core.executions.logs.search import Context, LogLine
    from orchestrator_cli.core.s3.bucket.writer import ArtifactStore

_DEFAULT_WINDOW = timedelta(days=1)
_LOGS_AT_ONCE = 32
_LOG_NAMES = ("stdout", "stderr", "runner", "bench")


@command(
    examples=(
        Example("search the logs of the last day", "orchestrator grep 'kernel panic'"),
        Example(
            "which of last week's failures ran out of memory",
            "orchestrator grep -l OOM --since 7d --result fail",
        ),
        Example(
            "show three lines around each match",
            "orchestrator grep -C 3 --log stderr --suite smoke E",
        ),
        Example("for scripts", "orchestrator grep -F 'errno=28' --since 2d --json"),
    ),
    exit_codes=(0, 1, 2, 3, 4, 5, 9, 130),
    exit_meanings={
        1: "no line matched, or an unexpected error",
        4: "no such bucket",
        3: "some logs could not be read; each is listed, the rest are searched",
    },
)
@click.argument("pattern")
@window_options("1d ago")
@click.option(
    "--log",
    "names",
    type=click.Choice(_LOG_NAMES),
    multiple=True,
    help="Only the log of this name.  [default: all four]",
)
@filter_options
@search_options
@click.option(
    "-l", "--files-with-matches", is_flag=True, help="Print only which logs have a match."
)
@json_option
@pass_app
def grep(
    app: App,
    pattern: str,
    since: datetime | None,
    until: datetime | None,
    names: tuple[str, ...],
    wanted: ExecutionFilter,
    search: SearchOptions,
    files_with_matches: bool,
    as_json: bool,
) -> None:
    """Search the logs of many executions.

    Searches the logs of all executions that began in the time window, the newest first, and prints
    `ID:log:line:text` for each line that matches. An option that is given several times matches any
    of its values; of labels, all must be there. Many logs are read at once, and none is written to
    disk.

    PATTERN is a regular expression of RE2, as for `orchestrator logs --grep`: it is searched for in
    the text without escape sequences and line endings. In a pipe, a line is printed as the log has
    it; on a terminal, escape sequences and control characters are left out. With -c, logs without a
    match are not printed. With --json, each line is one object.
    """
    from orchestrator_cli.core.base.errors import OrchestratorError
    from orchestrator_cli.core.executions.logs.listing import list_logs_newest_first
    from orchestrator_cli.core.transfer.download.log_reader import work_in_order

    if until is not None and since is not None and until < since:
        raise click.UsageError("--until is before --since.")
    if files_with_matches and (search.count or search.before_lines or search.after_lines):
        raise click.UsageError("-l goes without -c, -A, -B and -C.")
    store, now = app.store(), app.now()
    mode = "list" if files_with_matches else "count" if search.count else "lines"
    query = _Query(store, search.compile([pattern]), search.context, mode)
    printer = Printer(app, mode, as_json)
    failures = Failures(app)
    found = list_logs_newest_first(store, since or now - _DEFAULT_WINDOW, until, now)
    if not wanted.takes_everything:
        found = _filter(store, found, wanted, failures)
    for log, parts in work_in_order(_logs(found, names or _LOG_NAMES), query.run, _LOGS_AT_ONCE):
        try:
            for part in parts:
                printer.print(log, part)
        except OrchestratorError as error:
            failures.add(f"{log.execution_id}: {log.name}", error)
    failures.check()
    if not printer.has_match:
        sys.stdout.flush()
        sys.exit(NO_MATCH_EXIT_CODE)


def _filter(
    store: ArtifactStore,
    found: Iterator[ExecutionLogs],
    wanted: ExecutionFilter,
    failures: Failures,
) -> Iterator[ExecutionLogs]:
    """Yield the executions whose metadata is as wanted; it is read ahead, many at once."""
    from orchestrator_cli.core.base.errors import OrchestratorError
    from orchestrator_cli.core.executions.record.repository import read_executions

    waiting: deque[ExecutionLogs] = deque()

    def ids() -> Iterator[str]:
        for execution in found:
            waiting.append(execution)
            yield execution.execution_id

    for execution_id, item in read_executions(store, ids()):
        execution = waiting.popleft()
        if isinstance(item, OrchestratorError):
            failures.add(f"{execution_id}: metadata.json", item)
        elif wanted.matches(item):
            yield execution


def _logs(found: Iterator[ExecutionLogs], names: Sequence[str]) -> Iterator[Log]:
    for execution in found:
        for name in _LOG_NAMES:
            stored = execution.logs.get(name)
            if name in names and stored is not None and stored.size_bytes:
                yield Log(execution.execution_id, name, stored)


@dataclass(frozen=True, slots=True)
class _Query:
    """What is asked of each log."""

    store: ArtifactStore
    pattern: LinePattern
    context: Context
    mode: str

    def run(self, log: Log) -> Iterator[Sequence[LogLine] | int]:
        """Yield the lines that match and their context in batches, or how many match."""
        from orchestrator_cli.core.executions.logs.search import count_matches, search_log
        from orchestrator_cli.core.transfer.download.log_reader import read_log

        blocks = read_log(self.store, log.stored)
        if self.mode == "count":
            yield count_matches(blocks, self.pattern)
        elif self.mode == "list":
            yield from islice(search_log(blocks, self.pattern), 1)
        else:
            yield from search_log(blocks, self.pattern, self.context, first_number=1)
