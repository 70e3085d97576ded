"""Local files that get their name when they are whole, and wait under another one until then."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from orchestrator_cli.core.base.errors import ConflictError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.s3.compare import best_stored_checksum
from orchestrator_cli.core.s3.types import ObjectMetadata

_NAMELESS = os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC if hasattr(os, "O_TMPFILE") else None
_NO_NAMELESS = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL})
# With a wait of an eighth of a second on average, about a minute.
_LOCK_ATTEMPTS = 480
_OPEN_ATTEMPTS = 16


def create_atomically(destination: Path, content: memoryview) -> bool:
    """Write a file that has no name until it is whole; False where it cannot be done here.

    So nothing half-written is ever left, and nothing that appears meanwhile is overwritten. macOS
    and some file systems have no such files.
    """
    if _NAMELESS is None:
        return False
    try:
        descriptor = os.open(destination.parent, _NAMELESS, 0o666)
    except OSError as error:
        if error.errno in _NO_NAMELESS:
            return False
        raise
    with open(descriptor, "wb", buffering=0) as file:
        left = content
        while left:
            left = left[file.write(left) :]
        try:
            # Python follows the link to the file only where it is given a directory as well.
            name = f"/proc/self/fd/{descriptor}"
            os.link(name, destination, src_dir_fd=descriptor, follow_symlinks=True)
        except OSError:
            # Somebody has made that file meanwhile, or there is no /proc.
            return False
    return True


@contextlib.contextmanager
def partial_file(
    head: ObjectMetadata, destination: Path, wait: Callable[[], None]
) -> Iterator[tuple[IO[bytes], str]]:
    """Open and lock the file that holds what has arrived of an object; a crash leaves it there.

    Yields it with its name. `wait` is called while another process has it. Raises ConflictError
    where that takes too long.
    """
    name = os.path.join(destination.parent, _partial_name(head))
    for attempts_left in reversed(range(_OPEN_ATTEMPTS)):
        with open(name, "a+b", opener=_open_no_link) as output:
            _lock(output, destination, wait)
            # Whoever held the lock before may have removed the name since it was opened. Not
            # for ever: there are file systems that number a file anew each time.
            if _has_name(output, name) or not attempts_left:
                yield output, name
                return


def _lock(output: IO[bytes], destination: Path, wait: Callable[[], None]) -> None:
    """Keep other processes from writing the same partial file; wait a while for them."""
    for _ in range(_LOCK_ATTEMPTS):
        try:
            fcntl.flock(output, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            wait()
        except OSError:
            # A file system without locks.
            return
    raise ConflictError(f"{printable(destination)} is being downloaded by another process")


def _open_no_link(path: str, flags: int) -> int:
    # Its name can be foreseen: a link of that name must not choose what is written.
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def _has_name(output: IO[bytes], name: str) -> bool:
    try:
        return os.path.samestat(os.fstat(output.fileno()), os.lstat(name))
    except FileNotFoundError:
        return False


def _partial_name(head: ObjectMetadata) -> str:
    # From key and content, so that only a download of the same bytes resumes it.
    stored = best_stored_checksum(head)
    identity = f"{head.key} {head.size_bytes} {stored.checksum if stored else head.etag}"
    return f".orchestrator-{hashlib.sha256(identity.encode()).hexdigest()[:24]}.part"
