"""Start the command in a narrow place: few descriptors or processes, no home, ignored signals."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence

import pytest

from tests.support.commands.running import COMMAND

_LAUNCHER = """
import fcntl, os, resource, signal, sys
{prepare}
os.execvp(sys.argv[1], sys.argv[1:])
"""
# What a user that nobody is needs to read what the tests have made.
_RIGHTS = (
    "--clear-groups --inh-caps=+dac_override,+dac_read_search "
    "--ambient-caps=+dac_override,+dac_read_search"
).split()

needs_another_user = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="needs to be another user, for which root and setpriv are needed",
)

NON_BLOCKING = (
    "for n in ({numbers}): "
    "fcntl.fcntl(n, fcntl.F_SETFL, fcntl.fcntl(n, fcntl.F_GETFL) | os.O_NONBLOCK)"
)


def launched(prepare: str, command: Sequence[str] = COMMAND) -> tuple[str, ...]:
    """Return a command that does some Python before it becomes another one."""
    return (sys.executable, "-S", "-E", "-c", _LAUNCHER.format(prepare=prepare), *command)


def few_descriptors(count: int) -> tuple[str, ...]:
    limit = "resource.RLIMIT_NOFILE"
    return launched(f"resource.setrlimit({limit}, ({count}, {count}))")


def few_processes(count: int) -> tuple[tuple[str, ...], int]:
    """Return the command as a user without other processes, and that user.

    The limit is for all processes and threads of a user, those of tests beside this one too.
    """
    limit = "resource.RLIMIT_NPROC"
    setpriv = shutil.which("setpriv") or "setpriv"
    user = 100_000 + os.getpid() * 100 + count
    return launched(
        f"resource.setrlimit({limit}, ({count}, {count}))",
        (setpriv, f"--reuid={user}", f"--regid={user}", *_RIGHTS, *COMMAND),
    ), user


def non_blocking(*numbers: int) -> tuple[str, ...]:
    """Return the command with these descriptors non-blocking."""
    return launched(NON_BLOCKING.format(numbers="".join(f"{number}," for number in numbers)))


def ignoring(*names: str) -> tuple[str, ...]:
    """Return the command with these signals ignored."""
    lines = [f"signal.signal(signal.{name}, signal.SIG_IGN)" for name in names]
    return launched("\n".join(lines))
