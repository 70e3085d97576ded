"""`orchestrator finish`: manifest, result, history line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.options import (
    RESULT,
    Example,
    check_may_write,
    command,
    execution_id_argument,
    gather_options,
    json_option,
    root_option,
    write_to_latest_option,
)
from orchestrator_cli.cli.report.job_summary import summarize_execution

if TYPE_CHECKING:
    from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata
    from orchestrator_cli.core.s3.bucket.writer import ArtifactStore

# How many missing files are named; `show --json` has more.
_NAMED = 10


class FinishOptions(NamedTuple):
    """The options of the command line, by their names."""

    execution_id: str
    result: str
    tree_stored: bool
    offline: bool
    root: Path
    yes: bool
    as_json: bool


@command(
    examples=(
        Example("after the last upload", "orchestrator finish $ID --result pass"),
        Example("the test could not be run to its end", "orchestrator finish $ID --result error"),
        Example("on a bench with no network", "orchestrator finish $ID --result pass --offline"),
    ),
    exit_codes=(0, 2, 4, 5, 6, 7, 9),
    exit_meanings={
        4: "no such execution or bucket",
        6: "conflict: another result is recorded; nothing was changed",
        7: "integrity: metadata.json is not valid",
    },
)
@execution_id_argument
@click.option(
    "--result",
    required=True,
    type=RESULT,
    help="How the test ended. error: it could not be run to its end.",
)
@click.option(
    "--tree-stored",
    is_flag=True,
    help="On-prem: nothing more comes from the bench's EFS tree; do not wait for sync-efs.",
)
@click.option(
    "--offline",
    is_flag=True,
    help="Ask S3 nothing: write the result into the bench's tree, for sync-efs to record.",
)
@root_option
@write_to_latest_option
@json_option
@gather_options(FinishOptions)
@pass_app
def finish(app: App, options: FinishOptions) -> None:
    """Finish an execution: write its result and manifest.

    It writes a line of the history too. The artifact status becomes complete only when every file
    that anyone tried to store is stored. It is artifact_error where a file could not be stored, and
    stays pending while an upload is unfinished and, for an on-prem execution, until sync-efs has
    stored the bench's tree.

    Repeating the command is safe; a result other than the one recorded is a conflict. Later uploads
    extend the manifest.

    With --offline, S3 is not asked. The result and the names and sizes of all files in raw/ go into
    the execution's execution.json below ROOT; `sync-efs` records the result, and artifact_error
    where one of these files is missing by then.
    """
    if options.offline:
        _finish_offline(app, options)
    else:
        _finish_in_bucket(app, options)


def _finish_in_bucket(app: App, options: FinishOptions) -> None:
    from orchestrator_cli.cli.output import human_count, human_size

    check_may_write(options.execution_id, options.yes)
    app.pages.check()
    store = app.store()
    execution = app.execution(options.execution_id, store)
    metadata = execution.finish(options.result, tree_is_stored=options.tree_stored)
    _explain_status(app, store, metadata)
    summarize_execution(app, metadata)
    if options.as_json:
        app.output.json(metadata.to_dict())
        return
    count = human_count(metadata.artifact_count, "file")
    size = human_size(metadata.artifact_bytes)
    app.messages.note(f"finished {execution.id}: {metadata.result}, {count}, {size}")
    app.pages.note(execution.id)


def _finish_offline(app: App, options: FinishOptions) -> None:
    from orchestrator_cli.cli.output import human_count
    from orchestrator_cli.core.efs.contract.offline import finish_offline
    from orchestrator_cli.core.executions.ids import parse_execution_id
    from orchestrator_cli.core.executions.record.metadata import Result

    result, execution_id = Result(options.result), parse_execution_id(options.execution_id)
    record = finish_offline(options.root, execution_id, result, app.now())
    if options.as_json:
        app.output.json(record.to_dict())
        return
    count = human_count(len(record.files or ()), "file")
    app.messages.note(f"finished {execution_id}: {result}, {count} for sync-efs")


def _explain_status(app: App, store: ArtifactStore, metadata: ExecutionMetadata) -> None:
    """Say on stderr why the artifact status is not complete."""
    from orchestrator_cli.cli.output import human_count
    from orchestrator_cli.core.executions.record.artifact_status import list_unfinished
    from orchestrator_cli.core.executions.record.metadata import ArtifactStatus

    if metadata.artifact_status is ArtifactStatus.ARTIFACT_ERROR:
        count = human_count(len(metadata.failures), "file")
        app.messages.warn(f"{count} could not be stored: see `orchestrator show`")
    elif metadata.artifact_status is ArtifactStatus.PENDING:
        _explain_pending(app, metadata, list_unfinished(store, metadata))


def _explain_pending(app: App, metadata: ExecutionMetadata, unfinished: list[str]) -> None:
    from orchestrator_cli.core.base.text import printable

    for path in unfinished[:_NAMED]:
        app.messages.warn(f"the upload of {printable(path)} is unfinished; it is not stored yet")
    if len(unfinished) > _NAMED:
        app.messages.warn(f"{len(unfinished) - _NAMED:,} more are unfinished")
    for upload in metadata.unfinished_uploads:
        if upload.more:
            began = app.output.time(upload.began_at)
            app.messages.warn(f"an upload of many files that began at {began} has not ended")
    if unfinished or metadata.unfinished_uploads:
        return
    if metadata.run is not None and metadata.run.ended_at is None:
        app.messages.warn("`orchestrator run` has not ended: it may not have stored all it has")
    elif metadata.is_onprem:
        app.messages.note(
            "the record stays pending until sync-efs has stored the bench's tree; "
            "--tree-stored says that nothing more comes from there"
        )
