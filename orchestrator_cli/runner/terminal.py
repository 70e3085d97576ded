"""Pseudo-terminals between our terminal and the command's, so that it sees one too."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import termios
import threading
import tty

from orchestrator_cli.runner.output_copier import write_all

_STDIN, _STDOUT, _STDERR = 0, 1, 2


def open_pty(like: int, outer_is_raw: bool) -> tuple[int, int]:
    """Open a pseudo-terminal with the modes and the size of a terminal: our end, the command's.

    Only one of the two may turn line feeds into new lines.
    """
    ours, theirs = os.openpty()
    modes = termios.tcgetattr(like)
    if not outer_is_raw:
        modes[1] &= ~termios.OPOST
    termios.tcsetattr(theirs, termios.TCSANOW, modes)
    copy_window_size(like, ours)
    return ours, theirs


def copy_window_size(source: int, target: int) -> None:
    """Give a terminal the size of another one."""
    with contextlib.suppress(OSError):
        size = fcntl.ioctl(source, termios.TIOCGWINSZ, b"\0" * 8)
        fcntl.ioctl(target, termios.TIOCSWINSZ, size)


def in_foreground(descriptor: int) -> bool:
    """Say whether the terminal is this process group's to read from."""
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:
        return False


class Relay:
    """Passes keys on from our terminal to the command's; ours is raw until `restore`."""

    def __init__(self, target: int) -> None:
        self._target = os.dup(target)
        self._kept = termios.tcgetattr(_STDIN)
        self._stop_read, self._stop_write = os.pipe()
        self._thread = threading.Thread(target=self._copy, name="keys", daemon=True)

    def start(self) -> None:
        """Make our terminal raw and begin."""
        self.resume()
        self._thread.start()

    def resume(self) -> None:
        """Make our terminal raw."""
        tty.setraw(_STDIN, termios.TCSADRAIN)

    def restore(self) -> None:
        """Give our terminal its modes back."""
        with contextlib.suppress(termios.error):
            termios.tcsetattr(_STDIN, termios.TCSADRAIN, self._kept)

    def stop(self) -> None:
        """End, and give our terminal its modes back."""
        os.write(self._stop_write, b"x")
        self._thread.join()
        self.restore()

    def _copy(self) -> None:
        while True:
            ready, _, _ = select.select([_STDIN, self._stop_read], [], [])
            if self._stop_read in ready:
                return
            try:
                data = os.read(_STDIN, 65536)
            except OSError:
                return
            if not data or not write_all(self._target, memoryview(data)):
                return
