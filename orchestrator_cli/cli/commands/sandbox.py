"""`orchestrator sandbox`: a throw-away S3, for trying everything with no account."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from orchestrator_cli.cli.options import Example, command, complete_command
from orchestrator_cli.core.base.errors import OrchestratorError
from orchestrator_cli.runner.process import run_foreground, start_failure
from orchestrator_cli.runner.signals import STOP_SIGNALS, blocked_signals
from orchestrator_cli.sandbox.sandbox import DEFAULT_BUCKET, UNSET_VARIABLES, Sandbox, start_sandbox

_SHELLS = frozenset({"bash", "sh", "dash", "ash", "ksh", "zsh", "fish"})
_MARK = "(sandbox) "
_MARK_BASH = f'[[ $PS1 == "{_MARK}"* ]] || PS1="{_MARK}$PS1"'


@command(
    examples=(
        Example("a shell in which every command works", "orchestrator sandbox -- bash"),
        Example("run a script against it", "orchestrator sandbox -- ./tour.sh"),
        Example("for other terminals, until Ctrl-C", "orchestrator sandbox"),
    ),
    exit_codes=(0, 1, 2),
    exit_meanings={
        0: "done; with CMD, its own code is passed on",
    },
    context_settings={"allow_interspersed_args": False},
)
@click.option(
    "--bucket", metavar="B", default=DEFAULT_BUCKET, show_default=True, help="The bucket to make."
)
@click.argument(
    "argv",
    metavar="[-- CMD …]",
    nargs=-1,
    type=click.UNPROCESSED,
    shell_complete=complete_command,
)
def sandbox(bucket: str, argv: tuple[str, ...]) -> None:
    """Start a throw-away S3 on this machine, with a bucket in it.

    With CMD, run it with the environment set and exit with its own code: as in a shell, 128+n
    after signal n, 127 where CMD is not found, 126 where it cannot be run. Without, print the
    environment and wait for Ctrl-C. Everything stored is gone at the end.
    """
    with start_sandbox(bucket) as running:
        code = _run(running, argv) if argv else _serve(running)
    sys.exit(code)


def _run(running: Sandbox, argv: tuple[str, ...]) -> int:
    environment = running.full_environment()
    shell = Path(argv[0]).name
    if shell in _SHELLS and len(argv) == 1 and sys.stdin.isatty():
        _greet(running)
        environment |= _prompt(shell, environment)
    try:
        return run_foreground(argv, environment)
    except OSError as error:
        code, reason = start_failure(argv[0], error)
        click.echo(f"error: {reason}", err=True)
        return code


def _greet(running: Sandbox) -> None:
    for line in (
        f"This shell has a throw-away S3 with the bucket {running.bucket}.",
        "Everything in it is gone when the shell ends. To begin:",
        "  orchestrator run --suite demo -- echo hello",
        "  orchestrator ls",
    ):
        click.echo(line, err=True)


def _prompt(shell: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that mark the prompt; none for a shell whose way is not known."""
    if shell == "bash":
        # Its start files set PS1 anew, so it is marked when a prompt is due.
        before = environment.get("PROMPT_COMMAND")
        return {"PROMPT_COMMAND": _MARK_BASH + (f"; {before}" if before else "")}
    return {"PS1": f"{_MARK}$ "} if shell in {"sh", "dash", "ash", "ksh"} else {}


def _serve(running: Sandbox) -> int:
    """Print the environment, then wait for a signal: the normal end, hence code 0."""
    with blocked_signals(STOP_SIGNALS) as signals:
        click.echo(_shell_lines(running))
        click.echo(
            "The sandbox runs until Ctrl-C. Paste these lines into another terminal, "
            "or start a shell with them: orchestrator sandbox -- bash",
            err=True,
        )
        while running.is_running():
            received, _ = signals.wait()
            if received is not signal.SIGCHLD:
                return 0
    raise OrchestratorError("the sandbox's server ended by itself", hint="start the sandbox again")


def _shell_lines(running: Sandbox) -> str:
    lines = [f"unset {' '.join(UNSET_VARIABLES)}"]
    lines += [f"export {name}={shlex.quote(text)}" for name, text in running.environment().items()]
    return "\n".join(lines)
