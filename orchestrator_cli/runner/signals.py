"""Block signals and ask for them one by one, which alone tells who sent them.

That works where every other thread was started while they were blocked.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

STOP_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
FORWARDED_SIGNALS = STOP_SIGNALS | {signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2}


@contextmanager
def blocked_signals(signals: frozenset[signal.Signals]) -> Iterator[BlockedSignals]:
    """Block these signals and SIGCHLD, so that they can be waited for.

    A signal that was ignored before (as under nohup) stays ignored.
    """
    wanted = {one for one in signals if signal.getsignal(one) is not signal.SIG_IGN}
    # With no handler at all, some systems throw this one away instead of holding it.
    previous = signal.signal(signal.SIGCHLD, lambda *_: None)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, wanted | {signal.SIGCHLD})
    ignores_children = previous is signal.SIG_IGN
    try:
        yield BlockedSignals(
            frozenset(wanted | {signal.SIGCHLD}), frozenset(mask), ignores_children
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGCHLD, previous)


class BlockedSignals:
    """The signals being held; `mask` is what was blocked before, for a command to inherit.

    `ignores_children` says that SIGCHLD was ignored before, which a command inherits too.
    """

    def __init__(
        self,
        signals: frozenset[signal.Signals],
        mask: frozenset[signal.Signals | int],
        ignores_children: bool = False,
    ) -> None:
        self._signals = signals
        self.mask = mask
        self._ignores_children = ignores_children

    def restore(self) -> None:
        """Make this process as it was before, once it is about to become the command."""
        if self._ignores_children:
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)

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


def _in_foreground() -> bool:
    """Return whether the terminal's signals come to this process's group."""
    try:
        with open("/dev/tty", "rb", buffering=0) as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False
