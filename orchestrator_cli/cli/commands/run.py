"""`orchestrator run`: run a command and store its output."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from orchestrator_cli import __version__
from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.metrics_options import metrics_options
from orchestrator_cli.cli.options import DURATION, LABEL, Example, command

if TYPE_CHECKING:
    from orchestrator_cli.runner.run_record import RunStart
    from orchestrator_cli.runner.run_uploader import RunOutcome, RunUploader
    from orchestrator_cli.runner.spool import RunnerLog, Spool


@command(
    examples=(
        Example(
            "a test suite, its reports with it",
            "orchestrator run --suite smoke "
            "--artifacts reports -- pytest --junitxml reports/junit.xml",
        ),
        Example("at most an hour", "orchestrator run --timeout 1h -- make test"),
        Example(
            "counted by an OpenTelemetry Collector",
            "orchestrator run --metrics-otlp http://localhost:4318 -- make test",
        ),
        Example(
            "what S3 did not get, later",
            "orchestrator run --resume ~/.local/state/orchestrator/runs/$ID",
        ),
    ),
    exit_codes=(0, 2),
    context_settings={"allow_interspersed_args": False},
)
@click.option("--id", "execution_id", metavar="ULID", help="Use this execution, or make it.")
@click.option("--suite", metavar="S", help="The test suite.")
@click.option(
    "--runner-type", type=click.Choice(["ec2", "eks", "onprem"]), help="Where the test runs."
)
@click.option("--reservation-id", metavar="R", help="The reservation it runs under.")
@click.option("--bench-id", metavar="B", help="The bench; on-prem only.")
@click.option("--label", "labels", type=LABEL, multiple=True, help="A label.")
@click.option("--artifacts", metavar="DIR", help="Upload this directory when CMD has ended.")
@click.option("--timeout", type=DURATION, help="End CMD after so long.  [default: never]")
@click.option(
    "--kill-after",
    type=DURATION,
    default="10s",
    show_default=True,
    help="From the SIGTERM of --timeout to SIGKILL.",
)
@click.option(
    "--upload-timeout",
    type=DURATION,
    default="5m",
    show_default=True,
    help="Give up when S3 has taken nothing for so long after CMD.",
)
@click.option(
    "--spool",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where output waits for S3.  [default: ~/.local/state/orchestrator/runs]",
)
@click.option(
    "--resume",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Run nothing: store what an earlier run left in its spool directory.",
)
@click.argument("argv", metavar="[-- CMD …]", nargs=-1, type=click.UNPROCESSED)
@metrics_options
@pass_app
def run(
    app: App,
    execution_id: str | None,
    suite: str | None,
    runner_type: str | None,
    reservation_id: str | None,
    bench_id: str | None,
    labels: tuple[tuple[str, str], ...],
    artifacts: str | None,
    timeout: timedelta | None,
    kill_after: timedelta,
    upload_timeout: timedelta,
    spool: Path | None,
    resume: Path | None,
    argv: tuple[str, ...],
) -> None:
    """Run a command and store its output.

    Makes an execution, runs CMD with its output passed through live, stores it as logs/stdout.log
    and logs/stderr.log while it runs, uploads --artifacts, and finishes the execution: pass for
    exit code 0, fail for others, error where CMD was killed, timed out or could not be started.

    Exits with CMD's own code whatever becomes of the uploads: 128+n after signal n, 124 after
    --timeout, 127 where CMD is not found, 126 where it cannot be run. What S3 did not get stays in
    a spool directory, and the command that stores it is printed. CMD sees
    ORCHESTRATOR_EXECUTION_ID; signals are passed on to its process group, which ends with it.

    CMD's arguments are stored, its environment is not. Two streams that go to one place may be
    interleaved differently; `sh -c 'CMD 2>&1'` keeps their order, in one log.
    """
    app.check_bucket()
    if resume is not None:
        if argv:
            raise click.UsageError("--resume runs nothing; leave CMD out.")
        _resume(app, resume)
        return
    if not argv:
        raise click.UsageError("Missing CMD; write it after --.")
    from orchestrator_cli.core.executions.metadata import build_metadata
    from orchestrator_cli.runner.output_copier import open_missing_streams
    from orchestrator_cli.runner.run_record import RunStart
    from orchestrator_cli.runner.session import Limits
    from orchestrator_cli.runner.spool import create_spool

    open_missing_streams()
    started_at = _milliseconds(app.now())
    declared = {
        "reservation_id": reservation_id,
        "runner_type": runner_type,
        "bench_id": bench_id,
        "test_suite": suite,
        "labels": dict(labels),
    }
    checked = build_metadata(
        execution_id=execution_id or app.new_execution_id(), started_at=started_at, **declared
    )
    start = RunStart(
        execution_id=checked.execution_id,
        command=[os.fsencode(word).decode("utf-8", "backslashreplace") for word in argv],
        host=socket.gethostname(),
        pid=os.getpid(),
        tool_version=__version__,
        started_at=started_at,
        declared=declared,
        artifacts=os.path.abspath(artifacts) if artifacts else None,
        reused=execution_id is not None,
    )
    place = create_spool(app.spool_roots(spool), spool is not None, start.execution_id)
    limits = Limits(
        timeout.total_seconds() if timeout else None,
        kill_after.total_seconds(),
        upload_timeout.total_seconds(),
    )
    _run(app, start, place, limits, argv)


def _run(app: App, start: RunStart, spool: Spool, limits: Any, argv: tuple[str, ...]) -> NoReturn:
    from orchestrator_cli.runner.session import Session

    try:
        spool.lock()
        spool.write_state(start, None)
    except OSError as error:
        app.output.warn(f"the spool cannot be written: {error.strerror}")
    if spool.directory is None:
        app.output.warn("no space for a spool: the output of CMD will not be stored")
    log = _runner_log(app, spool)
    log.note(f"orchestrator {start.tool_version} on {start.host}: execution {start.execution_id}")
    log.note(f"command: {shlex.join(start.command)}")
    app.output.note(f"execution {start.execution_id}")
    session = Session(
        start=start,
        command=argv,
        spool=spool,
        log=log,
        upload=_upload(app, spool, start, log),
        limits=limits,
        environment=app.command_environment(start.execution_id),
        clock=lambda: _milliseconds(app.now()),
        say=lambda text: click.echo(text, err=True),
        say_slow=lambda: app.output.note("CMD has ended; its output is being stored"),
    )
    end, outcome = session.run()
    _write_metrics(app, outcome)
    _report(app, spool, start, outcome, f"{end.result}, {end.summary}")
    sys.stderr.flush()
    # A signal that came late must not change the code.
    os._exit(end.exit_code if end.exit_code is not None else 1)


def _milliseconds(instant: datetime) -> datetime:
    """Cut an instant to what metadata.json keeps."""
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def _runner_log(app: App, spool: Spool) -> RunnerLog:
    from orchestrator_cli.runner.spool import RunnerLog

    return RunnerLog(spool.log_path("runner.log"), app.now)


def _upload(app: App, spool: Spool, start: RunStart, log: RunnerLog) -> RunUploader:
    from orchestrator_cli.runner.run_uploader import RunUploader

    return RunUploader(spool, start, log, lambda patient: app.store(patient=patient), app.meter)


def _report(app: App, spool: Spool, start: RunStart, outcome: RunOutcome, how: str) -> None:
    for problem in outcome.problems:
        app.output.warn(problem)
    if outcome.stored:
        app.output.note(f"finished {start.execution_id}: {how}; {outcome.summary} stored")
        return
    app.output.warn(f"not everything of {start.execution_id} is stored: {outcome.summary}")
    if spool.directory is not None:
        click.echo("What is left is kept. To store it:", err=True)
        click.echo(f"  {_resume_line(app, spool.directory)}", err=True)


def _write_metrics(app: App, outcome: RunOutcome) -> None:
    if app.meter is not None and outcome.measured is not None:
        from orchestrator_cli.core.metrics.registry import MetricsSnapshot

        # It was counted in the process that stores.
        app.meter.put_back(MetricsSnapshot.from_list(outcome.measured))
    app.write_metrics()


def _resume_line(app: App, directory: Path) -> str:
    settings = app.settings
    given = {
        "--bucket": settings.bucket,
        "--profile": settings.profile,
        "--region": settings.region,
        "--endpoint-url": settings.endpoint_url,
    }
    options = [word for name, text in given.items() if text for word in (name, text)]
    return shlex.join(["orchestrator", *options, "run", "--resume", str(directory)])


def _resume(app: App, directory: Path) -> None:
    """Do what the run could not. Raises the error that is left."""
    from orchestrator_cli.core.base.errors import UsageError
    from orchestrator_cli.core.base.text import printable
    from orchestrator_cli.runner.run_record import RunEnd
    from orchestrator_cli.runner.spool import Spool

    spool = Spool(directory.absolute())
    start, end, sealed = spool.read_state()
    if not spool.lock():
        raise UsageError(f"the run of {printable(directory)} is still under way")
    log = _runner_log(app, spool)
    log.sealed = sealed
    if end is None:
        changed = datetime.fromtimestamp(spool.last_change(), UTC)
        end = RunEnd(
            _milliseconds(max(changed, start.started_at)),
            max(0.0, round((changed - start.started_at).total_seconds(), 3)),
            error="the runner was killed",
        )
    log.note("what is left is stored by a later command")
    outcome = _upload(app, spool, start, log).finish(end)
    _report(app, spool, start, outcome, f"{end.result}, {end.summary}")
    if outcome.exit_code:
        sys.exit(outcome.exit_code)
