"""A run whose output is stored while it runs, or by a later command."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from orchestrator_cli.cli.app import App
from orchestrator_cli.cli.commands.run.report import report_run
from orchestrator_cli.core.base.errors import UsageError

if TYPE_CHECKING:
    from orchestrator_cli.runner.run_record import RunOutcome
    from orchestrator_cli.runner.session import Limits
    from orchestrator_cli.runner.spool_log import SpooledRun
    from orchestrator_cli.runner.upload.run_uploader import RunUploader


def warn_of_settings(app: App) -> None:
    """Warn before CMD begins of settings that cannot be used. CMD runs nevertheless."""
    try:
        _ = app.connections.bucket
    except UsageError as error:
        app.messages.warn(f"{error.message}: nothing can be stored until that is put right")
    try:
        app.pages.check()
    except UsageError as error:
        app.messages.warn(f"{error.message}: no page is named")
        app.settings = app.settings._replace(ui_url=None)


def run_spooled(
    app: App,
    run: SpooledRun,
    limits: Limits,
    argv: tuple[str, ...],
    environment: dict[str, str],
) -> NoReturn:
    """Run the command, store its output, and end with its exit code."""
    from orchestrator_cli.runner.run_record import to_milliseconds
    from orchestrator_cli.runner.session import Session

    page = app.pages.url(run.start.execution_id)
    app.messages.note(f"execution {run.start.execution_id}" + (f": {page}" if page else ""))
    session = Session(
        run=run,
        command=argv,
        uploader=_uploader(app, run),
        limits=limits,
        environment=environment,
        clock=lambda: to_milliseconds(app.now()),
        say=app.messages.say,
        say_slow=lambda: app.messages.note("CMD has ended; its output is being stored"),
    )
    end, outcome = session.execute()
    _write_metrics(app, outcome)
    report_run(app, run, outcome, end)
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    # A signal that came late must not change the code.
    os._exit(end.exit_code if end.exit_code is not None else 1)


def _uploader(app: App, run: SpooledRun) -> RunUploader:
    from orchestrator_cli.runner.upload.run_uploader import create_run_uploader

    return create_run_uploader(run, lambda retries: app.store(retries=retries), app.meter)


def _write_metrics(app: App, outcome: RunOutcome) -> None:
    if app.meter is not None and outcome.measured is not None:
        from orchestrator_cli.core.metrics.recorder import MetricsSnapshot

        # It was counted in the process that stores.
        app.meter.restore(MetricsSnapshot.from_list(outcome.measured))
    app.write_metrics()


def resume_run(app: App, directory: Path) -> None:
    """Store the output that an earlier run has left. Raises UsageError; exits with its outcome."""
    from orchestrator_cli.runner.spool_log import open_run

    run, end = open_run(directory, app.now)
    outcome = _uploader(app, run).resume(end)
    report_run(app, run, outcome, end)
    if outcome.exit_code:
        sys.exit(outcome.exit_code)
