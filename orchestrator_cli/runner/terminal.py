"""Pseudo-terminals between our terminal and the command's, so that it sees one too."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import termios
import tty

from orchestrator_cli.core.base.descriptors import write_all
from orchestrator_cli.runner.output_copier import Copier

_STDIN = 0


def open_pty(like: int, outer_is_raw: bool) -> tuple[int, int]:
    """Open a pseudo-terminal with the modes and the size of a terminal: our end, the command's.

    Only one of the two may turn line feeds into new lines. Raises OSError where there are none.
    """
    ours, theirs = os.openpty()
    with contextlib.suppress(termios.error):
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
    """Return whether the terminal is this process group's to read from."""
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:
        return False


class KeyRelay(Copier):
    """Passes keys on from our terminal to the command's; ours is raw until `restore`."""

    def __init__(self, target: int) -> None:
        """Take the command's terminal. Raises OSError, termios.error."""
        super().__init__("keys")
        self._kept = termios.tcgetattr(_STDIN)
        self._target = os.dup(target)
        self._stop_read, self._stop_write = os.pipe()
        self._poll = select.poll()
        self._poll.register(_STDIN, select.POLLIN)
        self._poll.register(self._stop_read, select.POLLIN)

    def start(self) -> None:
        """Make our terminal raw and begin."""
        self.resume()
        self._start()

    def resume(self) -> None:
        """Make our terminal raw."""
        with contextlib.suppress(termios.error):
            tty.setraw(_STDIN, termios.TCSADRAIN)

    def restore(self) -> None:
        """Give our terminal its modes back."""
        with contextlib.suppress(termios.error):
            termios.tcsetattr(_STDIN, termios.TCSADRAIN, self._kept)

    def stop(self) -> None:
        """End, and give our terminal its modes back."""
        os.write(self._stop_write, b"x")
        self.join()
        self.restore()

    def _step(self, timeout_milliseconds: int | None) -> bool:
        events = dict(self._poll.poll(timeout_milliseconds))
        if self._stop_read in events:
            return False
        if _STDIN not in events:
            return True
        try:
            data = os.read(_STDIN, 65536)
            write_all(self._target, data)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return bool(data)
