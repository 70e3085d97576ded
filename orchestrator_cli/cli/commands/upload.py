"""`orchestrator upload`: store files, directories or standard input."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.options import (
    RESUMES,
    SIZE,
    Example,
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

if TYPE_CHECKING:
    from orchestrator_cli.core.s3.types import UploadResult
    from orchestrator_cli.core.transfer.upload.plan import PlanItem
    from orchestrator_cli.core.transfer.upload.recorder import UploadRecorder
    from orchestrator_cli.core.transfer.upload.stream_parts import BinaryStream
    from orchestrator_cli.core.transfer.upload.target import UploadSession
    from orchestrator_cli.core.transfer.upload.uploader import UploadSummary


@command(
    examples=(
        Example("everything below a directory", "orchestrator upload $ID results/"),
        Example(
            "a pipe of any length", "make test 2>&1 | orchestrator upload $ID - --name stdout.log"
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
    help="Upload only files that match; * also matches /.",
)
@click.option(
    "--exclude", metavar="GLOB", multiple=True, help="Leave out files that match; * also matches /."
)
@click.option("--include-hidden", is_flag=True, help="Upload hidden files as well.")
@concurrency_option
@click.option("--limit-rate", type=SIZE, help="The most bytes a second, such as 512K or 5M.")
@click.option(
    "--via",
    metavar="URL",
    help="Upload through this `orchestrator serve`; no credentials are needed here.",
)
@click.option(
    "--via-token-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file with the token for --via.  [default: ORCHESTRATOR_VIA_TOKEN]",
)
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
    via: str | None,
    via_token_file: Path | None,
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
    under the same name is a conflict and changes nothing. Repeating an interrupted command sends
    only what S3 does not have. A PATH of - reads standard input, in bounded memory whatever its
    length.

    Below a directory, files and directories whose names begin with a dot, such as .env, .git/ and
    .ssh/, and links to them are left out unless --include-hidden is given. Links are followed only
    to files inside the directory.

    With --via, an `orchestrator serve` checks each file and signs the requests that store it; the
    content goes straight to S3. ID must then be a complete ULID. See orchestrator-api(7).
    """
    from orchestrator_cli.core.executions.ids import parse_execution_id
    from orchestrator_cli.core.transfer.upload.plan import PathFilter, PlannedFile, plan_upload
    from orchestrator_cli.core.transfer.upload.recorder import UploadRecorder

    app.resumes = True
    text, paths = split_id(arguments)
    _check_paths(paths, name)

    def open_session(execution_id: str | None = None) -> UploadSession:
        if via is None:
            from orchestrator_cli.core.transfer.upload.target import DirectSession

            # Once something has ended the upload, nobody waits for another try.
            store = app.store(concurrency, limit_rate, patient=execution_id is None)
            return DirectSession(store, execution_id or app.resolve_id(text, store))
        from orchestrator_cli.core.gateway.remote_target import ViaSession

        target = app.via(via, via_token_file, concurrency)
        return ViaSession(target, parse_execution_id(text), limit_rate)

    if via is None:
        check_may_write(text, yes)
    session = open_session()
    execution_id = session.execution_id
    if paths == ("-",):
        _upload_stdin(app, session, str(name), concurrency, as_json, dry_run)
        return
    selection = PathFilter(include, exclude, include_hidden)
    plan = plan_upload(execution_id, [Path(path) for path in paths], selection, name)
    if dry_run:
        _print_plan(app, plan, as_json)
        return
    plan = _with_missing_paths(plan, if_no_files_found)
    recorder = UploadRecorder(session, lambda: open_session(execution_id), paths)

    def sizes() -> Iterator[int]:
        again = plan_upload(execution_id, [Path(path) for path in paths], selection, name)
        return (item.size_bytes for item in again if isinstance(item, PlannedFile))

    summary = _upload_files(app, session, plan, recorder, concurrency, as_json, sizes)
    _finish(app, summary, execution_id, if_no_files_found)


def _check_paths(paths: tuple[str, ...], name: str | None) -> None:
    if not paths:
        raise click.UsageError("Missing argument 'PATH…'.")
    if "" in paths:
        # An unset variable in a script, which would mean the whole current directory.
        raise click.UsageError("An empty PATH; name . to store the current directory.")
    if "-" in paths and len(paths) > 1:
        raise click.UsageError("Standard input (-) cannot be mixed with files.")
    if paths == ("-",) and not name:
        raise click.UsageError("Standard input (-) needs --name, such as --name logs/stdout.log.")
    if name and (len(paths) > 1 or Path(paths[0]).is_dir()):
        raise click.UsageError("--name goes with one file or standard input.")


def _with_missing_paths(plan: Iterable[PlanItem], if_no_files: str) -> Iterator[PlanItem]:
    """Yield the plan, in which a path that is missing is what --if-no-files-found says."""
    from orchestrator_cli.core.transfer.upload.plan import SkippedPath
    from orchestrator_cli.core.transfer.upload.recorder import was_never_a_file

    for item in plan:
        if (
            not isinstance(item, SkippedPath)
            or not was_never_a_file(item.error)
            or if_no_files == "error"
        ):
            yield item
        elif if_no_files == "warn":
            yield SkippedPath(item.source, item.reason)


