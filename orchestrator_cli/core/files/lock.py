"""Lock files and directories. The kernel drops a lock when its holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import io
import math
import os
import time
from collections.abc import Callable, Iterator
from functools import partial

from orchestrator_cli.core.files.checks import check_owner, check_regular, same_file
from orchestrator_cli.core.files.directory import Directory

_PAUSE_SECONDS = 0.05
_ATTEMPTS = 16


def try_lock(descriptor: int) -> bool:
    """Lock a file or directory that is open; False where another process holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def open_locked(
    directory: Directory,
    name: str,
    timeout_seconds: float,
    pause: Callable[[float], None],
    *,
    open_file: Callable[[Directory, str], io.FileIO],
    lock: Callable[[int], bool] = try_lock,
) -> Iterator[io.FileIO]:
    """Open a file and hold its lock. `open_file` is called again where the file was replaced.

    Raises BlockingIOError where another process holds it for too long, and other OSError.
    """
    for attempts_left in reversed(range(_ATTEMPTS)):
        with open_file(directory, name) as file:
            if not _await(partial(lock, file.fileno()), timeout_seconds, pause):
                raise BlockingIOError("another process holds the lock")
            # Whoever held the lock before may have removed the name since it was opened. Not
            # for ever: there are file systems that number a file anew each time.
            named = directory.find(name)
            is_named = named is not None and same_file(named, os.fstat(file.fileno()))
            if is_named or not attempts_left:
                yield file
                return


@contextlib.contextmanager
def lock_file(
    directory: Directory,
    name: str,
    timeout_seconds: float,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """Hold the lock on a lock file, which is made where there is none, and stays.

    Raises BlockingIOError where another process holds it for too long, and other OSError, also
    where the file is a link, no regular file, or another user's who may not write here anyway.
    """
    with open_locked(directory, name, timeout_seconds, pause, open_file=_open):
        yield


def _open(directory: Directory, name: str) -> io.FileIO:
    owners = {os.geteuid(), 0, directory.status().st_uid}

    def check(status: os.stat_result, name: str) -> None:
        check_regular(status, name)
        check_owner(status, owners, name)

    # NFS locks only what is open for writing. Nothing is ever written, so that a file which has
    # another name elsewhere comes to no harm.
    return directory.open_own_file(name, check=check)


def _await(
    lock: Callable[[], bool], timeout_seconds: float, pause: Callable[[float], None]
) -> bool:
    for _ in range(math.ceil(timeout_seconds / _PAUSE_SECONDS)):
        if lock():
            return True
        pause(_PAUSE_SECONDS)
    return lock()
