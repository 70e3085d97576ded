"""`orchestrator logs`: print a log."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, cast

import click

from orchestrator_cli.cli.app import App, pager_command, pager_environment, pass_app
from orchestrator_cli.cli.options import Example, command, complete_id_or_file, split_id

# What a terminal without a pager gets of a long log.
_TERMINAL_LINES = 1000
_TERMINAL_BYTES = 1024 * 1024


@command(
    examples=(
        Example("the newest execution's log", "orchestrator logs @latest"),
        Example("the end of standard error", "orchestrator logs $ID stderr --tail 50"),
        Example("search 10 GiB without keeping them", "orchestrator logs $ID --grep 'ERROR|panic'"),
        Example("keep it, without colour codes", "orchestrator logs $ID -o run.log --strip-ansi"),
    ),
    exit_codes=(0, 1, 2, 4, 5, 7, 8, 9, 130),
)
@click.argument("arguments", metavar="ID [NAME]", nargs=-1, shell_complete=complete_id_or_file)
@click.option("-n", "--tail", type=click.IntRange(min=0), metavar="N", help="The last N lines.")
@click.option("--all", "show_all", is_flag=True, help="All of it to the terminal, without a pager.")
@click.option("--grep", metavar="REGEX", help="Only lines that match.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to a file."
)
@click.option("--strip-ansi", is_flag=True, help="Without colours and other escape sequences.")
@pass_app
def logs(
    app: App,
    arguments: tuple[str, ...],
    tail: int | None,
    show_all: bool,
    grep: str | None,
    output: Path | None,
    strip_ansi: bool,
) -> None:
    """Print a log.

    NAME is runner, bench, stdout or stderr, or the path of any file of the execution; the default
    is the first there is of stdout, runner, bench and stderr. Bytes are passed on unchanged, and
    only what is shown is fetched: in a terminal the log opens in the pager (PAGER, or less),
    --tail reads from the end, and a closed pipe ends the transfer. What was read to its end is
    compared with its stored checksum.
    """
    from orchestrator_cli.core.executions.ansi import LineReader, strip_escapes
    from orchestrator_cli.core.executions.logs import find_log, open_log_with_prefix, tail_offset
    from orchestrator_cli.core.retention.archive import explain_archived_errors
    from orchestrator_cli.core.transfer.range_reader import iter_object_verified, iter_range

    text, names = split_id(arguments)
    if len(names) > 1:
        raise click.UsageError("One NAME at a time.")
    pattern = _compiled(grep)
    store = app.store()
    execution_id = app.resolve_id(text, store)
    name = names[0] if names else None
    first = memoryview(b"")
    if tail is None:
        log, first = open_log_with_prefix(store, execution_id, name)
    else:
        log = find_log(store, execution_id, name)
    to_terminal = output is None and app.output.is_terminal
    pager = _pager() if to_terminal and not show_all and tail is None else None
    if to_terminal and not show_all and tail is None and pager is None:
        tail = _TERMINAL_LINES if log.size_bytes > _TERMINAL_BYTES else None
        if tail is not None:
            app.output.note(f"the last {tail:,} lines; --all shows everything")
    with explain_archived_errors(store, log.key, app.now()):
        blocks: Iterable[bytes | memoryview] = iter_object_verified(store, log, first)
        if tail is not None and pattern is None:
            start = tail_offset(store, log.key, log.size_bytes, tail)
            blocks = iter_range(store, log.key, start, log.size_bytes)
        if strip_ansi:
            blocks = strip_escapes(blocks)
        if pattern is not None:
            blocks = LineReader(blocks).matching(pattern, last=tail)
        _write(blocks, output, pager)


def _compiled(grep: str | None) -> re.Pattern[bytes] | None:
    if grep is None:
        return None
    try:
        return re.compile(os.fsencode(grep))
    except (re.error, OverflowError, RecursionError) as error:
        raise click.UsageError(f"--grep: not a regular expression: {error}") from error


def _pager() -> list[str] | None:
    """Return the pager's command: PAGER, or less; None where there is none or it is `cat`."""
    import shutil

    chosen = pager_command()
    if not chosen or chosen[0] == "cat" or shutil.which(chosen[0]) is None:
        return None
    return chosen


def _write(
    blocks: Iterable[bytes | memoryview], output: Path | None, pager: list[str] | None
) -> None:
    if output is not None:
        _write_file(blocks, output)
    elif pager is not None:
        _write_pager(blocks, pager)
    else:
        sys.stdout.flush()
        _copy(blocks, sys.stdout.buffer)


def _copy(blocks: Iterable[bytes | memoryview], target: IO[bytes]) -> None:
    for block in blocks:
        target.write(block)
        target.flush()


def _write_file(blocks: Iterable[bytes | memoryview], output: Path) -> None:
    from orchestrator_cli.core.base.errors import OrchestratorError
    from orchestrator_cli.core.base.text import printable

    # A log that cannot be read must not empty the file.
    remaining = iter(blocks)
    first = next(remaining, b"")
    try:
        with output.open("wb") as file:
            _copy(chain([first], remaining), file)
    except OSError as error:
        message = f"cannot write {printable(output)}: {error.strerror or error}"
        raise OrchestratorError(message) from error


def _write_pager(blocks: Iterable[bytes | memoryview], pager: list[str]) -> None:
    """Show the bytes in the pager. Raises BrokenPipeError when it was left before their end."""
    import subprocess

    with (
        _leaving_ctrl_c_to_it(),
        subprocess.Popen(pager, stdin=subprocess.PIPE, env=pager_environment()) as process,
        cast("IO[bytes]", process.stdin) as screen,
    ):
        _copy(blocks, screen)


@contextlib.contextmanager
def _leaving_ctrl_c_to_it() -> Iterator[None]:
    """Let Ctrl-C be the pager's, which has the terminal until it ends."""
    # A handler, because a child would inherit that a signal is ignored.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
