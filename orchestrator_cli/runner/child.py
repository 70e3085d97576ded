"""Start the command with its streams, its session or process group, and its signals."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from orchestrator_cli.runner.output_copier import redirect_to_devnull
from orchestrator_cli.runner.process import script_command
from orchestrator_cli.runner.signals import BlockedSignals
from orchestrator_cli.runner.terminal import KeyRelay, copy_window_size, in_foreground, open_pty


@dataclass
class Child:
    """A running command, the leader of its process group, and our ends of its streams."""

    pid: int
    stdout: int
    stderr: int
    terminals: dict[int, int] = field(default_factory=dict)
    relay: KeyRelay | None = None

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
        """Copy the size of our terminals to the command's."""
        for ours, theirs in self.terminals.items():
            copy_window_size(ours, theirs)


def start_child(
    command: Sequence[str], environment: Mapping[str, str], signals: BlockedSignals
) -> Child:
    """Start the command. Where ours are terminals, it gets terminals of its own.

    With a terminal for its output it leads a session on that, else a process group of ours.
    Raises OSError where it cannot be started.
    """
    keys = os.isatty(1) and os.isatty(0)
    ends, theirs, terminals = _open_streams(keys and in_foreground(0))
    on_terminal = 1 in terminals
    relayed = keys and on_terminal and in_foreground(0)

    try:
        process = _spawn(
            command,
            environment,
            (theirs[1] if keys and on_terminal else None, theirs[1], theirs[2]),
            partial(_lead_group, signals, on_terminal=on_terminal),
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
        child.relay = _relay_keys(ends[1])
    if child.relay is None:
        _close_stdin()
    return child


def _lead_group(signals: BlockedSignals, *, on_terminal: bool) -> None:
    """In the command's process: make it the leader of a session, or of a group of ours."""
    # The command runs also where it cannot have the terminal or the group.
    with contextlib.suppress(OSError):
        if on_terminal:
            os.setsid()
            fcntl.ioctl(1, termios.TIOCSCTTY, 0)
        else:
            os.setpgid(0, 0)
    signals.restore()


def _relay_keys(terminal: int) -> KeyRelay | None:
    try:
        relay = KeyRelay(terminal)
    except (OSError, termios.error):
        return None
    relay.start()
    return relay


def _close(descriptors: Mapping[int, int]) -> None:
    for descriptor in descriptors.values():
        os.close(descriptor)


def _open_streams(relayed: bool) -> tuple[dict[int, int], dict[int, int], dict[int, int]]:
    """Return our ends of the two output streams, the command's, and which are terminals.

    Raises OSError, and leaves nothing open then.
    """
    ends: dict[int, int] = {}
    theirs: dict[int, int] = {}
    terminals: dict[int, int] = {}
    try:
        for number in (1, 2):
            pair = _open_pty_like(number, relayed)
            ends[number], theirs[number] = pair or os.pipe()
            if pair is not None:
                terminals[number] = ends[number]
    except OSError:
        _close(ends)
        _close(theirs)
        raise
    return ends, theirs, terminals


def _open_pty_like(number: int, relayed: bool) -> tuple[int, int] | None:
    """Return a terminal where that stream of ours is one and there are any to be had."""
    if not os.isatty(number):
        return None
    try:
        return open_pty(number, relayed)
    except OSError:
        return None


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
        script = script_command(command, error)
        if script is None:
            raise
        return subprocess.Popen(script, stdin=stdin, stdout=stdout, stderr=stderr, **options)  # type: ignore[call-overload,no-any-return]


def _close_stdin() -> None:
    """Close our standard input, so that its writer sees it close when the command does."""
    if not os.isatty(0):
        with contextlib.suppress(OSError):
            redirect_to_devnull(0)
