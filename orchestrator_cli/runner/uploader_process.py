"""The process that stores a run's output, so that nothing it does can slow the command down."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator_cli.core.base.descriptors import write_all
from orchestrator_cli.core.base.errors import UnavailableError
from orchestrator_cli.runner.run_record import RunEnd, RunOutcome
from orchestrator_cli.runner.threads import start_thread
from orchestrator_cli.runner.upload.run_uploader import RunUploader

_NICENESS = 10
_BEGIN = b"begin\n"
_STOP = b"stop\n"
# The time for uploads after the command's end where the storage has never answered.
_UNHEARD_SECONDS = 30.0
_GOODBYE_SECONDS = 2.0


@dataclass
class UploaderProcess:
    """The uploader process, seen from the process that runs the command."""

    pid: int
    _control: int
    _status: int

    begun: bool = False

    def begin(self) -> None:
        """Let it begin to store; before that it does nothing."""
        if not self.begun:
            self.begun = True
            self._write(_BEGIN)

    def abandon(self) -> None:
        """End the process before it has begun to store, and wait for it."""
        os.close(self._control)
        os.close(self._status)
        os.waitpid(self.pid, 0)

    def send_end(self, end: RunEnd) -> None:
        """Send how the command ended; the process then stores the rest and ends."""
        self._write(json.dumps(end.to_dict()).encode() + b"\n")

    def stop(self) -> None:
        """Ask it to give up; what is not stored stays in the spool."""
        self._write(_STOP)

    def outcome(self) -> RunOutcome:
        """Return the outcome, once the process has ended."""
        text = b""
        while data := os.read(self._status, 65536):
            text += data
        if not text:
            return RunOutcome.of_failure("the process that stores was killed")
        return RunOutcome(**json.loads(text))

    def _write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            write_all(self._control, data)


def start_uploader_process(
    upload: RunUploader, keep: set[int], died: Callable[[], RunEnd], timeout_seconds: float
) -> UploaderProcess:
    """Start the process. Must be called while this process has no other thread.

    `keep` are descriptors that it needs: the spool's lock, runner.log. `died` returns the end to
    record where we are killed, and is called as soon as that is seen. Raises OSError where this
    machine allows no more processes or descriptors.
    """
    with contextlib.ExitStack() as on_failure:
        pipes = [_open_pipe(on_failure) for _ in range(2)]
        (control_read, control_write), (status_read, status_write) = pipes
        pid = os.fork()
        on_failure.pop_all()
    if pid == 0:
        try:
            _detach({control_read, status_write} | keep)
            if _read_line(control_read) == _BEGIN:
                _work(upload, control_read, status_write, died, timeout_seconds)
        finally:
            os._exit(0)
    os.close(control_read)
    os.close(status_write)
    return UploaderProcess(pid, control_write, status_read)


def _open_pipe(on_failure: contextlib.ExitStack) -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        on_failure.callback(os.close, end)
    return ends


def _detach(kept: set[int]) -> None:
    """Close the command's descriptors, and leave the signals to our parent."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN)
    # Files of our parent's that were collected here would close what has their numbers now.
    gc.freeze()
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    low = 3
    for descriptor in sorted(kept):
        os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, 4096)
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)


def _work(
    upload: RunUploader, control: int, status: int, died: Callable[[], RunEnd], timeout: float
) -> None:
    upload.begin()
    line = _read_line(control)
    if line.endswith(b"\n"):
        end = RunEnd.from_dict(json.loads(line))
    else:
        end = died()
        upload.note(f"end: {end.summary}: the process that stores goes on alone")
    outcomes: list[RunOutcome] = []
    worker = start_thread(lambda: outcomes.append(upload.finish(end)), "finish")
    reason = None
    if worker is None:
        # Then nobody can interrupt it.
        outcomes.append(upload.finish(end))
    else:
        reason = _wait(upload, worker, control if line else None, timeout)
        if reason:
            upload.stop()
            worker.join(_GOODBYE_SECONDS)
    outcome = outcomes[0] if outcomes else RunOutcome(exit_code=UnavailableError.exit_code)
    if reason and not outcome.stored:
        outcome.summary = reason
    outcome.measured = upload.measured()
    data = json.dumps(outcome.to_dict()).encode()
    with contextlib.suppress(OSError):
        write_all(status, data)


def _wait(
    upload: RunUploader, worker: threading.Thread, control: int | None, timeout: float
) -> str | None:
    """Wait for the worker; return why it has to stop before its end."""
    began = time.monotonic()
    while worker.is_alive():
        worker.join(0.02)
        if control is not None and select.select([control], [], [], 0)[0]:
            if os.read(control, 64):
                return "interrupted"
            control = None
        limit = timeout if upload.progress.s3_reachable else min(timeout, _UNHEARD_SECONDS)
        if time.monotonic() - max(began, upload.progress.last_at) > limit:
            return f"S3 took nothing for {limit:g} s"
    return None


def _read_line(descriptor: int) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        data = os.read(descriptor, 1)  # what follows the line is for later
        if not data:
            break
        line += data
    return line
