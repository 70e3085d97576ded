"""The process that stores a run's output, so that nothing it does can slow the command down."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import threading
import time
from dataclasses import dataclass

from orchestrator_cli.runner.run_record import RunEnd
from orchestrator_cli.runner.run_uploader import RunOutcome, RunUploader

_NICENESS = 10
_STOP = b"stop\n"
# A storage that was never heard of gets no more time than this after the command's end.
_UNHEARD_SECONDS = 30.0
_GOODBYE_SECONDS = 2.0


@dataclass
class UploaderProcess:
    """Our view of the storing process."""

    pid: int
    _control: int
    _status: int

    def tell_end(self, end: RunEnd) -> None:
        """Say how the command ended; the process then stores the rest and ends."""
        self._write(json.dumps(end.to_dict()).encode() + b"\n")

    def stop(self) -> None:
        """Ask it to give up; what is not stored stays in the spool."""
        self._write(_STOP)

    def outcome(self) -> RunOutcome:
        """Return what became of it, once it has ended."""
        text = b""
        while data := os.read(self._status, 65536):
            text += data
        if not text:
            return RunOutcome(summary="the storing process was killed", exit_code=1)
        return RunOutcome(**json.loads(text))

    def _write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            while data:
                data = data[os.write(self._control, data) :]


def start_storer(
    upload: RunUploader, keep: set[int], died: RunEnd, timeout_seconds: float
) -> UploaderProcess:
    """Start the process. Must be called while this process has one thread, and no pipes yet.

    `keep` are descriptors that it needs: the spool's lock, runner.log. `died` is the end
    to record where we are killed.
    """
    control_read, control_write = os.pipe()
    status_read, status_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _detach({control_read, status_write} | keep)
            _work(upload, control_read, status_write, died, timeout_seconds)
        finally:
            os._exit(0)
    os.close(control_read)
    os.close(status_write)
    return UploaderProcess(pid, control_write, status_read)


def _detach(kept: set[int]) -> None:
    """Hold nothing of the command's, and leave the signals to our parent."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN)
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


def _work(upload: RunUploader, control: int, status: int, died: RunEnd, timeout: float) -> None:
    upload.begin()
    line = _read_line(control)
    end = RunEnd.from_dict(json.loads(line)) if line.endswith(b"\n") else died
    outcomes: list[RunOutcome] = []
    worker = threading.Thread(target=lambda: outcomes.append(upload.finish(end)), daemon=True)
    worker.start()
    reason = _wait(upload, worker, control if line else None, timeout)
    if reason:
        upload.stop()
        worker.join(_GOODBYE_SECONDS)
    outcome = outcomes[0] if outcomes else RunOutcome(exit_code=9)
    if reason and not outcome.stored:
        outcome.summary = reason
    outcome.measured = upload.measured()
    data = json.dumps(outcome.to_dict()).encode()
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(status, data) :]


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
        limit = timeout if upload.heard_from_s3 else min(timeout, _UNHEARD_SECONDS)
        if time.monotonic() - max(began, upload.last_progress) > limit:
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
