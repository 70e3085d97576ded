"""Partial downloads, which have another name until they are complete."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from orchestrator_cli.core.base.descriptors import write_all
from orchestrator_cli.core.base.errors import ConflictError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.files.checks import UnsafeFileError, same_file
from orchestrator_cli.core.files.directory import Directory
from orchestrator_cli.core.files.lock import open_locked, try_lock
from orchestrator_cli.core.files.new_file import give_name
from orchestrator_cli.core.s3.compare import best_stored_checksum
from orchestrator_cli.core.s3.types import ObjectMetadata
from orchestrator_cli.core.transfer.download.destination import Destination

_LOCK_SECONDS = 60.0
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})


class PartialFile(NamedTuple):
    """The file that holds what has arrived of an object, open and locked."""

    file: io.FileIO
    directory: Directory
    name: str

    @property
    def size_bytes(self) -> int:
        """How many bytes have arrived."""
        return os.fstat(self.file.fileno()).st_size

    def append(self, data: bytes | memoryview) -> None:
        """Append data."""
        self.file.seek(0, os.SEEK_END)
        write_all(self.file.fileno(), data)

    def clear(self) -> None:
        """Discard what has arrived."""
        self.file.truncate(0)

    def remove(self) -> None:
        """Remove the file, unless it is gone already."""
        with contextlib.suppress(FileNotFoundError):
            self.directory.remove_file(self.name)

    def publish(self, name: str, replace: bool) -> None:
        """Give it its name. Raises FileExistsError unless it may replace what has that name."""
        give_name(self.directory, self.name, name, replace)
        if not same_file(self.directory.stat(name), os.fstat(self.file.fileno())):
            raise UnsafeFileError("somebody put another file in its place", name)


@contextlib.contextmanager
def partial_file(
    head: ObjectMetadata, destination: Destination, pause: Callable[[float], None]
) -> Iterator[PartialFile]:
    """Open and lock the partial file of an object; a crash leaves it there.

    `pause` is called while another process has it. Raises ConflictError where that takes too long.
    """
    directory, name = destination.directory, _partial_name(head)
    opened = open_locked(directory, name, _LOCK_SECONDS, pause, open_file=_open, lock=_lock)
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(opened)
        except BlockingIOError as error:
            path = printable(destination.path)
            raise ConflictError(f"{path} is being downloaded by another process") from error
        yield PartialFile(file, directory, name)


def _open(directory: Directory, name: str) -> io.FileIO:
    # Its name can be foreseen: what was planted there must not choose what is written.
    try:
        return directory.open_own_file(name)
    except UnsafeFileError:
        directory.remove_file(name)
        return directory.open_own_file(name)


def _lock(descriptor: int) -> bool:
    """Lock a file, except where its file system knows no locks."""
    try:
        return try_lock(descriptor)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return True


def _partial_name(head: ObjectMetadata) -> str:
    # From key and content, so that only a download of the same bytes resumes it.
    stored = best_stored_checksum(head)
    identity = f"{head.key} {head.size_bytes} {stored.checksum if stored else head.etag}"
    return f".orchestrator-{hashlib.sha256(identity.encode()).hexdigest()[:24]}.part"
