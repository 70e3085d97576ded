"""One run from its first process to the last, with nothing of S3 in this process."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from orchestrator_cli.runner.child import Child, start_child
from orchestrator_cli.runner.output_copier import OutputTee
from orchestrator_cli.runner.process import start_failure
from orchestrator_cli.runner.run_record import RunEnd, RunStart
from orchestrator_cli.runner.run_uploader import RunOutcome, RunUploader
from orchestrator_cli.runner.signals import FORWARDED_SIGNALS, BlockedSignals, blocked_signals
from orchestrator_cli.runner.spool import RunnerLog, Spool, SpoolLog
from orchestrator_cli.runner.supervisor import RUN_SIGNALS, Supervisor, reclaim_terminal
from orchestrator_cli.runner.uploader_process import UploaderProcess, start_storer

_TIMED_OUT = 124


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds: for the command (None: no limit), from SIGTERM to SIGKILL, for silent uploads."""

    timeout: float | None
    kill_after: float
    upload_timeout: float


@dataclass
class Session:
    """What a run needs; `run` may be called once. `say_slow` tells that uploads take long."""

    start: RunStart
    command: tuple[str, ...]
    spool: Spool
    log: RunnerLog
    upload: RunUploader
    limits: Limits
    environment: Mapping[str, str]
    clock: Callable[[], datetime]
    say: Callable[[str], None]
    say_slow: Callable[[], None]

    def run(self) -> tuple[RunEnd, RunOutcome]:
        """Run the command and store its output; say how both ended."""
        with blocked_signals(RUN_SIGNALS) as signals:
            supervisor = Supervisor(signals, self.log.note)
            storer = self._start_storer()
            end = self._run_command(supervisor)
            self.log.note(f"end: {end.summary}, after {end.duration_seconds:.3f} s")
            self._keep_end(end)
            storer.tell_end(end)
            supervisor.wait_uploader(storer, self.say_slow)
            for number in FORWARDED_SIGNALS:
                # One that comes late must not change the exit code any more.
                signal.signal(number, signal.SIG_IGN)
            return end, storer.outcome()

    def _start_storer(self) -> UploaderProcess:
        died = RunEnd(self.start.started_at, 0, error="the runner was killed")
        keep = self.spool.descriptors() | self.log.descriptors()
        return start_storer(self.upload, keep, died, self.limits.upload_timeout)

    def _keep_end(self, end: RunEnd) -> None:
        try:
            self.spool.write_state(self.start, end)
        except OSError as error:
            self.log.note(f"the end is not in the spool: {error.strerror}")

    def _run_command(self, supervisor: Supervisor) -> RunEnd:
        logs = [SpoolLog(self.spool.log_path(name)) for name in ("stdout.log", "stderr.log")]
        began = time.monotonic()
        try:
            child = self._start_child(supervisor.signals)
        except OSError as error:
            code, reason = start_failure(self.command[0], error)
            self.say(f"error: {reason}")
            return RunEnd(self.clock(), time.monotonic() - began, code, error=reason)
        copiers = [OutputTee(child.stdout, 1, logs[0]), OutputTee(child.stderr, 2, logs[1])]
        for copier in copiers:
            copier.start()
        try:
            supervisor.await_child(child, self.limits.timeout, self.limits.kill_after)
            ended, seconds = self.clock(), time.monotonic() - began
            supervisor.terminate_group(child)
            supervisor.await_copies(copiers)
        finally:
            if child.relay:
                child.relay.stop()
            else:
                reclaim_terminal()
        code, killed_by = supervisor.end_of(child.pid)
        lost = {
            f"logs/{name}": log.loss
            for name, log in zip(("stdout.log", "stderr.log"), logs, strict=True)
            if log.loss
        }
        return RunEnd(
            ended,
            round(seconds, 3),
            _TIMED_OUT if supervisor.timed_out else code,
            killed_by,
            supervisor.timed_out,
            lost=lost,
        )

    def _start_child(self, signals: BlockedSignals) -> Child:
        child = start_child(self.command, self.environment, signals)
        self.log.note(f"started as process {child.pid} by process {os.getpid()}")
        return child
