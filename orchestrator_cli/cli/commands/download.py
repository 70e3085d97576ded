"""`orchestrator download`: files to disk, verified."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.options import (
    RESUMES,
    Example,
    command,
    complete_id_or_file,
    concurrency_option,
    gather_options,
    json_option,
    no_op_options,
    split_id,
)
from orchestrator_cli.cli.options.via_options import Via, read_via_option
from orchestrator_cli.cli.usage_errors.usage_text import HintedUsageError

if TYPE_CHECKING:
    from orchestrator_cli.core.executions.listings.executions import ListedFile
    from orchestrator_cli.core.transfer.download.downloader import DownloadResult, DownloadSummary
    from orchestrator_cli.library.source import ExecutionSource


class DownloadOptions(NamedTuple):
    """The options of the command line, by their names."""

    arguments: tuple[str, ...]
    directory: Path | None
    overwrite: bool
    concurrency: int
    via: Via | None
    as_json: bool


class _Directory(click.Path):
    """The path of a directory, and not -, which other commands take for standard output."""

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        """Return the path. Raises UsageError for -."""
        if value == "-":
            raise HintedUsageError(
                "-o names a directory; - is none.", "`orchestrator logs ID PATH` prints one file"
            )
        return super().convert(value, param, ctx)


@command(
    examples=(
        Example("everything, into a directory named as the execution", "orchestrator download $ID"),
        Example("only traces", "orchestrator download $ID artifacts/traces/ -o out"),
        Example("by glob", "orchestrator download $ID '*.png' -o out"),
    ),
    exit_codes=(0, 2, 3, 4, 5, 6, 7, 8, 9, 130),
    exit_meanings={
        **RESUMES,
        3: "some files failed; the rest are downloaded and each failure is listed",
        6: "conflict: a local file differs, and was left alone",
    },
)
@click.argument("arguments", metavar="ID [PATTERN…]", nargs=-1, shell_complete=complete_id_or_file)
@click.option(
    "-o",
    "--output",
    "directory",
    metavar="DIR",
    type=_Directory(file_okay=False, path_type=Path),
    help="The directory to download to.  [default: ./ID]",
)
@click.option("--overwrite", is_flag=True, help="Replace local files that differ.")
@no_op_options("-r", "-R", "-P", "--recursive", "--progress")
@concurrency_option
@read_via_option
@json_option
@gather_options(DownloadOptions)
@pass_app
def download(app: App, options: DownloadOptions) -> None:
    """Download files and verify them.

    Every file is compared with its stored checksum before it gets its name. Repeating an
    interrupted command goes on where it stopped. A local file that has the same content already is
    left alone; one that differs is a conflict. PATTERN is a path, the name of a log, a directory or
    a glob; without PATTERN, every file.
    """
    from orchestrator_cli.cli.output import human_count, human_size
    from orchestrator_cli.core.executions.listings.selection import select_files

    app.resumes = True
    text, patterns = split_id(options.arguments)
    _refuse_local_paths(text, patterns, options.directory)
    source = app.source(options.via, options.concurrency)
    execution_id = app.resolve(text, source)
    target = options.directory or Path(execution_id)
    files = select_files(source.objects, execution_id, patterns)
    summary = _download(app, options, source, files, target)
    error = summary.error()
    if error is not None:
        raise error
    app.messages.note(
        f"downloaded to {target}: {human_count(summary.created, 'file')}, "
        f"{human_size(summary.received_bytes)} received, {summary.identical:,} identical"
    )


def _download(
    app: App,
    options: DownloadOptions,
    source: ExecutionSource,
    files: Iterator[ListedFile],
    target: Path,
) -> DownloadSummary:
    """Download the files with progress; a file that fails is reported, and ends no other."""
    from orchestrator_cli.core.s3.types import PutOutcome
    from orchestrator_cli.core.transfer.download.destination import DownloadDirectory
    from orchestrator_cli.core.transfer.download.downloader import Downloader
    from orchestrator_cli.core.transfer.download.listing_ahead import list_ahead

    def on_result(result: DownloadResult) -> None:
        is_new = result.outcome is PutOutcome.CREATED
        progress.add_file(0 if is_new else result.size_bytes)
        _report(app, result, options.as_json)

    place = DownloadDirectory(target, is_named=options.directory is not None)
    objects, overwrite = source.objects, options.overwrite
    with (
        app.messages.failures_at_the_end(),
        app.messages.progress("downloading") as progress,
        app.engine(objects.connection, options.concurrency, progress) as engine,
    ):
        downloader = Downloader(engine, objects, place, on_result, overwrite, source.check_readable)
        return downloader.run(list_ahead(files, progress.expect, objects.retry.stop.child()))


def _refuse_local_paths(text: str, patterns: tuple[str, ...], directory: Path | None) -> None:
    """Refuse a local directory among the patterns, where other programs take one."""
    local = next((word for word in patterns if _is_local(word)), None)
    if local is None or directory is not None:
        return
    raise HintedUsageError(
        f"{local!r} is not a path in an execution.",
        f"try `{shlex.join(['orchestrator', 'download', text, '-o', local])}`",
    )


def _is_local(word: str) -> bool:
    return word in (".", "..") or word.startswith(("/", "~/", "./", "../"))


def _report(app: App, result: DownloadResult, as_json: bool) -> None:
    from orchestrator_cli.cli.output import human_error
    from orchestrator_cli.core.base.text import printable

    outcome = str(result.outcome) if result.outcome else "failed"
    if as_json:
        app.output.record(
            {
                "path": result.path,
                "destination": str(result.destination),
                "size_bytes": result.size_bytes,
                "outcome": outcome,
                "resumed_bytes": result.resumed_bytes,
                "error": result.error.message if result.error else None,
                "exit_code": result.error.exit_code if result.error else 0,
            }
        )
    if result.error is not None:
        app.messages.failure(f"{printable(result.path)}: {human_error(result.error)}")
    else:
        app.messages.detail(f"{outcome}: {printable(result.destination)}")
