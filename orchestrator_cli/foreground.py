"""Run a command in the foreground as a shell does, and hold signals while it runs.

Signals are blocked and then asked for, because only so can it be told who sent them. That works
while this is the process's only thread.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

STOP_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
_PASSED_ON = STOP_SIGNALS | {signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2}
# Python ignores these two, and a command would inherit that.
_RESET_FOR_COMMANDS = (signal.SIGPIPE, signal.SIGXFSZ)


@contextmanager
def held_signals(signals: frozenset[signal.Signals]) -> Iterator[HeldSignals]:
    """Hold these signals, and the end of a child, until they are asked for.

    A signal that was ignored before (as under nohup) stays ignored.
    """
    wanted = {one for one in signals if signal.getsignal(one) is not signal.SIG_IGN}
    # With no handler at all, some systems throw this one away instead of holding it.
    previous = signal.signal(signal.SIGCHLD, lambda *_: None)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, wanted | {signal.SIGCHLD})
    try:
        yield HeldSignals(frozenset(wanted | {signal.SIGCHLD}), frozenset(mask))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGCHLD, previous)


class HeldSignals:
    """The signals being held; `mask` is what was blocked before, for a command to inherit."""

    def __init__(
        self, signals: frozenset[signal.Signals], mask: frozenset[signal.Signals | int]
    ) -> None:
        self._signals = signals
        self.mask = mask

    def wait(self) -> tuple[signal.Signals, bool]:
        """Wait for a signal; also say whether the terminal sent it, to the whole group."""
        sigwaitinfo = getattr(signal, "sigwaitinfo", None)  # macOS has none
        if sigwaitinfo is not None:
            info = sigwaitinfo(self._signals)
            return signal.Signals(info.si_signo), info.si_code > 0  # positive: from the kernel
        return signal.Signals(signal.sigwait(self._signals)), _in_foreground()


def run_foreground(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the command to its end and return its exit code as a shell would: 128+n for signal n.

    Signals sent to this process are passed on. Those of the terminal have reached the command
    already. Raises FileNotFoundError, PermissionError and other OSErrors where it cannot start.
    """
    with held_signals(_PASSED_ON) as signals:
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
                    return _shell_code(status)
            elif not from_terminal:
                os.kill(child, received)


def _shell_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _in_foreground() -> bool:
    """Return whether the terminal's signals come to this process's group."""
    try:
        with open("/dev/tty", "rb", buffering=0) as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False
