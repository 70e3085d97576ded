"""Copy a command's output to ours, unchanged and live, and to the spool."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import signal
import threading
import time
from abc import ABC, abstractmethod

from orchestrator_cli.core.base.descriptors import is_open, write_all
from orchestrator_cli.runner.spool_log import SpoolLog

_CHUNK_BYTES = 1024 * 1024
_QUIET_MILLISECONDS = 50
_LAST_BYTES_SECONDS = 2.0
_PIPE_BYTES = 1024 * 1024


class Copier(ABC):
    """Copies from one descriptor to another, step by step, in a thread of its own.

    Where this machine allows no more threads, whoever waits for the command calls `step_if_due`
    every few milliseconds instead.
    """

    def __init__(self, name: str) -> None:
        self._thread: threading.Thread | None = threading.Thread(
            target=self._run, name=name, daemon=True
        )
        self._done = False

    @property
    def is_done(self) -> bool:
        """True after the last step."""
        return self._done

    @property
    def needs_steps(self) -> bool:
        """True where no thread makes the steps."""
        return self._thread is None and not self._done

    def _start(self) -> None:
        try:
            if self._thread is not None:
                self._thread.start()
        except RuntimeError:
            self._thread = None

    def join(self) -> None:
        """Wait for the thread to end, where there is one."""
        if self._thread is not None and self._thread.ident is not None:
            self._thread.join()

    def step_if_due(self) -> None:
        """Copy available data, where no thread does so."""
        if self.needs_steps and not self._step(0):
            self._end()

    def _run(self) -> None:
        try:
            while self._step(None):
                pass
        finally:
            self._end()

    def _end(self) -> None:
        self._done = True

    @abstractmethod
    def _step(self, timeout_milliseconds: int | None) -> bool:
        """Wait so long for data and copy it; return False at the end."""


class OutputTee(Copier):
    """Copies one stream of the command to one of ours and to the spool.

    It ends with the stream, or, once `finish` was called, when nothing is left in it. Where our
    reader goes away, the command's writing end breaks, as it would without us. Where ours cannot be
    written to for another reason, `problem` says which, and the rest goes to the spool alone.
    """

    def __init__(self, target: int, log: SpoolLog) -> None:
        """Prepare everything that can fail for want of descriptors. Raises OSError."""
        super().__init__(f"copy-{target}")
        self._target = target
        self._log = log
        self._source = -1
        self._finish_read, self._finish_write = os.pipe()
        self._reader_left = False
        self.problem: str | None = None
        self._deadline: float | None = None
        self._buffer = bytearray(_CHUNK_BYTES)
        self._poll = select.poll()

    def start(self, source: int) -> None:
        """Begin to copy from this descriptor, which is closed at the end."""
        self._source = source
        os.set_blocking(source, False)
        widen_pipe(source)
        self._poll.register(source, select.POLLIN)
        self._poll.register(self._finish_read, select.POLLIN)
        # Only errors are asked for: that nobody reads our end any more.
        self._poll.register(self._target, 0)
        self._start()

    def finish(self) -> None:
        """Copy the rest of the stream and end, even if another process holds it open."""
        with contextlib.suppress(OSError):
            os.write(self._finish_write, b"x")

    def close(self) -> None:
        """Close the descriptors that were prepared."""
        os.close(self._finish_read)
        os.close(self._finish_write)

    def _step(self, timeout_milliseconds: int | None) -> bool:
        if self._deadline is not None and timeout_milliseconds is None:
            timeout_milliseconds = _QUIET_MILLISECONDS
        events = dict(self._poll.poll(timeout_milliseconds))
        if self._deadline is None and self._finish_read in events:
            self._deadline = time.monotonic() + _LAST_BYTES_SECONDS
            self._poll.unregister(self._finish_read)
        self._reader_left = bool(events.get(self._target, 0) & select.POLLERR)
        readable = self._source in events
        size = self._read() if readable or self._reader_left else -1
        if size > 0:
            self._take(memoryview(self._buffer)[:size])
        ended = size == 0 or self._reader_left
        if self._deadline is not None:
            ended = ended or not readable or time.monotonic() > self._deadline
        return not ended

    def _end(self) -> None:
        """Close our output for its reader, and wake the main thread."""
        os.close(self._source)
        if self._target == 1:
            # The reader of our output waits for its end, not for the uploads.
            redirect_to_devnull(self._target)
        super()._end()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGCHLD)

    def _read(self) -> int:
        """Read once; 0 at the end, -1 where nothing is there."""
        try:
            return os.readv(self._source, [self._buffer])
        except BlockingIOError:
            return -1
        except OSError as error:
            if error.errno == errno.EIO:  # how a terminal tells its end
                return 0
            raise

    def _take(self, data: memoryview) -> None:
        self._log.append(data)
        if self._reader_left or self.problem is not None:
            return
        try:
            write_all(self._target, data)
        except BrokenPipeError:
            self._reader_left = True
        except OSError as error:
            self.problem = error.strerror or str(error)


def widen_pipe(descriptor: int) -> None:
    """Let a pipe hold more, where the system can: fewer switches between writer and reader."""
    number = getattr(fcntl, "F_SETPIPE_SZ", None)
    if number is not None:
        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, number, _PIPE_BYTES)


def redirect_to_devnull(descriptor: int) -> None:
    """Replace a descriptor by /dev/null, so that its number is not reused."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, descriptor, inheritable=True)
    os.close(null)


def open_missing_streams() -> None:
    """Open those of the first three descriptors that are closed, so that no pipe gets them."""
    for number in (0, 1, 2):
        # No child inherits a stand-in for a closed descriptor.
        if not (is_open(number) and os.get_inheritable(number)):
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
