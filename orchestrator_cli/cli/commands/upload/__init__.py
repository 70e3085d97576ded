"""`orchestrator upload`: store files, directories or standard input.

It must not know how files are sent.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.commands.upload.paths import check_paths, with_missing_paths
from orchestrator_cli.cli.commands.upload.report import report_end, report_result, show_destination
from orchestrator_cli.cli.options import (
    RESUMES,
    SIZE,
    Example,
    already,
    check_may_write,
    command,
    complete_id_or_path,
    concurrency_option,
    is_preset_id,
    json_option,
    split_id,
    write_to_latest_option,
)
from orchestrator_cli.cli.options.metrics_options import metrics_options
from orchestrator_cli.cli.options.via_options import Via, via_options

if TYPE_CHECKING:
    from orchestrator_cli.core.s3.types import UploadResult
    from orchestrator_cli.core.transfer.upload.begun_upload import BegunUpload
    from orchestrator_cli.core.transfer.upload.plan import PlanItem, PlannedFile
    from orchestrator_cli.core.transfer.upload.recorder import UploadRecorder
    from orchestrator_cli.core.transfer.upload.session import UploadSession
    from orchestrator_cli.core.transfer.upload.uploader import UploadSummary


@command(
    examples=(
        Example("everything below a directory", "orchestrator upload $ID results/"),
        Example(
            "a pipe of any length", "make test 2>&1 | orchestrator upload $ID - --name stdout.log"
        ),
        Example(
            "a serial console that `orchestrator logs -f` can follow meanwhile",
            "picocom -q /dev/ttyUSB0 | orchestrator upload $ID - --name bench.log --live",
        ),
        Example(
            "leave some files out, and spare a slow link",
            "orchestrator upload $ID out/ --exclude '*.tmp' --limit-rate 5M",
        ),
        Example(
            "without AWS credentials, through a server",
            "orchestrator upload $ID out/ --via https://orchestrator.example.com "
            "--via-token-file token",
        ),
        Example(
            "push metrics to a Prometheus Pushgateway",
            "orchestrator upload $ID results/ --metrics-push http://pushgateway.example.com:9091",
        ),
        Example("show where each file would go", "orchestrator upload $ID results/ --dry-run"),
    ),
    exit_codes=(0, 2, 3, 4, 5, 6, 7, 9, 130),
    exit_meanings={
        **RESUMES,
        0: "done, including “identical, already stored”",
        4: "no such file, execution or bucket",
    },
)
@click.argument(
    "arguments",
    metavar="ID PATH…",
    nargs=-1,
    required=True,
    shell_complete=complete_id_or_path,
)
@click.option(
    "--name", metavar="PATH", help="The name to store standard input or a single file under."
)
@click.option(
    "--include",
    metavar="GLOB",
    multiple=True,
    help="Upload only files that match, or whose directory does.",
)
@click.option(
    "--exclude", metavar="GLOB", multiple=True, help="Leave out files and directories that match."
)
@click.option("--include-hidden", is_flag=True, help="Upload hidden files as well.")
@already("-r", "-R", "-P", "--recursive", "--progress")
@concurrency_option
@click.option("--limit-rate", type=SIZE, help="The most bytes a second, such as 512K or 5M.")
@via_options("Upload through this `orchestrator serve`; no credentials are needed here.")
@click.option("--live", is_flag=True, help="Let `logs -f` follow standard input while it is read.")
@click.option("--dry-run", is_flag=True, help="Print where each file would go; send nothing.")
@click.option(
    "--if-no-files-found",
    type=click.Choice(["error", "warn", "ignore"]),
    default="error",
    show_default=True,
    help="What to do where nothing matches.",
)
@write_to_latest_option
@json_option
@metrics_options
@pass_app
def upload(
    app: App,
    arguments: tuple[str, ...],
    name: str | None,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    include_hidden: bool,
    concurrency: int,
    limit_rate: int | None,
    via: Via | None,
    live: bool,
    dry_run: bool,
    if_no_files_found: str,
    yes: bool,
    as_json: bool,
) -> None:
    """Store files, directories or standard input.

    Where a file is stored depends on its path below the directory that you give. The four logs,
    results.json, coverage.xml, screenshots/, traces/ and custom/ have their own places, other
    images and traces are sorted by type, and everything else goes under artifacts/custom/. See
    orchestrator-layout(7).

    Stored files are immutable. The same content again is "identical" and a success; other content
    under the same name is a conflict: nothing is changed, and the execution's record names the file
    as not stored, until what is stored there is uploaded once more. Repeating an interrupted
    command sends only what S3 does not have; until then the execution is not complete, also where
    the command was killed. A PATH of - reads standard input, in bounded memory whatever its length.

    --dry-run reads and compares every file, and ends with the exit code that the upload would have,
    as far as that can be told without storing: rights are not tried, and standard input is not
    read.

    A GLOB is one of a .gitignore, but * also matches /: node_modules and node_modules/ are meant at
    any depth, /build or ./build only directly below the directory that you give.

    Below a directory, files and directories whose names begin with a dot, such as .env, .git/ and
    .ssh/, and links to them are left out unless --include-hidden is given. Links are followed only
    to files inside the directory.

    With --live, what is read from standard input is in live/ of the bucket a second or a few later,
    where `orchestrator logs -f` follows it. orchestrator-run(1) says what that costs.

    With --via, an `orchestrator serve` checks each file and signs the requests that store it; the
    content goes straight to S3. See orchestrator-api(7).
    """
    from orchestrator_cli.core.files.path_filter import PathFilter
    from orchestrator_cli.core.transfer.upload.begun_upload import selection_text
    from orchestrator_cli.core.transfer.upload.plan import PlannedFile, plan_upload
    from orchestrator_cli.core.transfer.upload.recorder import UploadRecorder

    app.resumes = not dry_run
    text, paths = split_id(arguments)
    check_paths(paths, name)
    if live and paths != ("-",):
        raise click.UsageError("--live goes with standard input (-).")

    def open_session(execution_id: str | None = None) -> UploadSession:
        if via is None:
            from orchestrator_cli.core.transfer.upload.session import DirectSession

            # Once something has ended the upload, nobody waits for another try.
            store = app.store(concurrency, limit_rate, patient=execution_id is None)
            return DirectSession(store, execution_id or app.resolve_id(text, store))
        from orchestrator_cli.core.gateway.client.source import GatewaySource
        from orchestrator_cli.core.gateway.client.uploads.session import GatewaySession

        connection = app.gateway(via, concurrency, limit_rate)
        resolved = execution_id or app.resolve(text, GatewaySource(connection))
        return GatewaySession(connection, resolved)

    check_may_write(text, yes)
    session = open_session()
    execution_id = session.execution_id
    if paths == ("-",):
        again = partial(open_session, execution_id)
        _upload_stdin(app, session, again, str(name), concurrency, as_json, dry_run, live)
        return
    selection = PathFilter(include, exclude, include_hidden)
    plan = plan_upload(execution_id, [Path(path) for path in paths], selection, name)
    plan = with_missing_paths(plan, if_no_files_found)
    if dry_run:
        summary = _preview_files(app, session, plan, concurrency, as_json)
    else:
        taken = selection_text(include, exclude, include_hidden=include_hidden)
        begun = _begun(app, taken)
        recorder = UploadRecorder(session, partial(open_session, execution_id), paths, begun)

        def sizes() -> Iterator[int]:
            again = plan_upload(execution_id, [Path(path) for path in paths], selection, name)
            return (item.size_bytes for item in again if isinstance(item, PlannedFile))

        summary = _upload_files(app, session, plan, recorder, concurrency, as_json, sizes)
    for glob in selection.unmatched():
        app.output.warn(f"nothing matches {glob}")
    report_end(app, summary, execution_id, if_no_files_found)


def _upload_files(
    app: App,
    session: UploadSession,
    plan: Iterable[PlanItem],
    recorder: UploadRecorder,
    concurrency: int,
    as_json: bool,
    sizes: Callable[[], Iterator[int]],
) -> UploadSummary:
    from orchestrator_cli.core.transfer.upload.uploader import Uploader

    recorder.failing = _failing(app, session)

    def on_result(result: UploadResult) -> None:
        progress.add_file(result.size_bytes - result.sent_bytes)
        report_result(app, result, as_json)
        recorder.add(result)

    with app.output.failures_at_the_end(), app.output.progress("uploading") as progress:
        progress.expect_later(sizes)
        with (
            recorder.early_end_recorded(),
            app.transfers(session.connection, concurrency, progress.add_bytes) as transfers,
        ):
            items = recorder.begin(plan)
            uploader = Uploader(
                transfers, session.target, on_result, before_storing=recorder.before_storing
            )
            summary = uploader.run(items)
        recorder.record(all_stored=not summary.failures)
    return summary


def _upload_stdin(
    app: App,
    session: UploadSession,
    open_session: Callable[[], UploadSession],
    name: str,
    concurrency: int,
    as_json: bool,
    dry_run: bool,
    live: bool,
) -> None:
    from orchestrator_cli.cli.commands.upload.live_input import open_input
    from orchestrator_cli.core.executions.keys import artifact_key
    from orchestrator_cli.core.executions.placement import storage_path_for
    from orchestrator_cli.core.transfer.upload.plan import PlannedFile, guess_content_type
    from orchestrator_cli.core.transfer.upload.recorder import UploadRecorder
    from orchestrator_cli.core.transfer.upload.uploader import UploadSummary, upload_stream

    path = storage_path_for(name)
    item = PlannedFile(
        Path("-"), path, artifact_key(session.execution_id, path), 0, guess_content_type(path)
    )
    if dry_run:
        _preview_stdin(app, session, item, as_json)
        return
    stdin: TextIO | None = sys.stdin
    if stdin is None:
        raise click.UsageError("Standard input is closed.")
    recorder = UploadRecorder(session, open_session, (path,), _begun(app))
    recorder.failing = _failing(app, session)
    summary = UploadSummary()
    with (
        app.output.progress("uploading") as progress,
        recorder.early_end_recorded(),
        app.transfers(session.connection, concurrency, progress.add_bytes) as transfers,
        open_input(app, session, path, stdin, live=live) as stream,
    ):
        recorder.begin([item])
        recorder.before_storing()
        result = upload_stream(transfers, session.target, item, stream)
        progress.add_file()
    summary.add(result)
    recorder.add(result)
    recorder.record(all_stored=result.stored)
    report_result(app, result, as_json)
    report_end(app, summary, session.execution_id, "ignore")


def _begun(app: App, selection: str = "") -> BegunUpload:
    from orchestrator_cli.core.transfer.upload.begun_upload import BegunUpload

    return BegunUpload(os.urandom(8).hex(), app.now(), selection)


def _failing(app: App, session: UploadSession) -> set[str]:
    return session.failing(app.now() if is_preset_id(session.execution_id) else None)


def _preview_files(
    app: App,
    session: UploadSession,
    plan: Iterable[PlanItem],
    concurrency: int,
    as_json: bool,
) -> UploadSummary:
    from orchestrator_cli.core.transfer.upload.preview import preview_upload

    _failing(app, session)
    with (
        app.output.failures_at_the_end(),
        app.transfers(session.connection, concurrency) as transfers,
    ):
        show = partial(show_destination, app, as_json=as_json)
        return preview_upload(transfers, session.target, plan, show)


def _preview_stdin(app: App, session: UploadSession, item: PlannedFile, as_json: bool) -> None:
    """Show where standard input would go; whoever writes it must not lose it to a preview."""
    from orchestrator_cli.core.s3.types import UploadResult

    _failing(app, session)
    show_destination(app, UploadResult("-", item.path, item.key, 0, None), as_json)
