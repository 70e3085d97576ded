"""Print the end of a `run`: what is stored, what is not, and what to type next."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from orchestrator_cli.cli.app import App
from orchestrator_cli.cli.report.job_summary import summarize_run
from orchestrator_cli.core.base.text import printable, without_secrets

if TYPE_CHECKING:
    from orchestrator_cli.runner.run_record import RunEnd, RunOutcome
    from orchestrator_cli.runner.spool_log import SpooledRun


def report_run(app: App, run: SpooledRun, outcome: RunOutcome, end: RunEnd) -> None:
    """Report how a run ended, and each file that is not stored."""
    execution_id = run.start.execution_id
    for problem in outcome.problems:
        app.messages.warn(problem)
    summarize_run(app, run, end, outcome)
    if outcome.stored:
        app.messages.note(
            f"finished {execution_id}: {outcome.result}, {end.summary}; {outcome.summary}"
        )
        if end.result == "pass":
            app.pages.note(execution_id)
        else:
            page = app.pages.url_or_warn(execution_id)
            app.messages.note(f"to see why: {page or _command_line(app, 'logs', execution_id)}")
    else:
        app.messages.warn(f"not everything of {execution_id} is stored: {outcome.summary}")
        directory = run.spool.directory
        if directory is not None and not outcome.resumes:
            app.messages.say(
                f"What is left is kept in {printable(directory)}; resuming cannot help"
            )
        elif directory is not None:
            line = _command_line(app, "run", "--resume", str(directory))
            first = ", once that is put right" if outcome.needs_fix else ""
            _print_command(app, f"What is left is kept. To store it{first}:", line)
        for path, source in outcome.displaced.items():
            line = _command_line(app, "upload", execution_id, "-", "--name", _other_name(path))
            text = f"To store {printable(path)} of it under another name:"
            _print_command(app, text, f"{line} <{printable(shlex.quote(source))}")
    if outcome.artifacts_failed:
        line = _command_line(app, "upload", execution_id, *run.start.artifacts)
        _print_command(app, "To store the artifacts that are missing:", line)


def _other_name(path: str) -> str:
    return f"artifacts/custom/whole-{path.rpartition('/')[2]}"


def _print_command(app: App, text: str, line: str) -> None:
    app.messages.say(text)
    app.messages.say(f"  {line}")
    endpoint_url = app.settings.endpoint_url
    if endpoint_url and without_secrets(endpoint_url) != endpoint_url:
        app.messages.say("with the user and password of the endpoint instead of the “…”")


def _command_line(app: App, *words: str) -> str:
    """Return a command for the same bucket, in which no password is shown."""
    settings = app.settings
    given = {
        # One that cannot be used is put right instead.
        "--bucket": app.connections.usable_bucket,
        "--profile": settings.profile,
        "--region": settings.region,
        "--endpoint-url": settings.endpoint_url and without_secrets(settings.endpoint_url),
    }
    options = [word for name, text in given.items() if text for word in (name, text)]
    return printable(shlex.join(["orchestrator", *options, *words]))
