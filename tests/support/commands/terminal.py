"""Run a command in a real terminal: its own session, a controlling pseudo-terminal, a size."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import selectors
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence

from tests.support.commands.running import COMMAND, Argument, Environment, process_environment

# The new session's first process takes the terminal as its own, and so Ctrl-C becomes SIGINT.
_LAUNCHER = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """A running command and its terminal; `output` is everything it wrote so far."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self.output = b""
        self._descriptor = descriptor

    def send(self, keys: bytes) -> None:
        r"""Type; b"\x03" is Ctrl-C."""
        os.write(self._descriptor, keys)

    def resize(self, *, rows: int, columns: int) -> None:
        """Change the size of the window, which the terminal's processes are told of."""
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, size)

    def read_until(self, pattern: bytes, timeout_seconds: float = 60) -> re.Match[bytes]:
        """Read until the regular expression is found in all that was written so far."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            found = re.search(pattern, self.output)
            if found:
                return found
            if not self._read_more(deadline):
                raise AssertionError(f"the terminal never showed {pattern!r}: {self.output!r}")

    def wait(self, timeout_seconds: float = 60) -> int:
        """Read to the end and return the exit code, negative for a signal."""
        deadline = time.monotonic() + timeout_seconds
        while self._read_more(deadline):
            pass
        return self.process.wait(max(deadline - time.monotonic(), 0.1))

    def _read_more(self, deadline: float) -> bool:
        """Read once; False at the end, which Linux reports as an error."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._descriptor, selectors.EVENT_READ)
            if not selector.select(max(deadline - time.monotonic(), 0)):
                raise TimeoutError(f"the terminal is silent after: {self.output[-2000:]!r}")
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:
            return False
        self.output += data
        return bool(data)


@contextlib.contextmanager
def open_terminal(
    *arguments: Argument,
    env: Environment | None = None,
    cwd: Argument | None = None,
    rows: int = 24,
    columns: int = 80,
    command: Sequence[str] = COMMAND,
    stdin: int | None = None,
    stdout: int | None = None,
) -> Iterator[Terminal]:
    """Run the command with all three streams on a terminal, or one of them elsewhere."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    launcher = [sys.executable, "-S", "-E", "-c", _LAUNCHER] if stdin is None else []
    process = subprocess.Popen(
        [*launcher, *command, *arguments],
        stdin=theirs if stdin is None else stdin,
        stdout=theirs if stdout is None else stdout,
        stderr=theirs,
        env=process_environment({"TERM": "xterm-256color", **(env or {})}),
        cwd=cwd,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(ours)
