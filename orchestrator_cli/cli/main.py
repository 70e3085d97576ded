"""The program's entry point: it runs the command line and turns errors into exit codes."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from orchestrator_cli.cli.app import App
from orchestrator_cli.cli.configuration.environment import is_completing
from orchestrator_cli.cli.configuration.settings import Settings
from orchestrator_cli.cli.lazy_group import COMMANDS, BrokenStdout
from orchestrator_cli.cli.process import (
    end_at_once,
    flush_and_exit,
    prepare_signals,
    prepare_streams,
    was_interrupted,
)
from orchestrator_cli.cli.report.error_report import (
    report_error,
    report_interrupted,
    report_unexpected,
    report_usage,
)
from orchestrator_cli.cli.root import cli
from orchestrator_cli.cli.utf8_mode import ensure_utf8_mode
from orchestrator_cli.core.base.errors import CannotWriteError, InterruptedByUser, OrchestratorError

__all__ = ["COMMANDS", "cli", "main", "run_process"]


def run_process() -> NoReturn:
    """Run the command line and end the process at once.

    To take the interpreter apart would take as long as a request; everything is written by then.
    """
    ensure_utf8_mode()
    try:
        main()
    except SystemExit as end:
        if end.code == 0:
            end_at_once(0)
        raise


def main(argv: list[str] | None = None) -> NoReturn:
    """Run the command line; always ends in SystemExit with a documented code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    prepare_streams()
    prepare_signals()
    try:
        code = _run(arguments)
    except (BrokenStdout, BrokenPipeError):
        # It has all it wanted, as `| head` has. Threads may still read ahead for it.
        end_at_once(0)
    flush_and_exit(code)


def _run(arguments: list[str]) -> int:
    app = App(Settings(), is_completing=is_completing())
    if app.is_completing:
        from orchestrator_cli.cli.completion.shells import register_shells

        register_shells()
    try:
        cli.main(arguments, prog_name="orchestrator", standalone_mode=False, obj=app)
        sys.stdout.flush()
        return CannotWriteError.exit_code if app.lost_output else 0
    except (BrokenStdout, BrokenPipeError):
        raise
    except (KeyboardInterrupt, click.Abort, InterruptedByUser):
        end_at_once(report_interrupted(arguments, app))
    except click.ClickException as error:
        return report_usage(error, arguments)
    except OrchestratorError as error:
        return report_error(error, arguments, app)
    except Exception as error:  # noqa: BLE001 - the last line of defence
        if was_interrupted():
            end_at_once(report_interrupted(arguments, app))
        return report_unexpected(error, arguments, app)
