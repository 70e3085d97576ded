"""Supervise a running command: its signals, its time limit, the end of its process group."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from orchestrator_cli.runner.child import Child
from orchestrator_cli.runner.output_copier import Copier, OutputTee
from orchestrator_cli.runner.process import shell_code
from orchestrator_cli.runner.signals import FORWARDED_SIGNALS, BlockedSignals
from orchestrator_cli.runner.terminal import in_foreground
from orchestrator_cli.runner.uploader_process import UploaderProcess

# SIGTSTP, to stop together with the command.
RUN_SIGNALS = FORWARDED_SIGNALS | {signal.SIGWINCH, signal.SIGTSTP}
_NO_OUTPUT_NEEDED = frozenset({signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})
_LEFTOVER_GRACE_SECONDS = 2.0
_KILLED_GRACE_SECONDS = 1.0
_TICK_SECONDS = 0.02
_LONG_WAIT_SECONDS = 2.0


@dataclass
class Supervisor:
    """Waits for a command, and then for the process that stores its output.

    Everything that happens comes as a signal to this process, which holds them.
    """

    signals: BlockedSignals
    note: Callable[[str], None]
    statuses: dict[int, int] = field(default_factory=dict)
    timed_out: bool = False
    term_seen: bool = False

    def wait_child(
        self,
        child: Child,
        timeout: float | None,
        kill_after: float,
        copiers: Sequence[Copier] = (),
    ) -> None:
        """Pass signals on until the command itself has ended; end it when its time is over."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while child.pid not in self.statuses:
            received = self._wait(deadline, copiers)
            if received is None:
                deadline = self._terminate_on_timeout(child, kill_after)
            elif received is signal.SIGCHLD:
                self._reap(child)
            elif received is signal.SIGWINCH:
                child.resize()
            elif received is signal.SIGTSTP:
                child.signal_group(signal.SIGTSTP)
                self._stop_too(child)
            else:
                self.term_seen = self.term_seen or received is signal.SIGTERM
                self.note(f"{received.name}: passed on")
                child.signal_group(received)

    def _wait(self, deadline: float | None, copiers: Sequence[Copier]) -> signal.Signals | None:
        """Wait for a signal up to a time, making the steps of copiers that have no thread."""
        while any(copier.needs_steps for copier in copiers):
            for copier in copiers:
                copier.step_if_due()
            now = time.monotonic()
            tick = now + _TICK_SECONDS
            received = self.signals.wait_until(tick if deadline is None else min(tick, deadline))
            if received is not None or (deadline is not None and now >= deadline):
                return received
        return self.signals.wait_until(deadline)

    def _terminate_on_timeout(self, child: Child, kill_after: float) -> float | None:
        if self.timed_out:
            self.note("still running: SIGKILL to its process group")
            child.signal_group(signal.SIGKILL)
            return None
        self.timed_out = True
        self.note("its time is over: SIGTERM to its process group")
        child.signal_group(signal.SIGTERM)
        child.signal_group(signal.SIGCONT)
        return time.monotonic() + kill_after

    def _reap(self, child: Child | None = None) -> None:
        # All there are: as the first process of a container we also inherit orphans.
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | (os.WUNTRACED if child else 0))
            except ChildProcessError:
                return
            if pid == 0:
                return
            if not os.WIFSTOPPED(status):
                self.statuses[pid] = status
            elif child is not None and pid == child.pid:
                self._child_stopped(child, os.WSTOPSIG(status))

    def _child_stopped(self, child: Child, number: int) -> None:
        """Lend the command the terminal when it asks for it; stop with it where it was stopped."""
        if number not in (signal.SIGTTIN, signal.SIGTTOU, signal.SIGTSTP) or child.relay:
            return
        reclaim_terminal()
        if number == signal.SIGTSTP or not in_foreground(0):
            self._stop_too(child)
        if in_foreground(0):
            os.tcsetpgrp(0, child.pid)
        child.signal_group(signal.SIGCONT)

    def _stop_too(self, child: Child) -> None:
        if child.relay:
            child.relay.restore()
        os.kill(os.getpid(), signal.SIGSTOP)
        if child.relay:
            child.relay.resume()
        child.resize()
        child.signal_group(signal.SIGCONT)

    def terminate_group(self, child: Child) -> None:
        """End the processes that the command left in its process group."""
        if not child.signal_group(signal.SIGTERM):
            return
        self.note("its process group outlives it: SIGTERM")
        child.signal_group(signal.SIGCONT)
        if not self._group_ends(child, _LEFTOVER_GRACE_SECONDS):
            self.note("its process group ignores that: SIGKILL")
            child.signal_group(signal.SIGKILL)
            self._group_ends(child, _KILLED_GRACE_SECONDS)

    def _group_ends(self, child: Child, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while child.signal_group(0):
            if time.monotonic() > deadline:
                return False
            self.signals.wait_until(time.monotonic() + _TICK_SECONDS)
            self._reap()
        return True

    def wait_copies(self, copiers: Sequence[OutputTee]) -> None:
        """Wait until the command's output has been passed on, or the user interrupts."""
        for copier in copiers:
            copier.finish()
        while not all(copier.is_done for copier in copiers):
            received = self._wait(time.monotonic() + _LONG_WAIT_SECONDS, copiers)
            if received in FORWARDED_SIGNALS:
                self.note(f"{received.name if received else ''}: output that nobody takes is left")
                return

    def wait_uploader(self, uploader: UploaderProcess, say: Callable[[], None]) -> None:
        """Wait for the uploads; `say` is called once where they take long.

        SIGTERM leaves them their time, unless it comes again; other signals end them.
        """
        say_at: float | None = time.monotonic() + _LONG_WAIT_SECONDS
        # It may have been killed with the command; waiting for the copies has taken that signal.
        self._reap()
        while uploader.pid not in self.statuses:
            received = self.signals.wait_until(say_at)
            if received is None:
                say_at = None
                say()
            elif received is signal.SIGCHLD:
                self._reap()
            elif received in _NO_OUTPUT_NEEDED or (received is signal.SIGTERM and self.term_seen):
                self.note(f"{received.name}: the uploads are given up")
                uploader.stop()
            elif received is signal.SIGTERM:
                self.term_seen = True

    def end_of(self, pid: int) -> tuple[int, str | None]:
        """Return a shell's exit code and the name of the signal that killed the process."""
        status = self.statuses[pid]
        if not os.WIFSIGNALED(status):
            return shell_code(status), None
        number = os.WTERMSIG(status)
        try:
            return shell_code(status), signal.Signals(number).name
        except ValueError:
            return shell_code(status), f"signal {number}"


def reclaim_terminal() -> None:
    """Be the terminal's foreground group again, where the command was lent it."""
    if not os.isatty(0):
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
    try:
        if os.getsid(0) == os.getsid(os.getpid()) and os.tcgetpgrp(0) != os.getpgrp():
            os.tcsetpgrp(0, os.getpgrp())
    except OSError:
        return
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
