"""Pass a command's output on, unchanged and live, and spool a copy."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import threading
import time

from orchestrator_cli.runner.spool import SpoolLog

_CHUNK_BYTES = 1024 * 1024
_QUIET_MILLISECONDS = 50
_LAST_BYTES_SECONDS = 2.0
_PIPE_BYTES = 1024 * 1024


class OutputTee(threading.Thread):
    """Copies one stream of the command to one of ours and to the spool.

    It ends with the stream, or, once `finish` was called, when nothing is left in it. Where our
    reader goes away, the command's writing end breaks, as it would without us.
    """

    def __init__(self, source: int, target: int, log: SpoolLog) -> None:
        super().__init__(name=f"copy-{target}", daemon=True)
        self._source = source
        self._target = target
        self._log = log
        self._finish_read, self._finish_write = os.pipe()
        self._reader_left = False
        os.set_blocking(source, False)
        widen_pipe(source)

    def finish(self) -> None:
        """Take what is in the stream now and end, although somebody may hold it open."""
        with contextlib.suppress(OSError):
            os.write(self._finish_write, b"x")

    def run(self) -> None:
        """Copy until the end; then let our reader know it, and wake the main thread."""
        try:
            self._copy()
        finally:
            os.close(self._source)
            if self._target == 1:
                # The reader of our output waits for its end, not for the uploads.
                redirect_to_devnull(self._target)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGCHLD)

    def _copy(self) -> None:
        buffer = bytearray(_CHUNK_BYTES)
        view = memoryview(buffer)
        poll = select.poll()
        poll.register(self._source, select.POLLIN)
        poll.register(self._finish_read, select.POLLIN)
        # Only errors are asked for: that nobody reads our end any more.
        poll.register(self._target, 0)
        deadline: float | None = None
        while not self._reader_left:
            events = dict(poll.poll(None if deadline is None else _QUIET_MILLISECONDS))
            if deadline is None and self._finish_read in events:
                deadline = time.monotonic() + _LAST_BYTES_SECONDS
                poll.unregister(self._finish_read)
            self._reader_left = bool(events.get(self._target, 0) & select.POLLERR)
            size = self._read(buffer) if self._source in events or self._reader_left else -1
            if size == 0:
                return
            if size > 0:
                self._take(view[:size])
            elif deadline is not None and self._source not in events:
                return
            if deadline is not None and time.monotonic() > deadline:
                return

    def _read(self, buffer: bytearray) -> int:
        """Read once; 0 at the end, -1 where nothing is there."""
        try:
            return os.readv(self._source, [buffer])
        except BlockingIOError:
            return -1
        except OSError as error:
            if error.errno == errno.EIO:  # how a terminal tells its end
                return 0
            raise

    def _take(self, data: memoryview) -> None:
        self._log.append(data)
        if not self._reader_left:
            self._reader_left = not write_all(self._target, data)


def widen_pipe(descriptor: int) -> None:
    """Let a pipe hold more, where the system can: fewer switches between writer and reader."""
    import fcntl

    number = getattr(fcntl, "F_SETPIPE_SZ", None)
    if number is not None:
        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, number, _PIPE_BYTES)


def write_all(descriptor: int, data: memoryview) -> bool:
    """Write everything, waiting where need be; False where that cannot be done any more."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            select.select([], [descriptor], [])
        except OSError:
            return False
    return True


def redirect_to_devnull(descriptor: int) -> None:
    """Let go of what a descriptor leads to, without leaving its number free."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, descriptor, inheritable=True)
    os.close(null)


def open_missing_streams() -> None:
    """Open those of the first three descriptors that are closed: no pipe may take their place."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
