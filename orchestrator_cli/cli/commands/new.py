"""`orchestrator new`: make an execution."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.options import Example, command, json_option, root_option
from orchestrator_cli.cli.options.declaration_options import declaration_options
from orchestrator_cli.core.base.errors import CannotWriteError

if TYPE_CHECKING:
    from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata


@command(
    examples=(
        Example("keep the id for the commands that follow", "ID=$(orchestrator new --suite smoke)"),
        Example(
            "an on-prem bench, with labels",
            "orchestrator new --runner-type onprem --bench-id b7 --label branch=main",
        ),
        Example(
            "on a bench with no network",
            "ID=$(orchestrator new --offline --bench-id b7 --suite smoke)",
        ),
    ),
    exit_codes=(0, 2, 4, 5, 6, 9),
    exit_meanings={
        4: "no such bucket",
        6: "conflict: the execution has other properties; nothing was changed",
    },
)
@click.option("--id", "execution_id", metavar="ULID", help="Use this id instead of a new one.")
@declaration_options
@click.option(
    "--offline",
    is_flag=True,
    help="Ask S3 nothing: make the bench's directory of the execution, for sync-efs to store.",
)
@root_option
@json_option
@pass_app
def new(
    app: App,
    execution_id: str | None,
    declared: dict[str, Any],
    offline: bool,
    root: Path,
    as_json: bool,
) -> None:
    """Make an execution and print its id.

    Writes metadata.json and prints the id, a ULID, and nothing else. With --id, repeating the
    command is safe: an execution that has these properties already is left as it is, and one that
    has others is a conflict.

    With --offline, S3 is not asked. Makes ROOT/BENCH_ID/ID/raw/ and temp/, and beside them
    execution.json, from which `sync-efs` makes metadata.json. ROOT/BENCH_ID must exist. Without
    --bench-id nothing is written, and the id alone is printed.
    """
    app.pages.check()
    if offline:
        created = _create_offline(app, execution_id, declared, root)
    else:
        suite = declared.pop("test_suite")
        execution = app.bucket(app.store()).new_execution(
            execution_id=execution_id, suite=suite, **declared
        )
        created = execution.created or execution.metadata()
    _print_made(app, created, as_json)
    if not as_json:
        page = None if offline else app.pages.url(created.execution_id)
        if page:
            app.messages.note(page)


def _print_made(app: App, made: ExecutionMetadata, as_json: bool) -> None:
    """Print the execution; if that fails, the error tells its id, which would be lost otherwise."""
    try:
        if as_json:
            app.output.json(made.to_dict())
        else:
            app.output.line(made.execution_id)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CannotWriteError(
            f"standard output: {error.strerror}",
            hint=f"the execution is made; its id is {made.execution_id}",
        ) from error


def _create_offline(
    app: App, execution_id: str | None, declared: dict[str, Any], root: Path
) -> ExecutionMetadata:
    from orchestrator_cli.core.executions.record.metadata import build_metadata

    if declared["bench_id"] is not None:
        declared["runner_type"] = declared["runner_type"] or "onprem"
    metadata = build_metadata(
        execution_id=execution_id or app.new_execution_id(), started_at=app.now(), **declared
    )
    if metadata.bench_id is not None:
        from orchestrator_cli.core.efs.contract.offline import create_offline

        create_offline(root, metadata)
    elif metadata.labels or any((metadata.test_suite, metadata.reservation_id)):
        raise click.UsageError(
            "Without --bench-id, --offline has nowhere to keep the other options."
        )
    return metadata
