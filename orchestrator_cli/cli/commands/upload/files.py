"""Files and directories: planned, then uploaded or previewed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator_cli.cli.app import App
from orchestrator_cli.cli.commands.upload.options import UploadOptions
from orchestrator_cli.cli.commands.upload.paths import with_missing_paths
from orchestrator_cli.cli.commands.upload.report import report_end, report_result, show_destination
from orchestrator_cli.cli.commands.upload.waiting import wait_if_new_at

if TYPE_CHECKING:
    from orchestrator_cli.core.s3.types import UploadResult
    from orchestrator_cli.core.transfer.upload.on_record.recorder import UploadRecorder
    from orchestrator_cli.core.transfer.upload.on_record.session import UploadSession
    from orchestrator_cli.core.transfer.upload.plan import PlanItem
    from orchestrator_cli.core.transfer.upload.uploader import UploadSummary


def store_paths(
    app: App,
    options: UploadOptions,
    session: UploadSession,
    paths: tuple[str, ...],
) -> None:
    """Store files and directories, or show where they would go. Raises an error if any failed."""
    from orchestrator_cli.core.files.path_filter import PathFilter
    from orchestrator_cli.core.transfer.upload.on_record.begun_upload import begin_upload
    from orchestrator_cli.core.transfer.upload.on_record.recorder import UploadRecorder
    from orchestrator_cli.core.transfer.upload.plan import plan_upload

    selection = PathFilter(options.include, options.exclude, options.include_hidden)
    roots = [Path(path) for path in paths]
    make_plan = partial(plan_upload, session.execution_id, roots, selection, options.name)
    plan = with_missing_paths(make_plan(), options.if_no_files_found)
    if options.dry_run:
        summary = _preview(app, options, session, plan)
    else:
        begun = begin_upload(app.now(), selection.fingerprint())
        recorder = UploadRecorder(session, paths, begun)
        sizes = partial(_list_sizes, make_plan)
        summary = _upload(app, options, session, recorder, plan, sizes)
    for glob in selection.unmatched():
        app.messages.warn(f"nothing matches {glob}")
    report_end(app, summary, session.execution_id, options.if_no_files_found)


def _list_sizes(make_plan: Callable[[], Iterable[PlanItem]]) -> Iterator[int]:
    from orchestrator_cli.core.transfer.upload.plan import PlannedFile

    return (item.size_bytes for item in make_plan() if isinstance(item, PlannedFile))


def _upload(
    app: App,
    options: UploadOptions,
    session: UploadSession,
    recorder: UploadRecorder,
    plan: Iterable[PlanItem],
    sizes: Callable[[], Iterator[int]],
) -> UploadSummary:
    from orchestrator_cli.core.transfer.upload.on_record.recorder import upload_on_record

    def on_result(result: UploadResult) -> None:
        progress.add_file(result.size_bytes - result.sent_bytes - result.resumed_bytes)
        report_result(app, result, options.as_json)

    with app.messages.failures_at_the_end(), app.messages.progress("uploading") as progress:
        progress.expect_later(sizes)
        return upload_on_record(
            app.engine(session.connection, options.concurrency, progress),
            recorder,
            plan,
            on_result,
            wait_if_new_at(app, session),
        )


def _preview(
    app: App, options: UploadOptions, session: UploadSession, plan: Iterable[PlanItem]
) -> UploadSummary:
    from orchestrator_cli.core.transfer.upload.preview import preview_upload

    session.read_state(wait_if_new_at(app, session))
    with (
        app.messages.failures_at_the_end(),
        app.engine(session.connection, options.concurrency) as engine,
    ):
        show = partial(show_destination, app, as_json=options.as_json)
        return preview_upload(engine, session.target, plan, show)
