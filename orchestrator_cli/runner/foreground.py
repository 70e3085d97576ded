"""Run a command in the foreground as a shell does, and hold signals while it runs.

Signals are blocked and then asked for, because only so can it be told who sent them. That works
where every other thread was started while they were blocked.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from orchestrator_cli.core.base.text import printable

STOP_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
FORWARDED_SIGNALS = STOP_SIGNALS | {signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2}
# Python ignores these two, and a command would inherit that.
_RESET_FOR_COMMANDS = (signal.SIGPIPE, signal.SIGXFSZ)


_NOT_EXECUTABLE = 126
_NOT_FOUND = 127


@contextmanager
def blocked_signals(signals: frozenset[signal.Signals]) -> Iterator[BlockedSignals]:
    """Hold these signals, and the end of a child, until they are asked for.

    A signal that was ignored before (as under nohup) stays ignored.
    """
    wanted = {one for one in signals if signal.getsignal(one) is not signal.SIG_IGN}
    # With no handler at all, some systems throw this one away instead of holding it.
    previous = signal.signal(signal.SIGCHLD, lambda *_: None)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, wanted | {signal.SIGCHLD})
    try:
        yield BlockedSignals(frozenset(wanted | {signal.SIGCHLD}), frozenset(mask))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGCHLD, previous)


class BlockedSignals:
    """The signals being held; `mask` is what was blocked before, for a command to inherit."""

    def __init__(
        self, signals: frozenset[signal.Signals], mask: frozenset[signal.Signals | int]
    ) -> None:
        self._signals = signals
        self.mask = mask

    def wait_until(self, deadline: float | None) -> signal.Signals | None:
        """Wait for a signal up to a time of the monotonic clock; None when it has come."""
        left = None if deadline is None else max(deadline - time.monotonic(), 0)
        if left is None:
            return self.wait()[0]
        sigtimedwait = getattr(signal, "sigtimedwait", None)  # macOS has none
        if sigtimedwait is not None:
            info = sigtimedwait(self._signals, left)
            return signal.Signals(info.si_signo) if info else None
        # Held as well, so that the timer ends the waiting and not the process.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        signal.setitimer(signal.ITIMER_REAL, max(left, 0.001))
        received = signal.Signals(signal.sigwait(self._signals | {signal.SIGALRM}))
        signal.setitimer(signal.ITIMER_REAL, 0)
        return None if received is signal.SIGALRM else received

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


def start_failure(name: str, error: OSError) -> tuple[int, str]:
    """Return a shell's exit code for a command that cannot be started, and what to say."""
    if isinstance(error, FileNotFoundError):
        return _NOT_FOUND, f"{printable(name)}: command not found"
    return _NOT_EXECUTABLE, f"{printable(name)}: {error.strerror}"


def shell_code(status: int) -> int:
    """Return what a shell makes of a wait status: 128+n after signal n."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _in_foreground() -> bool:
    """Return whether the terminal's signals come to this process's group."""
    try:
        with open("/dev/tty", "rb", buffering=0) as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False
