"""Another process, another user's where we may be one, that swaps what names stand for."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_NOBODY = 65534
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
# Between the second and the third rename the name is the link; after the fourth it is as before.
_SCRIPT = """
import itertools, os, sys
user, name, link = sys.argv[1:]
if int(user):
    os.setgroups([])
    os.setresgid(int(user), int(user), int(user))
    os.setresuid(int(user), int(user), int(user))
print(flush=True)
parent = os.getppid()
for number in itertools.count():
    if os.getppid() != parent:
        break  # nobody is left to end it
    # Another one each time, as what is attacked may make a directory where it misses one.
    aside = f"{name}.{number}"
    for old, new in [(name, aside), (link, name), (name, link), (aside, name)]:
        try:
            os.rename(old, new)
        except OSError:
            pass
"""


@contextlib.contextmanager
def flipping(directory: Path, name: str, link: str) -> Iterator[None]:
    """Swap a name in a directory with a link beside it, again and again until the end.

    It is done by a user who cannot read what is ours alone, where the tests run as root.
    """
    user = _NOBODY if os.geteuid() == 0 else 0
    if user:
        for path in (directory, *directory.rglob("*")):
            os.lchown(path, user, user)
    line = [sys.executable, "-I", "-S", "-c", _SCRIPT, str(user), name, link]
    # It begins in the directory: the way there may be closed to another user.
    with subprocess.Popen(line, cwd=directory, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        try:
            yield
        finally:
            process.kill()
            process.wait()


def exchange(one: Path, other: Path) -> None:
    """Swap two names at once, so that nobody sees a moment at which one of them is missing."""
    libc = ctypes.CDLL(None, use_errno=True)
    names = (os.fsencode(one), os.fsencode(other))
    if libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(one))