def _upload_files(
    app: App,
    session: UploadSession,
    plan: Iterable[PlanItem],
    recorder: UploadRecorder,
    concurrency: int,
    as_json: bool,
    sizes: Callable[[], Iterator[int]],
) -> UploadSummary:
    from orchestrator_cli.core.base.errors import OrchestratorError

    recorder.failing = _failing(app, session)

    def on_result(result: UploadResult) -> None:
        progress.add_file(result.size_bytes - result.sent_bytes)
        _report(app, result, as_json)
        recorder.add(result)

    with app.output.failures_at_the_end(), app.output.progress("uploading") as progress:
        progress.expect_later(sizes)
        try:
            with session.transfers(concurrency, progress.add_bytes) as transfers:
                transfers.observer = app.meter or transfers.observer
                summary = session.uploader(transfers, on_result).run(plan)
        except OrchestratorError as error:
            recorder.record_early_end(error)
            raise
        recorder.record(all_stored=not summary.failures)
    return summary


def _upload_stdin(
    app: App,
    session: UploadSession,
    name: str,
    concurrency: int,
    as_json: bool,
    dry_run: bool,
) -> None:
    from orchestrator_cli.core.executions.keys import artifact_key
    from orchestrator_cli.core.executions.placement import storage_path_for
    from orchestrator_cli.core.transfer.upload.plan import PlannedFile, guess_content_type
    from orchestrator_cli.core.transfer.upload.uploader import UploadSummary, upload_stream

    path = storage_path_for(name)
    item = PlannedFile(
        Path("-"), path, artifact_key(session.execution_id, path), 0, guess_content_type(path)
    )
    if dry_run:
        _print_plan(app, [item], as_json)
        return
    stdin: TextIO | None = sys.stdin
    if stdin is None:
        raise click.UsageError("Standard input is closed.")
    _failing(app, session)
    summary = UploadSummary()
    with (
        app.output.progress("uploading") as progress,
        session.transfers(concurrency, progress.add_bytes) as transfers,
    ):
        transfers.observer = app.meter or transfers.observer
        result = upload_stream(transfers, item, cast("BinaryStream", stdin.buffer))
        progress.add_file()
        summary.add(result)
        # As with files: a refused overwrite loses nothing that was stored.
        failed = {path: str(result.error)} if result.error and result.outcome is None else {}
        session.record(failed, {path} if result.stored else set())
    _report(app, result, as_json)
    _finish(app, summary, session.execution_id, "ignore")


def _failing(app: App, session: UploadSession) -> set[str]:
    return session.failing(app.now() if is_preset_id(session.execution_id) else None)


def _report(app: App, result: UploadResult, as_json: bool) -> None:
    from orchestrator_cli.core.base.text import printable

    outcome = _outcome(result)
    if as_json:
        app.output.record(_record(result, outcome))
    if outcome == "skipped":
        app.output.warn(f"skipped {printable(result.source)}: {result.note}")
    elif result.error is not None:
        request = f" [request id {result.error.request_id}]" if result.error.request_id else ""
        app.output.failure(f"{printable(result.source)}: {result.error.message}{request}")
    else:
        app.output.detail(f"{outcome}: {printable(result.path)}")


def _outcome(result: UploadResult) -> str:
    if result.outcome is not None:
        return str(result.outcome)
    return "failed" if result.error else "skipped"


def _record(result: UploadResult, outcome: str) -> dict[str, Any]:
    error = result.error
    return {
        "source": _json_text(result.source),
        "path": result.path,
        "key": result.key,
        "size_bytes": result.size_bytes,
        "outcome": outcome,
        "resumed_bytes": result.resumed_bytes,
        "sent_bytes": result.sent_bytes,
        "checksum": str(result.checksum) if result.checksum else None,
        "error": error.message if error else result.note,
        "exit_code": error.exit_code if error else 0,
    }


def _json_text(name: str) -> str:
    # JSON is Unicode; a file name need not be.
    return name.encode("utf-8", "backslashreplace").decode()


def _print_plan(app: App, plan: Iterable[PlanItem], as_json: bool) -> None:
    from orchestrator_cli.core.base.text import printable
    from orchestrator_cli.core.transfer.upload.plan import SkippedPath

    for item in plan:
        if isinstance(item, SkippedPath):
            app.output.warn(f"would skip {printable(item.source)}: {item.reason}")
        elif as_json:
            app.output.json(
                {
                    "source": _json_text(str(item.source)),
                    "path": item.path,
                    "key": item.key,
                    "size_bytes": item.size_bytes,
                    "content_type": item.content_type,
                }
            )
        else:
            app.output.line(f"{printable(item.source)} -> {printable(item.key)}")


def _finish(app: App, summary: UploadSummary, execution_id: str, if_no_files: str) -> None:
    from orchestrator_cli.cli.output import human_count, human_size
    from orchestrator_cli.core.base.errors import NotFoundError

    error = summary.error()
    if error is not None:
        raise error
    if not summary.stored:
        if if_no_files == "error":
            raise NotFoundError(
                "no files found", hint="--if-no-files-found warn makes that a success"
            )
        if if_no_files == "warn":
            app.output.warn("no files found")
        return
    resumed = f", {human_size(summary.resumed_bytes)} resumed" if summary.resumed_bytes else ""
    app.output.note(
        f"uploaded to {execution_id}: {human_count(summary.stored, 'file')}, "
        f"{human_size(summary.stored_bytes)}: {summary.created:,} created, "
        f"{summary.identical:,} identical; {human_size(summary.sent_bytes)} sent{resumed}"
    )
