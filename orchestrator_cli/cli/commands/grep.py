"""`orchestrator grep`: search the logs of many executions."""

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
from orchestrator_cli.cli.options import LABEL, Example, command, json_option, window_options
from orchestrator_cli.cli.options.search_options import (
    NO_MATCH_EXIT_CODE,
    SearchOptions,
    search_options,
)

if TYPE_CHECKING:
    from orchestrator_cli.core.base.errors import OrchestratorError
    from orchestrator_cli.core.executions.logs.line_pattern import LinePattern
    from orchestrator_cli.core.executions.logs.listing import ExecutionLogs
    from orchestrator_cli.core.executions.logs.search import Context, LogLine
    from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata
    from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
    from orchestrator_cli.core.s3.types import ObjectSummary

_DEFAULT_WINDOW = timedelta(days=1)
_LOGS_AT_ONCE = 32
_LOG_NAMES = ("stdout", "stderr", "runner", "bench")
# What would move the cursor of a terminal or ring its bell; a tab is text.
_CONTROLS = bytes(code for code in range(32) if code != 9) + b"\x7f"


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
@click.option(
    "--result",
    "results",
    type=click.Choice(["pass", "fail", "error"]),
    multiple=True,
    help="Only executions with this result.",
)
@click.option(
    "--suite", "suites", metavar="S", multiple=True, help="Only executions of this test suite."
)
@click.option(
    "--bench", "benches", metavar="B", multiple=True, help="Only executions of this bench."
)
@click.option(
    "--label",
    "labels",
    type=LABEL,
    metavar="K=V",
    multiple=True,
    help="Only executions with this label.",
)
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
    results: tuple[str, ...],
    suites: tuple[str, ...],
    benches: tuple[str, ...],
    labels: tuple[tuple[str, str], ...],
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
    wanted = _Wanted(frozenset(results), frozenset(suites), frozenset(benches), dict(labels))
    mode = "list" if files_with_matches else "count" if search.count else "lines"
    query = _Query(store, search.compile([pattern]), search.context, mode)
    printer = _Printer(app, mode, as_json)
    failures = _Failures(app)
    found = list_logs_newest_first(store, since or now - _DEFAULT_WINDOW, until, now)
    if not wanted.is_everything:
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


@dataclass(frozen=True, slots=True)
class _Log:
    """A log to search."""

    execution_id: str
    name: str
    stored: ObjectSummary


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which executions are searched; nothing where all are."""

    results: frozenset[str]
    suites: frozenset[str]
    benches: frozenset[str]
    labels: dict[str, str]

    @property
    def is_everything(self) -> bool:
        return not (self.results or self.suites or self.benches or self.labels)

    def matches(self, metadata: ExecutionMetadata) -> bool:
        return (
            (not self.results or metadata.result in self.results)
            and (not self.suites or metadata.test_suite in self.suites)
            and (not self.benches or metadata.bench_id in self.benches)
            and self.labels.items() <= metadata.labels.items()
        )


def _filter(
    store: ArtifactStore, found: Iterator[ExecutionLogs], wanted: _Wanted, failures: _Failures
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


def _logs(found: Iterator[ExecutionLogs], names: Sequence[str]) -> Iterator[_Log]:
    for execution in found:
        for name in _LOG_NAMES:
            stored = execution.logs.get(name)
            if name in names and stored is not None and stored.size_bytes:
                yield _Log(execution.execution_id, name, stored)


@dataclass(frozen=True, slots=True)
class _Query:
    """What is asked of each log."""

    store: ArtifactStore
    pattern: LinePattern
    context: Context
    mode: str

    def run(self, log: _Log) -> Iterator[Sequence[LogLine] | int]:
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


class _Printer:
    """Prints what is found, for people or as JSON."""

    def __init__(self, app: App, mode: str, as_json: bool) -> None:
        self._app = app
        self._mode = mode
        self._as_json = as_json
        self.has_match = False

    def print(self, log: _Log, part: Sequence[LogLine] | int) -> None:
        """Print what was found in a log."""
        if part == 0:
            return
        self.has_match = True
        where: dict[str, object] = {"execution_id": log.execution_id, "log": log.name}
        name = f"{log.execution_id}:{log.name}"
        if isinstance(part, int):
            self._print(f"{name}:{part}", {**where, "count": part})
        elif self._mode == "list":
            self._print(name, where)
        elif self._as_json:
            for line in part:
                self._app.output.json({**where, **_record(line)})
        else:
            self._print_lines(log, part)

    def _print(self, text: str, record: dict[str, object]) -> None:
        if self._as_json:
            self._app.output.json(record)
        else:
            self._app.output.line(text)
        sys.stdout.flush()

    def _print_lines(self, log: _Log, lines: Sequence[LogLine]) -> None:
        is_terminal = self._app.output.is_terminal
        shown = []
        for line in lines:
            mark = ":" if line.is_match else "-"
            where = f"{log.execution_id}{mark}{log.name}{mark}{line.number}{mark}"
            text = line.text.removesuffix(b"\n")
            border = b"--\n" if line.follows_gap else b""
            shown += [border, where.encode(), _harmless(text) if is_terminal else text, b"\n"]
        sys.stdout.buffer.write(b"".join(shown))
        sys.stdout.flush()


def _record(line: LogLine) -> dict[str, object]:
    text = line.text.removesuffix(b"\n").removesuffix(b"\r")
    return {
        "line": line.number,
        "offset_bytes": line.offset_bytes,
        "is_match": line.is_match,
        "text": text.decode(errors="replace"),
    }


def _harmless(text: bytes) -> bytes:
    """Return a line without what would change the colour or the place of the lines after it."""
    from orchestrator_cli.core.executions.logs.ansi import ESCAPE

    return ESCAPE.sub(b"", text).translate(None, delete=_CONTROLS)


class _Failures:
    """What could not be read; it is said at once, and makes the exit code in the end."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._count = 0
        self._hint: str | None = None

    def add(self, what: str, error: OrchestratorError) -> None:
        """Say what failed."""
        self._count += 1
        self._hint = self._hint or error.hint
        self._app.output.failure(f"{what}: {error.message}")

    def check(self) -> None:
        """Raise PartialFailureError where anything failed."""
        from orchestrator_cli.cli.output import human_count
        from orchestrator_cli.core.base.errors import PartialFailureError

        if self._count:
            raise PartialFailureError(
                f"{human_count(self._count, 'log')} could not be searched", hint=self._hint
            )
