"""A directory that is held open; its entries are reached by single names."""

from __future__ import annotations

import contextlib
import errno
import io
import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Self

from orchestrator_cli.core.files.checks import (
    UnsafeFileError,
    check_name,
    check_not_planted,
    check_private,
    check_regular,
    check_written_by_us,
    unchanged,
)

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# The error numbers of an open that met a link or another kind of file.
_OTHER_KIND = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EMLINK})
# O_NONBLOCK: opening a FIFO that took a file's place must not hang.
_NO_SURPRISE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

# Is given what `fstat` returned, and the name. Raises UnsafeFileError for another file than meant.
FileCheck = Callable[[os.stat_result, str], None]


class FileKind(StrEnum):
    """The kind of a directory's entry."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"
    SPECIAL = "special file"


class DirectoryEntry(NamedTuple):
    """An entry of a directory, with its kind when it was found."""

    name: str
    kind: FileKind

    @property
    def key_order(self) -> bytes:
        """The sort key in S3's order: the keys below a directory go on with a slash."""
        name = os.fsencode(self.name)
        return name + b"/" if self.kind is FileKind.DIRECTORY else name


class Directory:
    """An open directory, which goes on being the same one whatever its name stands for later.

    No method follows a link. Names are single: a slash, `.` and `..` raise UnsafeFileError, which
    is an OSError, as does a file of another kind than asked for. It closes with its last
    reference, so that several threads may share it.
    """

    __slots__ = ("__weakref__", "_descriptor")

    def __init__(self, descriptor: int) -> None:
        """Take over a descriptor."""
        self._descriptor = descriptor

    @classmethod
    def open_root(cls, path: str | os.PathLike[str]) -> Self:
        """Open a directory that a user has named, through whatever links."""
        return cls(os.open(path, _DIRECTORY))

    # --- looking ----------------------------------------------------------------------------

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def status(self) -> os.stat_result:
        """Stat the directory itself."""
        return os.fstat(self._descriptor)

    def stat(self, name: str) -> os.stat_result:
        """Stat an entry, without following it."""
        return os.stat(check_name(name), dir_fd=self._descriptor, follow_symlinks=False)

    def find(self, name: str) -> os.stat_result | None:
        """Stat an entry, without following it; None where there is none."""
        with contextlib.suppress(FileNotFoundError):
            return self.stat(name)
        return None

    def read_link(self, name: str) -> str:
        """Return the target of a link, as it is written there."""
        return os.readlink(check_name(name), dir_fd=self._descriptor)

    def scan(self) -> list[DirectoryEntry]:
        """Return all entries in the order of S3's keys."""
        # A descriptor of its own: its position would be shared by all who scan.
        descriptor = os.open(".", _DIRECTORY, dir_fd=self._descriptor)
        try:
            with os.scandir(descriptor) as entries:
                found = [DirectoryEntry(entry.name, _kind(entry)) for entry in entries]
        finally:
            os.close(descriptor)
        found.sort(key=lambda one: one.key_order)
        return found

    # --- opening ----------------------------------------------------------------------------

    def open_directory(self, name: str) -> Directory:
        """Open a directory in this one."""
        flags = _DIRECTORY | os.O_NOFOLLOW
        return Directory(self._open(name, flags, 0, "a directory"))

    def open_file(self, name: str) -> io.FileIO:
        """Open a regular file for reading."""
        descriptor = self._open(name, os.O_RDONLY | _NO_SURPRISE, 0, "a regular file")
        return _checked(descriptor, "rb", name, self._check_readable)

    def _check_readable(self, status: os.stat_result, name: str) -> None:
        check_regular(status, name)
        if status.st_nlink != 1:
            check_not_planted(status, self.status(), name, is_root=os.geteuid() == 0)

    def open_own_file(
        self, name: str, mode: int = 0o666, check: FileCheck = check_written_by_us
    ) -> io.FileIO:
        """Open a file for reading and writing, or make it where there is none.

        One that is there must be ours and have no other name, for it may have been planted; unless
        another `check` of it is given.
        """
        flags = os.O_RDWR | os.O_CREAT | _NO_SURPRISE
        descriptor = self._open(name, flags, mode, "a regular file")
        return _checked(descriptor, "r+b", name, check)

    def create_file(self, name: str, mode: int = 0o666) -> io.FileIO:
        """Make a file, for reading and writing. Raises FileExistsError where the name is taken."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_SURPRISE
        return io.FileIO(self._open(name, flags, mode, "a regular file"), "r+b")

    def make_directory(self, name: str, mode: int = 0o777, *, fresh: bool = False) -> Directory:
        """Make a directory and open it; one that is there is opened unless it must be `fresh`."""
        try:
            os.mkdir(check_name(name), mode, dir_fd=self._descriptor)
        except FileExistsError:
            if fresh:
                raise
        return self.open_directory(name)

    def _open(self, name: str, flags: int, mode: int, expected: str) -> int:
        try:
            return os.open(check_name(name), flags, mode, dir_fd=self._descriptor)
        except OSError as error:
            if error.errno in _OTHER_KIND:
                raise UnsafeFileError(f"not {expected}, or a link", name) from error
            raise

    # --- changing ---------------------------------------------------------------------------

    def remove_file(self, name: str, expected: os.stat_result | None = None) -> None:
        """Remove an entry other than a directory, if it is still the `expected` file."""
        if expected is not None and not unchanged(found := self.stat(name), expected):
            if expected.st_nlink and not found.st_nlink:
                # Somebody else removed it between the look-up of its name and of its status.
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
            raise UnsafeFileError("it was replaced or written to meanwhile", name)
        os.unlink(check_name(name), dir_fd=self._descriptor)

    def remove_directory(self, name: str) -> None:
        """Remove an empty directory."""
        os.rmdir(check_name(name), dir_fd=self._descriptor)

    def rename(self, name: str, new_name: str) -> None:
        """Rename within this directory; what had the new name is replaced."""
        here = self._descriptor
        os.rename(check_name(name), check_name(new_name), src_dir_fd=here, dst_dir_fd=here)

    def link(self, name: str, new_name: str) -> None:
        """Give a file another name. Raises FileExistsError where that name is taken."""
        here = self._descriptor
        os.link(
            check_name(name),
            check_name(new_name),
            src_dir_fd=here,
            dst_dir_fd=here,
            follow_symlinks=False,
        )

    # --- closing ----------------------------------------------------------------------------

    def close(self) -> None:
        """Close the directory."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def _kind(entry: os.DirEntry[str]) -> FileKind:
    if entry.is_symlink():
        return FileKind.LINK
    if entry.is_dir(follow_symlinks=False):
        return FileKind.DIRECTORY
    return FileKind.FILE if entry.is_file(follow_symlinks=False) else FileKind.SPECIAL


def _checked(descriptor: int, mode: str, name: str, check: FileCheck) -> io.FileIO:
    try:
        check(os.fstat(descriptor), name)
    except OSError:
        os.close(descriptor)
        raise
    return io.FileIO(descriptor, mode)


def private_directory(path: Path) -> Directory:
    """Make a directory for us alone, or open it where it is one already.

    The directories above it are made as well. Raises OSError, also where it is a link, belongs to
    another user, or others may write to it: somebody may have made it for us to fall into.
    """
    os.makedirs(path.parent, exist_ok=True)
    with Directory.open_root(path.parent) as parent:
        directory = parent.make_directory(path.name, 0o700)
    check_private(directory.status(), str(path))
    return directory
