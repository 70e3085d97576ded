"""An error in one or two lines on standard error, and the exit code that it becomes."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading

import click
from click.exceptions import NoArgsIsHelpError

from orchestrator_cli.cli.app import App
from orchestrator_cli.cli.configuration.environment import debug_from_environment
from orchestrator_cli.cli.standard_error import print_error
from orchestrator_cli.core.base.errors import (
    RESUME_HINT,
    InterruptedByUser,
    OrchestratorError,
    PartialFailureError,
)
from orchestrator_cli.core.base.text import printable, without_secrets

_LAST_LINE_SECONDS = 2.0


def report_usage(error: click.ClickException, arguments: list[str]) -> int:
    """Report a line that was typed wrongly."""
    _finish_output()
    if isinstance(error, NoArgsIsHelpError):
        for line in error.format_message().rstrip("\n").split("\n"):
            print_error(line)
    else:
        # Long tables of what people type instead.
        from orchestrator_cli.cli.usage_errors.usage_hint import usage_hint
        from orchestrator_cli.cli.usage_errors.usage_text import describe_usage_error

        print_error(f"error: {describe_usage_error(error)}")
        print_error(f"hint: {without_secrets(usage_hint(error, arguments))}")
    return error.exit_code


def report_error(error: OrchestratorError, arguments: list[str], app: App) -> int:
    """Report an error, and what to do next."""
    from orchestrator_cli.cli.output.units import human_error

    _finish_output()
    _trace(error, arguments, app)
    _say_error(app, human_error(error))
    resumes = app.resumes and error.retryable
    hint = _hint(error, resumes)
    if hint:
        print_error(f"hint: {hint}")
    if resumes:
        print_error(f"  {_command_line(arguments)}")
    return error.exit_code


def _say_error(app: App, text: str) -> None:
    step = app.messages.ci_step
    print_error(step.error(text) if step else f"error: {text}")


def _hint(error: OrchestratorError, resumes: bool) -> str | None:
    """Return what to do next; the hint of a summary of failures says already how to go on."""
    if resumes and not isinstance(error, PartialFailureError):
        return f"{error.hint}, then {RESUME_HINT}" if error.hint else RESUME_HINT
    if error.retryable and not error.hint:
        return "it may pass: try again in a moment"
    return error.hint


def report_unexpected(error: Exception, arguments: list[str], app: App) -> int:
    """Report an error that nobody foresaw."""
    _finish_output()
    _trace(error, arguments, app)
    if isinstance(error, OSError) and error.strerror:
        # The machine's fault, such as a full disk behind standard output.
        where = f" {error.filename}:" if error.filename else ""
        print_error(f"error:{where} {error.strerror}")
    else:
        print_error(f"error: unexpected {type(error).__name__}: {without_secrets(str(error))}")
        print_error("hint: --debug shows where; please report it")
    return OrchestratorError.exit_code


def report_interrupted(arguments: list[str], app: App) -> int:
    """Report the interruption and how to go on, and that stored files are kept."""
    # A second signal must not wait for anything.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    print_error(f"interrupted{'; what was stored is kept' if app.resumes else ''}. To go on:")
    print_error(f"  {_command_line(arguments)}")
    _finish_last_line()
    return InterruptedByUser.exit_code


def _finish_output() -> None:
    """Flush standard output before any message about it."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()


def _finish_last_line() -> None:
    """Flush standard output, unless its reader is gone."""

    def flush() -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()

    writing = threading.Thread(target=flush, daemon=True)
    writing.start()
    writing.join(_LAST_LINE_SECONDS)


def _command_line(arguments: list[str]) -> str:
    import shlex

    return printable(without_secrets(shlex.join(["orchestrator", *arguments])))


def _trace(error: Exception, arguments: list[str], app: App) -> None:
    if "--debug" in arguments or app.settings.debug or debug_from_environment():
        with contextlib.suppress(OSError):
            import traceback

            print(without_secrets("".join(traceback.format_exception(error))), file=sys.stderr)
