"""`orchestrator logs`: print a log.

It must not know how a log is read or followed.
"""

from __future__ import annotations

import sys
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.commands.logs.options import LogsOptions
from orchestrator_cli.cli.options import (
    DURATION,
    Example,
    WholeNumber,
    command,
    complete_id_or_log,
    gather_options,
    split_id,
)
from orchestrator_cli.cli.options.search_options import NO_MATCH_EXIT_CODE, search_options
from orchestrator_cli.cli.options.via_options import read_via_option

if TYPE_CHECKING:
    from orchestrator_cli.cli.commands.logs.log_filter import LogFilter
    from orchestrator_cli.cli.commands.logs.renderer import LogRenderer

# What a terminal without a pager gets of a long log.
_TERMINAL_LINES = 1000
_TERMINAL_BYTES = 1024 * 1024


@command(
    examples=(
        Example("the newest execution's log", "orchestrator logs @latest"),
        Example("the end of standard error", "orchestrator logs $ID stderr --tail 50"),
        Example("watch it while the test runs", "orchestrator logs -f @latest"),
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
    exit_codes=(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 130),
    exit_meanings={
        1: "with --grep: no line matched; or an unexpected error",
        3: "with -f: the log has not ended, and its writer is lost",
        4: "no such execution, log or bucket",
        6: "conflict: the file of -o has other content; nothing was changed",
    },
)
@click.argument("arguments", metavar="ID [NAME]", nargs=-1, shell_complete=complete_id_or_log)
@click.option(
    "-n",
    "--tail",
    type=WholeNumber(0),
    metavar="N",
    help="Print only the last N lines of the output.",
)
@click.option(
    "-f",
    "--follow",
    is_flag=True,
    help="Go on printing while the log is written, until it ends.",
)
@click.option(
    "--gone-after",
    type=DURATION,
    help="With -f and no terminal: give up after so long without a sign of life.  "
    "[default: ${lost_minutes}m]",
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
@gather_options(LogsOptions)
@pass_app
def logs(app: App, options: LogsOptions) -> None:
    """Print a log.

    NAME is $any_log, or the path of any file of the execution. Without NAME, it is the first log
    that is not empty, in the order $log_order; where the execution failed, stderr comes first.
    Bytes are passed on unchanged, and only what is shown is fetched: in a terminal the log opens in
    the pager (PAGER, or less), --tail reads from the end, and a closed pipe ends the transfer. What
    was read whole is compared with its stored checksum; --tail reads a log of up to $small_log
    whole, and only the end of a larger one.

    The log of a test that still runs is printed as far as it is stored, and a line on standard
    error says so. --follow goes on from there until the log ends, and then compares what it has
    printed with the log that is stored; it needs only the right to read the bucket. After
    $silent_seconds s without a sign of life from the writer it says so; after --gone-after the
    writer is lost, and it exits with 3 unless standard error is a terminal. A log that rests has a
    sign of life every $heartbeat_seconds s, so a --gone-after that is hardly longer may give up a
    writer that is still there. A follower asks S3 once a second, and seldom while the log is quiet;
    orchestrator-scale(7) says what that costs. With --via, the server decides whether the writer is
    lost, after $lost_minutes minutes: a shorter --gone-after changes nothing, and only $any_log can
    be followed.

    --grep searches the text without escape sequences and line endings. Text is UTF-8; a line that
    is not valid UTF-8 is searched as Latin-1 as well. The time grows only with the size of the log,
    whatever REGEX is; RE2 has neither backreferences nor look-around. A line over $max_line is
    searched and printed in pieces. As with grep, the exit code is 1 where no line matches.
    """
    from orchestrator_cli.cli.commands.logs.execution_logs import ExecutionLogs
    from orchestrator_cli.cli.commands.logs.renderer import LogRenderer

    text, names = split_id(options.arguments)
    options.check(names)
    log_filter = options.log_filter()
    source = app.source(options.via)
    found = ExecutionLogs(app, source, app.resolve(text, source), options.give_up_policy())
    names = names or found.choose(all_logs=options.all_logs)
    shown = LogRenderer(found, names, with_prefix=options.all_logs)
    _write(app, shown, log_filter, options)
    if options.patterns and not log_filter.has_match:
        sys.stdout.flush()
        sys.exit(NO_MATCH_EXIT_CODE)


def _write(app: App, shown: LogRenderer, log_filter: LogFilter, options: LogsOptions) -> None:
    """Write the logs to where the options say: a file, the pager, or standard output."""
    from orchestrator_cli.cli.commands.logs.target import (
        find_pager,
        write_file,
        write_pager,
        write_stdout,
    )

    if options.file is not None:
        write_file(shown.render(log_filter), options.file, options.overwrite)
        return
    pager = None
    if app.output.is_terminal and options.may_page:
        pager = find_pager()
        if pager is None and shown.size_bytes() > _TERMINAL_BYTES:
            log_filter.last = _TERMINAL_LINES
            app.messages.note(f"the last {log_filter.last:,} lines; --all shows everything")
    blocks = shown.render(log_filter)
    # What cannot be read is said before the pager takes the terminal.
    first = next(blocks, None)
    if first is None:
        return
    rest = chain([first], blocks)
    if pager is None:
        write_stdout(rest)
    else:
        write_pager(rest, pager)
