"""Start the command: its streams, its session or process group, its signals."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import signal
import subprocess
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator_cli.runner.output_copier import redirect_to_devnull
from orchestrator_cli.runner.signals import BlockedSignals
from orchestrator_cli.runner.terminal import Relay, copy_window_size, in_foreground, open_pty


@dataclass
class Child:
    """A running command, the leader of its process group, and our ends of its streams."""

    pid: int
    stdout: int
    stderr: int
    terminals: dict[int, int] = field(default_factory=dict)
    relay: Relay | None = None

    def signal_group(self, number: int) -> bool:
        """Signal the whole group; False where nobody is left in it."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return False
        except PermissionError:
            # Somebody in it has become another user.
            return True
        return True

    def resize(self) -> None:
        """Pass on the size of our terminals."""
        for ours, theirs in self.terminals.items():
            copy_window_size(ours, theirs)


def start_child(
    command: Sequence[str], environment: Mapping[str, str], signals: BlockedSignals
) -> Child:
    """Start the command. Where ours are terminals, it gets terminals of its own.

    With a terminal for its output it leads a session on that, else a process group of ours.
    Raises OSError where it cannot be started.
    """
    on_terminal = os.isatty(1)
    keys = on_terminal and os.isatty(0)
    relayed = keys and in_foreground(0)
    ends, theirs, terminals = _open_streams(relayed)

    def prepare() -> None:
        if on_terminal:
            os.setsid()
            fcntl.ioctl(1, termios.TIOCSCTTY, 0)
        else:
            os.setpgid(0, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, signals.mask)

    try:
        process = _spawn(
            command, environment, (theirs[1] if keys else None, theirs[1], theirs[2]), prepare
        )
    except BaseException:
        _close(ends)
        raise
    finally:
        _close(theirs)
    child = Child(process.pid, ends[1], ends[2], terminals)
    # Its end is seen by waitpid; the object must not wait for it, or warn that nobody did.
    process.returncode = 0
    if relayed:
        child.relay = Relay(ends[1])
        child.relay.start()
    else:
        _let_go_of_input()
    return child


def _close(descriptors: Mapping[int, int]) -> None:
    for descriptor in descriptors.values():
        os.close(descriptor)


def _open_streams(relayed: bool) -> tuple[dict[int, int], dict[int, int], dict[int, int]]:
    """Return our ends of the two output streams, the command's, and which are terminals."""
    ends: dict[int, int] = {}
    theirs: dict[int, int] = {}
    terminals: dict[int, int] = {}
    for number in (1, 2):
        if os.isatty(number):
            ends[number], theirs[number] = open_pty(number, relayed)
            terminals[number] = ends[number]
        else:
            ends[number], theirs[number] = os.pipe()
    return ends, theirs, terminals


def _spawn(
    command: Sequence[str],
    environment: Mapping[str, str],
    streams: tuple[int | None, int, int],
    prepare: object,
) -> subprocess.Popen[bytes]:
    stdin, stdout, stderr = streams
    # Descriptors that were handed to us are the command's: a job server's, a supervisor's sockets.
    options = {"close_fds": False, "preexec_fn": prepare, "env": dict(environment)}
    try:
        return subprocess.Popen(list(command), stdin=stdin, stdout=stdout, stderr=stderr, **options)  # type: ignore[call-overload,no-any-return]
    except OSError as error:
        path = shutil.which(command[0]) if error.errno == errno.ENOEXEC else None
        if path is None:
            raise
        # A script without #!, which shells run themselves.
        script = ["/bin/sh", path, *command[1:]]
        return subprocess.Popen(script, stdin=stdin, stdout=stdout, stderr=stderr, **options)  # type: ignore[call-overload,no-any-return]


def _let_go_of_input() -> None:
    """Leave standard input to the command: who writes to it must see it close."""
    if not os.isatty(0):
        with contextlib.suppress(OSError):
            redirect_to_devnull(0)
