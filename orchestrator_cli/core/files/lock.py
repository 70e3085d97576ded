"""Lock files and directories. The kernel drops a lock when its holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import io
import math
import os
import time
from collections.abc import Callable, Iterator

from orchestrator_cli.core.files.checks import (
    UnsafeFileError,
    check_owner,
    check_regular,
    same_file,
)
from orchestrator_cli.core.files.directory import Directory

_PAUSE_SECONDS = 0.02
_ATTEMPTS = 16


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
    for _ in range(_ATTEMPTS):
        with _open(directory, name) as lock:
            _await(lock, timeout_seconds, pause)
            named = directory.find(name)
            if named is not None and same_file(named, os.fstat(lock.fileno())):
                yield
                return
    raise UnsafeFileError("it is replaced again and again", name)


def _open(directory: Directory, name: str) -> io.FileIO:
    owners = {os.geteuid(), 0, directory.status().st_uid}

    def check(status: os.stat_result, name: str) -> None:
        check_regular(status, name)
        check_owner(status, owners, name)

    # NFS locks only what is open for writing. Nothing is ever written, so that a file which has
    # another name elsewhere comes to no harm.
    return directory.open_own_file(name, check=check)


def _await(lock: io.FileIO, timeout_seconds: float, pause: Callable[[float], None]) -> None:
    # Loaded here, since downloads only try a lock and never wait for one.
    from tenacity import Retrying, retry_if_result, stop_after_attempt, wait_fixed

    attempts = Retrying(
        retry=retry_if_result(lambda is_locked: not is_locked),
        stop=stop_after_attempt(1 + math.ceil(timeout_seconds / _PAUSE_SECONDS)),
        wait=wait_fixed(_PAUSE_SECONDS),
        sleep=pause,
        retry_error_callback=lambda _: False,
    )
    if not attempts(try_lock, lock.fileno()):
        raise BlockingIOError("another process holds the lock")


def try_lock(descriptor: int) -> bool:
    """Lock a file or directory that is open; False where another process holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
