"""`orchestrator run`: run a command and store its output.

It must not know how the child process is run or its output stored.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from orchestrator_cli.cli.app import App, pass_app
from orchestrator_cli.cli.commands.run.live_types import AUTO, FOLLOWED_FILE, LIVE
from orchestrator_cli.cli.commands.run.options import RunOptions
from orchestrator_cli.cli.commands.run.spooled import resume_run, run_spooled, warn_of_settings
from orchestrator_cli.cli.commands.run.start import describe_start
from orchestrator_cli.cli.configuration.environment import spool_roots
from orchestrator_cli.cli.options import (
    DURATION,
    Example,
    command,
    complete_command,
    gather_options,
)
from orchestrator_cli.cli.options.declaration_options import declaration_options
from orchestrator_cli.cli.options.metrics_options import metrics_options
from orchestrator_cli.cli.usage_errors.usage_text import HintedUsageError
from orchestrator_cli.core.executions.ids import is_selector

# What `gh run` does by these, `run` takes for a program's name.
_OTHER_RUNS = {"cancel", "download", "list", "rerun", "view", "watch"}


def _refuse_other_run(words: Sequence[str]) -> click.UsageError | None:
    """Refuse `run view ID` as gh has it; `run -- view` runs a program of that name."""
    from orchestrator_cli.cli.usage_errors.suggested_line import suggested_line

    if not words or words[0] not in _OTHER_RUNS:
        return None
    if not (words[0] == "list" or len(words) == 1 or any(map(is_selector, words[1:]))):
        return None
    meant = shlex.join(["orchestrator", *(suggested_line(words, ()) or ())])
    return HintedUsageError(
        f"`run` runs a program, and is not `gh run {words[0]}`.",
        f"try `{meant}`; `orchestrator run -- {words[0]}` runs a program of that name",
    )


@command(
    examples=(
        Example(
            "a test suite and its reports",
            "orchestrator run --suite smoke "
            "--artifacts reports -- pytest --junitxml reports/junit.xml",
        ),
        Example("at most an hour", "orchestrator run --timeout 1h -- make test"),
        Example(
            "with a serial console's capture, which can be followed meanwhile",
            "orchestrator run --follow-file /var/log/console/dut7.log:bench.log -- ./flash.sh",
        ),
        Example(
            "counted by an OpenTelemetry Collector",
            "orchestrator run --metrics-otlp http://localhost:4318 -- make test",
        ),
        Example(
            "what S3 did not get, later",
            "orchestrator run --resume ~/.local/state/orchestrator/runs/$ID",
        ),
    ),
    exit_codes=(0, 2, 3, 4, 5, 6, 9),
    exit_meanings={
        0: "CMD ended with 0; any other code of CMD is passed on",
        3: "--resume: some files failed; each failure is listed",
        4: "--resume: no such bucket",
        5: "--resume: credentials missing or access denied",
        6: "--resume: S3 holds other content; resuming again cannot help",
        9: "--resume: storage unavailable after retries; the same command resumes",
        130: "CMD was interrupted",
    },
    context_settings={"allow_interspersed_args": False},
    refuses=_refuse_other_run,
)
@click.option(
    "--id",
    "execution_id",
    metavar="ULID",
    help="Use the execution with this id; make it if there is none.",
)
@declaration_options
@click.option(
    "--artifacts",
    metavar="PATH",
    # In a variable, several are separated as in PATH.
    type=click.Path(readable=False),
    multiple=True,
    help="Upload this file or directory when CMD has ended.",
)
@click.option(
    "--if-no-artifacts",
    type=click.Choice(["error", "ignore"]),
    default="error",
    show_default=True,
    help="What to do where a PATH of --artifacts is missing: record a failure, or nothing.",
)
@click.option(
    "--include-hidden",
    is_flag=True,
    help="Upload hidden files as well.",
)
@click.option("--no-store-command", is_flag=True, help="Do not store CMD and its arguments.")
@click.option("--timeout", type=DURATION, help="End CMD after this long.  [default: never]")
@click.option(
    "--kill-after",
    type=DURATION,
    default="10s",
    show_default=True,
    help="How long after the SIGTERM of --timeout to send SIGKILL.",
)
@click.option(
    "--upload-timeout",
    type=DURATION,
    default="5m",
    show_default=True,
    help="Give up when CMD has ended and S3 has taken nothing for this long.",
)
@click.option(
    "--live",
    type=LIVE,
    metavar="auto|DURATION|off",
    default=AUTO,
    show_default=True,
    help="How often to store what is new of a log while CMD runs, for `logs -f`.",
)
@click.option(
    "--follow-file",
    "followed",
    type=FOLLOWED_FILE,
    metavar="PATH[:NAME]",
    multiple=True,
    help="Store this file as a log, too, such as a serial console's capture, while it grows.",
)
@click.option(
    "--spool",
    metavar="DIR",
    type=click.Path(readable=False, path_type=Path),
    help="Where output waits for S3.  [default: ~/.local/state/orchestrator/runs]",
)
@click.option(
    "--resume",
    metavar="DIR",
    type=click.Path(readable=False, path_type=Path),
    help="Run nothing: store what an earlier run left in its spool directory.",
)
@click.argument(
    "argv",
    metavar="[-- CMD …]",
    nargs=-1,
    type=click.UNPROCESSED,
    shell_complete=complete_command,
)
@metrics_options
@gather_options(RunOptions)
@pass_app
def run(app: App, options: RunOptions) -> None:
    """Run a command and store its output.

    Makes an execution and runs CMD. Its output appears live and unchanged, and is stored as
    logs/stdout.log and logs/stderr.log while CMD runs. Then uploads --artifacts and finishes the
    execution: pass for exit code 0, fail for any other, error where CMD was killed, timed out or
    could not be started.

    Exits with CMD's own code, whether or not the uploads succeed: 128+n after signal n, 124 after
    --timeout, 127 where CMD is not found, 126 where it cannot be run. What could not be stored
    stays in a spool directory, and the command that stores it later is printed. The same holds
    where no bucket is configured, or where the config file or the variable of a global option is
    broken; only a wrong command line, or a wrong variable or setting of `run` itself, exits with 2
    before CMD runs. CMD sees ORCHESTRATOR_EXECUTION_ID. Signals are passed on to its process group,
    which ends with it.

    What is new in these logs, and in each --follow-file, goes to live/ in the bucket while CMD
    runs: `orchestrator logs -f` shows it from anywhere, and it survives if this machine dies. By
    default it goes $live_schedule; where nothing is new nothing is sent, and CMD never waits for
    it. It expires after $live_days days. orchestrator-scale(7) says what it costs.

    A --follow-file is stored whole, from its first byte. It may appear later, and be replaced or
    cut short, as by rotation. NAME is bench.log or a path under artifacts/; without one it follows
    from the file's own name, as for `upload`.

    CMD's arguments are stored, its environment is not. What looks secret is replaced by "…": the
    values of variables, options, headers and URL parameters whose names say so (*_TOKEN,
    *_PASSWORD, *SECRET*, *_KEY, Authorization, Cookie, sig=), and of such variables of the
    environment; the user and password of URLs; the password of -u NAME:PASSWORD; the word after -p,
    unless it is a number or a program like ssh, mkdir or pytest means something else by it; and
    tokens known by their form, such as ghp_ and JWTs. --no-store-command stores no argument at all.

    What CMD prints is stored as it is. Standard output and standard error are copied separately, so
    their lines may be interleaved differently than without `run`; `sh -c 'CMD 2>&1'` keeps the
    order, in one log.
    """
    app.says_waiting = False
    options.check()
    if options.resume is None:
        _run_command(app, options)
        return
    # A missing bucket is told before the spool is looked at.
    _ = app.connections.bucket
    resume_run(app, options.resume)


def _run_command(app: App, options: RunOptions) -> None:
    """Run the command as a new execution, and end with its exit code."""
    from orchestrator_cli.core.executions.record.metadata import build_metadata
    from orchestrator_cli.runner.output_copier import open_missing_streams
    from orchestrator_cli.runner.run_record import to_milliseconds
    from orchestrator_cli.runner.spool_log import begin_run

    open_missing_streams()
    # The spool may take the last descriptors, which later imports would need.
    _ = app.messages
    limits = options.limits()
    started_at = to_milliseconds(app.now())
    execution_id = build_metadata(
        execution_id=options.execution_id or app.new_execution_id(),
        started_at=started_at,
        **options.declared,
    ).execution_id
    environment = app.command_environment(execution_id)
    warn_of_settings(app)
    start = describe_start(options, execution_id, started_at, environment)
    roots, is_named = spool_roots(options.spool), options.spool is not None
    spooled = begin_run(roots, start, app.now, app.messages.warn, named=is_named)
    run_spooled(app, spooled, limits, options.argv, environment)
