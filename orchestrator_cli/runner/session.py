"""One run from its first process to the last, with nothing of S3 in this process."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NoReturn

from orchestrator_cli.runner.child import Child, start_child
from orchestrator_cli.runner.output_copier import OutputTee
from orchestrator_cli.runner.process import replace_by_command, start_failure
from orchestrator_cli.runner.run_record import RunEnd, RunOutcome, unseen_end
from orchestrator_cli.runner.signals import FORWARDED_SIGNALS, BlockedSignals, blocked_signals
from orchestrator_cli.runner.spool import RUN_LOGS
from orchestrator_cli.runner.spool_log import SpooledRun, SpoolLog
from orchestrator_cli.runner.supervisor import RUN_SIGNALS, Supervisor, reclaim_terminal
from orchestrator_cli.runner.upload.run_uploader import RunUploader
from orchestrator_cli.runner.uploader_process import UploaderProcess, start_uploader_process

_TIMED_OUT = 124
# The errors of a machine, or of our limits, that allow no more; the command itself may need less.
_SCARCITY = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds: for the command (None: no limit), from SIGTERM to SIGKILL, for silent uploads."""

    timeout: float | None
    kill_after: float
    upload_timeout: float


@dataclass
class Session:
    """A run, its command, and the user's messages meanwhile; `execute` may be called once.

    `say` tells the user a line, `say_slow` that uploads take long.
    """

    run: SpooledRun
    command: tuple[str, ...]
    uploader: RunUploader
    limits: Limits
    environment: Mapping[str, str]
    clock: Callable[[], datetime]
    say: Callable[[str], None]
    say_slow: Callable[[], None]
    _uploading: UploaderProcess | None = field(default=None, init=False)

    def execute(self) -> tuple[RunEnd, RunOutcome]:
        """Run the command and store its output; return how both ended."""
        with blocked_signals(RUN_SIGNALS) as signals:
            supervisor = Supervisor(signals, self.run.log.write)
            self._start_uploader()
            end = self._run_command(supervisor)
            self.run.log.write(f"end: {end.summary}, after {end.duration_seconds:.3f} s")
            self._keep_end(end)
            outcome = self._store(supervisor, end)
            for number in FORWARDED_SIGNALS:
                # One that comes late must not change the exit code any more.
                signal.signal(number, signal.SIG_IGN)
            return end, outcome

    # --- the command -------------------------------------------------------------------------

    def _run_command(self, supervisor: Supervisor) -> RunEnd:
        began = time.monotonic()
        logs = [SpoolLog(self.run.spool, name) for name in RUN_LOGS]
        try:
            child, copiers = self._start_command(supervisor.signals, logs)
        except OSError as error:
            return self._not_started(error, time.monotonic() - began)
        self.run.log.write(f"started as process {child.pid} by process {os.getpid()}")
        lasting = [*copiers, *([child.relay] if child.relay else [])]
        try:
            timeout, kill_after = self.limits.timeout, self.limits.kill_after
            supervisor.wait_child(child, timeout, kill_after, lasting)
            ended, seconds = self.clock(), time.monotonic() - began
            supervisor.terminate_group(child)
            supervisor.wait_copies(copiers)
            self._warn_of_lost_output(copiers)
        finally:
            if child.relay:
                child.relay.stop()
            else:
                reclaim_terminal()
        code, killed_by = supervisor.end_of(child.pid)
        return RunEnd(
            ended,
            round(seconds, 3),
            _TIMED_OUT if supervisor.timed_out else code,
            killed_by,
            supervisor.timed_out,
            lost=_lost(logs),
        )

    def _warn_of_lost_output(self, copiers: list[OutputTee]) -> None:
        for stream, copier in zip(("output", "error"), copiers, strict=True):
            if copier.problem is not None:
                rest = "the rest of it was stored and not passed on"
                self.say(f"warning: standard {stream}: {copier.problem}: {rest}")

    def _start_command(
        self, signals: BlockedSignals, logs: list[SpoolLog]
    ) -> tuple[Child, list[OutputTee]]:
        """Start the command and copy its output; become the command where only that is allowed.

        Raises OSError where it cannot be started by anybody.
        """
        try:
            return self._start_captured(signals, logs)
        except OSError as error:
            if error.errno not in _SCARCITY:
                raise
        if self._uploading is not None:
            # It takes a process, and descriptors, that the command needs more.
            self._uploading.abandon()
            self._uploading = None
        try:
            return self._start_captured(signals, logs)
        except OSError as error:
            if error.errno not in _SCARCITY:
                raise
            return self._become_command(signals, logs, error)

    def _become_command(
        self, signals: BlockedSignals, logs: list[SpoolLog], error: OSError
    ) -> NoReturn:
        what = "CMD runs without us, and nothing of this run is stored"
        self.say(f"warning: {error.strerror}: {what}")
        for log in logs:
            # Removing takes descriptors too.
            log.close()
        self.run.spool.remove()
        signals.restore()
        replace_by_command(self.command, self.environment)

    def _start_captured(
        self, signals: BlockedSignals, logs: list[SpoolLog]
    ) -> tuple[Child, list[OutputTee]]:
        with contextlib.ExitStack() as on_failure:
            copiers = []
            for number, log in enumerate(logs, start=1):
                copiers.append(OutputTee(number, log))
                on_failure.callback(copiers[-1].close)
            child = start_child(self.command, self.environment, signals)
            on_failure.pop_all()
        if self._uploading is not None:
            # Before anybody can see output of the command: that must be stored if we are killed.
            self._uploading.begin()
        copiers[0].start(child.stdout)
        copiers[1].start(child.stderr)
        return child, copiers

    def _not_started(self, error: OSError, seconds: float) -> RunEnd:
        code, reason = start_failure(self.command[0], error)
        self.say(f"error: {reason}")
        # What is not to be stored of the command is not stored of its failure either.
        _, stored = start_failure((self.run.start.command or ["CMD"])[0], error)
        return RunEnd(self.clock(), seconds, code, error=stored)

    def _keep_end(self, end: RunEnd) -> None:
        try:
            self.run.spool.write_state(self.run.start, end)
        except OSError as error:
            self.run.log.write(f"the end is not in the spool: {error.strerror}")

    # --- the uploads -------------------------------------------------------------------------

    def _start_uploader(self) -> None:
        keep = self.run.spool.descriptors() | self.run.log.descriptors()
        timeout = self.limits.upload_timeout

        def died() -> RunEnd:
            return unseen_end(self.run.start, self.clock())

        try:
            self._uploading = start_uploader_process(self.uploader, keep, died, timeout)
        except OSError as error:
            self.run.log.write(f"no process that stores: {error.strerror}")

    def _store(self, supervisor: Supervisor, end: RunEnd) -> RunOutcome:
        """Wait for the uploads to end and return their outcome."""
        if self._uploading is None:
            # What the command has left free may be enough now.
            self._start_uploader()
        if self._uploading is None:
            return RunOutcome.of_failure("no process that stores could be started")
        self._uploading.begin()
        self._uploading.send_end(end)
        supervisor.wait_uploader(self._uploading, self.say_slow)
        return self._uploading.outcome()


def _lost(logs: list[SpoolLog]) -> dict[str, str]:
    losses = {name: log.loss_message for name, log in zip(RUN_LOGS, logs, strict=True)}
    return {f"logs/{name}": loss for name, loss in losses.items() if loss}
