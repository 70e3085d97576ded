"""Make Python treat file names and arguments as UTF-8 in every locale, as keys are."""

from __future__ import annotations

import contextlib
import os
import sys


def ensure_utf8_mode() -> None:
    """Start this program again in Python's UTF-8 mode where the locale names another encoding.

    There a name of UTF-8 would be read as other letters, and stored under their key. Returns where
    nothing has to be done, and where the interpreter cannot be started again.
    """
    if sys.getfilesystemencoding() == "utf-8" or sys.flags.utf8_mode or not sys.executable:
        return
    # An option and no variable: the command that `run` runs must not inherit it.
    words = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
    with contextlib.suppress(OSError):
        os.execv(sys.executable, words)  # noqa: S606 - the program itself, as it was started
