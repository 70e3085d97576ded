"""`orchestrator grep`: search the logs of many executions.

It must not know how a log is searched.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.commands.grep.options import GrepOptions
from orchestrator_cli.cli.commands.grep.report import Failures, Log, Printer
from orchestrator_cli.cli.options import (
    DEFAULT_WINDOW,
    Example,
    command,
    gather_options,
    json_option,
    no_op_options,
    window_options,
)
from orchestrator_cli.cli.options.execution_id import complete_pattern_and_ids, split_id_and_path
from orchestrator_cli.cli.options.filter_options import filter_options
from orchestrator_cli.cli.options.search_options import NO_MATCH_EXIT_CODE, search_options
from orchestrator_cli.cli.usage_errors.usage_text import HintedUsageError
from orchestrator_cli.core.executions.logs.names import SEARCH_ORDER

if TYPE_CHECKING:
    from orchestrator_cli.core.executions.filters import ExecutionFilter
    from orchestrator_cli.core.executions.logs.line_pattern import LinePattern
    from orchestrator_cli.core.executions.logs.listing import ExecutionLogs
    from orchestrator_cli.core.executions.logs.search import Context, LogLine
    from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
    from orchestrator_cli.core.s3.types import ObjectSummary

_INVERTED = re.compile(r"-[a-zA-Z]*v[a-zA-Z]*|--invert-match")


def _refuse_inverted(words: Sequence[str]) -> click.UsageError | None:
    """Refuse -v, which inverts a search in grep, and would be --verbose here."""
    if not any(map(_INVERTED.fullmatch, words)):
        return None
    return HintedUsageError(
        "There is no search for lines that do not match.",
        "pipe a log to grep: `orchestrator logs ID | grep -v PATTERN`",
    )


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
        Example("one execution's logs", "orchestrator grep -i timeout $ID"),
        Example("whether a line matches", "orchestrator grep -q panic $ID && echo found"),
        Example("for scripts", "orchestrator grep -F 'errno=28' --since 2d --json"),
    ),
    exit_codes=(0, 1, 2, 3, 4, 5, 9, 130),
    exit_meanings={
        1: "no line matched, or an unexpected error",
        4: "no such execution or bucket",
        3: "some logs could not be read; each is listed, the rest are searched",
    },
    refuses=_refuse_inverted,
)
@click.argument(
    "arguments", metavar="PATTERN [ID…]", nargs=-1, shell_complete=complete_pattern_and_ids
)
@click.option(
    "-e",
    "--regexp",
    "patterns",
    metavar="PATTERN",
    multiple=True,
    help="A pattern; may be repeated, and any of them matches. Arguments are IDs then.",
)
@window_options("1d ago")
@click.option(
    "--log",
    "names",
    type=click.Choice(SEARCH_ORDER),
    multiple=True,
    help="Only the log of this name.  [default: all of them]",
)
@filter_options
@search_options
@click.option(
    "-l", "--files-with-matches", is_flag=True, help="Print only which logs have a match."
)
@click.option(
    "-q", "--quiet", is_flag=True, help="Print nothing; the exit code says whether a line matches."
)
@no_op_options("-r", "-R", "-n", "-E", "-P", "-H", "-s", "--recursive", "--line-number")
@json_option
@gather_options(GrepOptions)
@pass_app
def grep(app: App, options: GrepOptions) -> None:
    """Search the logs of many executions.

    Searches the logs of all executions that began in the time window, the newest first, or of those
    that are named, and prints `ID:log:line:text` for each line that matches. An option that is
    given several times matches any of its values; labels must all be there. Many logs are read
    at once, and none is written to disk.

    PATTERN is a regular expression of RE2, as for `orchestrator logs --grep`: it is searched for in
    the text without escape sequences and line endings. In a pipe, a line is printed as the log has
    it; on a terminal, escape sequences and control characters are left out. With -c, logs without a
    match are not printed. With --json, each line is one object.
    """
    options.check()
    store = app.store()
    pattern = options.search.compile(options.all_patterns)
    query = _Query(store, pattern, options.search.context, options.mode)
    printer = Printer(app, options.mode, options.as_json, options.quiet)
    failures = Failures(app)
    found = _executions(app, store, options)
    if not options.wanted.takes_everything:
        found = _filter(store, found, options.wanted, failures)
    _search(_logs(found, options.names or SEARCH_ORDER), query, printer, failures)
    if not (options.quiet and printer.has_match):
        failures.check()
    if not printer.has_match:
        sys.stdout.flush()
        sys.exit(NO_MATCH_EXIT_CODE)


def _search(
    logs: Iterator[tuple[Log, ObjectSummary]],
    query: _Query,
    printer: Printer,
    failures: Failures,
) -> None:
    """Print the matches in each log, until the output is complete."""
    from orchestrator_cli.core.base.errors import OrchestratorError
    from orchestrator_cli.core.transfer.download.log_reader import work_in_order

    with contextlib.closing(work_in_order(query.store, logs, query.run)) as searched:
        for log, parts in searched:
            try:
                for part in parts:
                    printer.print(log, part)
            except OrchestratorError as error:
                failures.add(f"{log.execution_id}: {log.name}", error)
            if printer.is_done:
                return


def _executions(app: App, store: ArtifactStore, options: GrepOptions) -> Iterator[ExecutionLogs]:
    """Return the executions that are named, or those that began in the time window."""
    from orchestrator_cli.core.executions.logs.listing import list_logs_newest_first

    if options.places:
        return _named(app, store, options.places)
    now = app.now()
    since = options.since or now - DEFAULT_WINDOW
    return list_logs_newest_first(store, since, options.until, now)


def _named(app: App, store: ArtifactStore, places: Sequence[str]) -> Iterator[ExecutionLogs]:
    """Yield the executions that are named, or a log of each. Raises NotFoundError, UsageError."""
    from orchestrator_cli.core.executions.logs.listing import list_logs_of

    for place in places:
        selector, *path = split_id_and_path((place,))
        yield list_logs_of(store, app.resolve_id(selector, store), *path)


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


def _logs(
    found: Iterator[ExecutionLogs], names: Sequence[str]
) -> Iterator[tuple[Log, ObjectSummary]]:
    for execution in found:
        for name in SEARCH_ORDER:
            stored = execution.logs.get(name)
            if name in names and stored is not None and stored.size_bytes:
                yield Log(execution.execution_id, name), stored


@dataclass(frozen=True, slots=True)
class _Query:
    """The search that is made in each log."""

    store: ArtifactStore
    pattern: LinePattern
    context: Context
    mode: str

    def run(self, blocks: Iterable[bytes | memoryview]) -> Iterator[Sequence[LogLine] | int]:
        """Yield the lines that match and their context in batches, or how many match."""
        from orchestrator_cli.core.executions.logs.search import count_matches, search_log

        if self.mode == "count":
            yield count_matches(blocks, self.pattern)
        elif self.mode == "list":
            yield from islice(search_log(blocks, self.pattern), 1)
        else:
            yield from search_log(blocks, self.pattern, self.context, first_number=1)
