"""Run a command in the foreground as a shell does, and name how a command ended as a shell does."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from typing import NoReturn

from orchestrator_cli.core.base.text import printable
from orchestrator_cli.runner.signals import FORWARDED_SIGNALS, blocked_signals

# Python ignores these two, and a command would inherit that.
_RESET_FOR_COMMANDS = (signal.SIGPIPE, signal.SIGXFSZ)
_NOT_EXECUTABLE = 126
_NOT_FOUND = 127


def run_foreground(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the command to its end and return its exit code as a shell would: 128+n for signal n.

    Signals sent to this process are passed on. Those of the terminal have reached the command
    already. Raises FileNotFoundError, PermissionError and other OSErrors where it cannot start.
    """
    with blocked_signals(FORWARDED_SIGNALS) as signals:
        child = os.posix_spawnp(
            command[0],
            list(command),
            dict(environment),
            setsigmask=signals.mask,
            setsigdef=_RESET_FOR_COMMANDS,
        )
        while True:
            received, from_terminal = signals.wait()
            if received is signal.SIGCHLD:
                pid, status = os.waitpid(child, os.WNOHANG)
                if pid == child:
                    return shell_code(status)
            elif not from_terminal:
                os.kill(child, received)


def replace_by_command(command: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Become the command: no process, thread or descriptor more is needed. Raises OSError."""
    for number in _RESET_FOR_COMMANDS:
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(command[0], list(command), dict(environment))  # noqa: S606
    except OSError as error:
        script = script_command(command, error)
        if script is None:
            raise
        os.execve(script[0], script, dict(environment))  # noqa: S606


def script_command(command: Sequence[str], error: OSError) -> list[str] | None:
    """Return the command line for a script without `#!`, which did not start; None for no script.

    Shells run those themselves.
    """
    path = shutil.which(command[0]) if error.errno == errno.ENOEXEC else None
    return None if path is None else ["/bin/sh", path, *command[1:]]


def start_failure(name: str, error: OSError) -> tuple[int, str]:
    """Return a shell's exit code for a command that cannot be started, and the message."""
    if isinstance(error, FileNotFoundError):
        return _NOT_FOUND, f"{printable(name)}: command not found"
    return _NOT_EXECUTABLE, f"{printable(name)}: {error.strerror}"


def shell_code(status: int) -> int:
    """Return a shell's exit code for a wait status: 128+n after signal n."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
