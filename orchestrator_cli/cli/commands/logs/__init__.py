"""`orchestrator logs`: print a log."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.options import Example, WholeNumber, command, complete_id_or_log, split_id
from orchestrator_cli.cli.options.search_options import (
    NO_MATCH_EXIT_CODE,
    SearchOptions,
    search_options,
)
from orchestrator_cli.cli.options.via_options import Via, read_via_option

if TYPE_CHECKING:
    from orchestrator_cli.cli.commands.logs.view import LogView
    from orchestrator_cli.core.executions.logs.finding import StoredLogs
    from orchestrator_cli.core.transfer.download.source import ExecutionSource

# What a terminal without a pager gets of a long log.
_TERMINAL_LINES = 1000
_TERMINAL_BYTES = 1024 * 1024


@command(
    examples=(
        Example("the newest execution's log", "orchestrator logs @latest"),
        Example("the end of standard error", "orchestrator logs $ID stderr --tail 50"),
        Example("search 10 GiB without keeping them", "orchestrator logs $ID --grep 'ERROR|panic'"),
        Example(
            "show three lines around each match, with line numbers",
            "orchestrator logs $ID --grep ERROR -C 3 -N",
        ),
        Example(
            "without AWS credentials, through a server",
            "orchestrator logs $ID --via https://orchestrator.example.com --via-token-file token",
        ),
        Example("keep it, without colour codes", "orchestrator logs $ID -o run.log --strip-ansi"),
    ),
    exit_codes=(0, 1, 2, 4, 5, 6, 7, 8, 9, 130),
    exit_meanings={
        1: "with --grep: no line matched; or an unexpected error",
        4: "no such execution, log or bucket",
        6: "conflict: the file of -o has other content; nothing was changed",
    },
)
@click.argument("arguments", metavar="ID [NAME]", nargs=-1, shell_complete=complete_id_or_log)
@click.option(
    "-n",
    "--tail",
    type=WholeNumber(min=0),
    metavar="N",
    help="Print only the last N lines of the output.",
)
@click.option(
    "--all", "show_all", is_flag=True, help="Print the whole log to the terminal, without a pager."
)
@click.option(
    "--all-logs", is_flag=True, help="Print every log; each line begins with the log's name."
)
@click.option("-N", "--line-numbers", is_flag=True, help="Print each line's number before it.")
@click.option(
    "--grep",
    "patterns",
    metavar="REGEX",
    multiple=True,
    help="Print only lines in which any REGEX is found; RE2's syntax.",
)
@search_options
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="Write to a file; - is standard output.",
)
@click.option("--overwrite", is_flag=True, help="Replace a file that has other content.")
@click.option("--strip-ansi", is_flag=True, help="Remove colours and other escape sequences.")
@read_via_option
@pass_app
def logs(
    app: App,
    arguments: tuple[str, ...],
    tail: int | None,
    show_all: bool,
    all_logs: bool,
    line_numbers: bool,
    patterns: tuple[str, ...],
    search: SearchOptions,
    output: Path | None,
    overwrite: bool,
    strip_ansi: bool,
    via: Via | None,
) -> None:
    """Print a log.

    NAME is runner, bench, stdout or stderr, or the path of any file of the execution. Without NAME,
    it is the first log that is not empty, in the order stdout, runner, bench, stderr; where the
    execution failed, stderr comes first. Bytes are passed on unchanged, and only what is shown is
    fetched: in a terminal the log opens in the pager (PAGER, or less), --tail reads from the end,
    and a closed pipe ends the transfer. What was read to its end is compared with its stored
    checksum.

    --grep searches the text without escape sequences and line endings. Text is UTF-8; a line that
    is not valid UTF-8 is searched as Latin-1 as well. The time grows only with the size of the log,
    whatever REGEX is; RE2 has neither backreferences nor look-around. A line over 8 MiB is searched
    and printed in pieces. As with grep, the exit code is 1 where no line matches.
    """
    from orchestrator_cli.cli.commands.logs.view import LogView

    text, arguments = split_id(arguments)
    if len(arguments) > 1 or (arguments and all_logs):
        raise click.UsageError("One NAME at a time, and none with --all-logs.")
    if not patterns and not search.is_default:
        raise click.UsageError("-i, -F, -A, -B, -C and -c go with --grep.")
    view = LogView(
        pattern=search.compile(patterns) if patterns else None,
        context=search.context,
        count=search.count,
        numbers=line_numbers,
        last=tail,
        without_ansi=strip_ansi,
    )
    source = app.source(via)
    execution_id = app.resolve(text, source)
    names = arguments or _names(app, source, execution_id, all_logs)
    shown = _ShownLogs(app, source, execution_id, names, with_prefix=all_logs)
    _write(shown, view, output if output != Path("-") else None, overwrite, show_all)
    if patterns and not view.has_match:
        sys.stdout.flush()
        sys.exit(NO_MATCH_EXIT_CODE)


def _names(app: App, source: ExecutionSource, execution_id: str, all_logs: bool) -> tuple[str, ...]:
    """Return the names of the logs to show where none was named, and say what they are."""
    from orchestrator_cli.core.executions.logs.finding import list_logs, no_such_log

    stored = list_logs(source.objects, execution_id, source.read_record)
    if stored.is_running:
        app.output.note(f"{execution_id} is still running; this is what is stored of it so far")
    first = stored.first()
    if first is None:
        raise no_such_log(source.objects, execution_id, None)
    if all_logs:
        return tuple(stored.logs)
    if sys.stderr.isatty():
        app.output.note(_choice(stored, first))
    return (first,)


def _choice(stored: StoredLogs, first: str) -> str:
    from orchestrator_cli.cli.output import human_size

    why = ", as the execution failed" if stored.has_failed and first == "stderr" else ""
    others = [
        f"{name} ({human_size(log.size_bytes)})"
        for name, log in stored.logs.items()
        if name != first
    ]
    return f"this is {first}{why}" + (f"; there is also {', '.join(others)}" if others else "")


@dataclass(frozen=True, slots=True)
class _ShownLogs:
    """The logs that are shown, one after the other."""

    app: App
    source: ExecutionSource
    execution_id: str
    names: tuple[str, ...]
    with_prefix: bool

    def size_bytes(self) -> int:
        """Return how long they are together."""
        from orchestrator_cli.core.executions.logs.finding import find_log

        store = self.source.objects
        return sum(find_log(store, self.execution_id, one).size_bytes for one in self.names)

    def render(self, view: LogView) -> Iterator[bytes | memoryview]:
        """Yield what is shown of them."""
        width = max(map(len, self.names))
        for name in self.names:
            prefix = f"{name:<{width}} | " if self.with_prefix else ""
            yield from view.render(self._read(name, view), prefix)

    def _read(self, name: str, view: LogView) -> Iterator[bytes | memoryview]:
        from orchestrator_cli.core.executions.logs.finding import (
            find_log,
            open_log_with_prefix,
            tail_offset,
        )
        from orchestrator_cli.core.transfer.download.range_reader import (
            iter_object_verified,
            iter_range,
        )

        store, first = self.source.objects, memoryview(b"")
        only_end = view.last is not None and not view.needs_all_lines
        if only_end:
            log = find_log(store, self.execution_id, name)
        else:
            log, first = open_log_with_prefix(store, self.execution_id, name)
        with self.source.explain_archived(log.key):
            if only_end:
                start = tail_offset(store, log.key, log.size_bytes, view.last or 0)
                yield from iter_range(store, log.key, start, log.size_bytes)
            else:
                yield from iter_object_verified(store, log, first)


def _write(
    logs: _ShownLogs, view: LogView, output: Path | None, overwrite: bool, show_all: bool
) -> None:
    from orchestrator_cli.cli.commands.logs.target import (
        find_pager,
        write_file,
        write_pager,
        write_stdout,
    )

    if output is not None:
        write_file(logs.render(view), output, overwrite)
        return
    pager = None
    if logs.app.output.is_terminal and not show_all and view.last is None:
        pager = find_pager()
        if pager is None and logs.size_bytes() > _TERMINAL_BYTES:
            view.last = _TERMINAL_LINES
            logs.app.output.note(f"the last {view.last:,} lines; --all shows everything")
    blocks = logs.render(view)
    # What cannot be read is said before the pager takes the terminal.
    first = next(blocks, None)
    if first is None:
        return
    shown = chain([first], blocks)
    if pager is None:
        write_stdout(shown)
    else:
        write_pager(shown, pager)
