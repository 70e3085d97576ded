"""Standard input: uploaded as it is read, or shown where it would go."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

import click

from orchestrator_cli.cli.app import App
from orchestrator_cli.cli.commands.upload.options import UploadOptions
from orchestrator_cli.cli.commands.upload.report import report_end, report_result, show_destination
from orchestrator_cli.cli.commands.upload.waiting import wait_if_new_at

if TYPE_CHECKING:
    from orchestrator_cli.core.live.store import LiveStore
    from orchestrator_cli.core.s3.types import UploadResult
    from orchestrator_cli.core.transfer.upload.on_record.recorder import UploadRecorder
    from orchestrator_cli.core.transfer.upload.on_record.session import UploadSession
    from orchestrator_cli.core.transfer.upload.plan import PlannedFile


def store_stdin(
    app: App,
    options: UploadOptions,
    session: UploadSession,
    live_store: LiveStore | None,
) -> None:
    """Store standard input under --name, or show where it would go. Raises its error.

    It is written to `live_store` as well, where there is one.
    """
    from orchestrator_cli.core.transfer.upload.on_record.begun_upload import begin_upload
    from orchestrator_cli.core.transfer.upload.on_record.recorder import UploadRecorder
    from orchestrator_cli.core.transfer.upload.plan import plan_stream
    from orchestrator_cli.core.transfer.upload.uploader import UploadSummary

    item = plan_stream(session.execution_id, str(options.name))
    if options.dry_run:
        _preview(app, options, session, item)
        return
    recorder = UploadRecorder(session, (item.path,), begin_upload(app.now()))
    result = _upload(app, options, recorder, item, live_store)
    summary = UploadSummary()
    summary.add(result)
    report_result(app, result, options.as_json)
    report_end(app, summary, session.execution_id, "ignore")


def _upload(
    app: App,
    options: UploadOptions,
    recorder: UploadRecorder,
    item: PlannedFile,
    live_store: LiveStore | None,
) -> UploadResult:
    from orchestrator_cli.cli.commands.upload.live_input import open_input
    from orchestrator_cli.core.transfer.upload.on_record.recorder import upload_stream_on_record

    stdin: TextIO | None = sys.stdin
    if stdin is None:
        raise click.UsageError("Standard input is closed.")
    session = recorder.session
    with app.messages.progress("uploading") as progress:
        result = upload_stream_on_record(
            app.engine(session.connection, options.concurrency, progress),
            recorder,
            item,
            open_input(stdin, item.path, live_store, app.messages.warn),
            wait_if_new_at(app, session),
        )
        progress.add_file()
    return result


def _preview(app: App, options: UploadOptions, session: UploadSession, item: PlannedFile) -> None:
    """Show where standard input would go; whoever writes it must not lose it to a preview."""
    from orchestrator_cli.core.s3.types import UploadResult

    session.read_state(wait_if_new_at(app, session))
    show_destination(app, UploadResult("-", item.path, item.key, 0, None), options.as_json)
