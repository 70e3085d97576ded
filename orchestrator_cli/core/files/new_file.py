"""Create and replace files atomically: a file gets its name once it is whole."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

from orchestrator_cli.core.base.descriptors import write_all
from orchestrator_cli.core.files.directory import Directory

_NAMELESS = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC if hasattr(os, "O_TMPFILE") else None
_OPEN_FILES = "/proc/self/fd"
_NO_NAMELESS = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL})
# The error numbers of file systems that have no hard links.
NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


@contextlib.contextmanager
def create_atomically(
    directory: Directory,
    name: str,
    *,
    replace: bool = False,
    durable: bool = True,
) -> Iterator[io.FileIO]:
    """Make a file that gets its name once it is whole; after a failure there is none.

    Without `replace` nothing is ever overwritten: FileExistsError is raised where the name is taken
    by then. `durable` waits until it would survive a power cut.
    """
    nameless = _open_nameless(directory)
    waiting = "" if nameless else _waiting_name()
    file = nameless or directory.create_file(waiting)
    try:
        with file:
            yield file
            if durable:
                os.fsync(file.fileno())
            if nameless:
                # Only a rename replaces a file, so the new one needs a name for that moment.
                waiting = _waiting_name() if replace else ""
                publish_open_file(file, directory, waiting or name)
        if waiting:
            give_name(directory, waiting, name, replace)
            waiting = ""
        if durable:
            os.fsync(directory.fileno())
    finally:
        if waiting:
            with contextlib.suppress(OSError):
                directory.remove_file(waiting)


def write_atomically(
    path: Path, blocks: Iterable[bytes | memoryview], *, replace: bool = False
) -> None:
    """Make a file of these blocks, as `create_atomically` does; a power cut may lose it."""
    with (
        Directory.open_root(path.parent) as directory,
        create_atomically(directory, path.name, replace=replace, durable=False) as file,
    ):
        for block in blocks:
            write_all(file.fileno(), block)


def _open_nameless(directory: Directory) -> io.FileIO | None:
    if _NAMELESS is None or not os.path.exists(_OPEN_FILES):
        return None
    try:
        descriptor = os.open(".", _NAMELESS, 0o666, dir_fd=directory.fileno())
    except OSError as error:
        if error.errno in _NO_NAMELESS:
            return None
        raise
    return io.FileIO(descriptor, "r+b")


def publish_open_file(file: io.FileIO, directory: Directory, name: str) -> None:
    """Give an open file without a name its name. Raises FileExistsError where that is taken."""
    # Python follows the link to the file only where it is given a directory as well.
    os.link(
        f"{_OPEN_FILES}/{file.fileno()}",
        name,
        src_dir_fd=directory.fileno(),
        dst_dir_fd=directory.fileno(),
        follow_symlinks=True,
    )


def give_name(directory: Directory, name: str, new_name: str, replace: bool) -> None:
    """Rename a file. Raises FileExistsError where the name is taken, unless `replace`."""
    if replace:
        directory.rename(name, new_name)
        return
    try:
        directory.link(name, new_name)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        # Take the name first: a rename alone would replace what appears meanwhile.
        directory.create_file(new_name, 0o600).close()
        directory.rename(name, new_name)
    else:
        directory.remove_file(name)


def _waiting_name() -> str:
    # One that nobody can foresee, and nobody can have planted.
    return f".orchestrator-{secrets.token_hex(12)}.new"
