"""Descriptors that may be non-blocking: "nothing now" is waited out, and is not the end."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING

from orchestrator_cli.core.base.cancellation import SIGNAL_POLL_SECONDS

if TYPE_CHECKING:
    from typing_extensions import Buffer

_PIPE_BYTES = 1024 * 1024
# Of a larger write, Linux makes pages as large for ext4, and these may take eight times as long.
_WRITE_BYTES = 256 * 1024


def wait_ready(descriptor: int, *, to_read: bool) -> None:
    """Wait until there is data to read, or room to write more; or the other end is closed."""
    # Few descriptors are non-blocking, and every command loads this file.
    import selectors

    events = selectors.EVENT_READ if to_read else selectors.EVENT_WRITE
    with selectors.PollSelector() as selector:
        selector.register(descriptor, events)
        # Not in one piece, so that a signal which another thread takes is heard.
        while not selector.select(SIGNAL_POLL_SECONDS):
            pass


def occupy_closed_descriptors() -> None:
    """Let no file that is opened later become standard input, output or error.

    Nothing can be read from or written to what takes the place of the first two. No child has it.
    """
    for number, access in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)):
        if not is_open(number):
            # The lowest that is free is taken.
            os.open(os.devnull, access | os.O_CLOEXEC)


def is_open(descriptor: int) -> bool:
    """Return True if there is a file of this number."""
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def widen_pipe(descriptor: int) -> None:
    """Let a pipe hold a mebibyte, where the system allows that; nothing for what is no pipe.

    Whoever writes a lot to it and whoever reads it then wait for each other less often.
    """
    if sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):
            if fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ) < _PIPE_BYTES:
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write all of the data. Raises OSError."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest[:_WRITE_BYTES]) :]
        except BlockingIOError:
            wait_ready(descriptor, to_read=False)


class WaitingWriter(io.FileIO):
    """The raw end of a buffered stream, which would fail where a descriptor is non-blocking."""

    def __init__(self, descriptor: int, name: str) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._name = name
        self._written: list[int | None] = []

    def write(self, data: Buffer, /) -> int:
        """Write some of the data.

        A signal that ends a write raises here before how much was written is returned; the buffer
        then comes with the same data again, and is told what it missed. Raises OSError that names
        the stream.
        """
        while True:
            if not self._written:
                # In one call of C: no signal is handled between the write and the note of it.
                try:
                    self._written.extend(map(super().write, (data,)))
                except OSError as error:
                    error.filename = self._name
                    raise
            written = self._written.pop()
            if written is not None:
                return written
            wait_ready(self.fileno(), to_read=False)
