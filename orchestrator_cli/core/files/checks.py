"""Check files and directories by their descriptors, and names before they are used."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection

# The names of the directories from a root down, or of those and a file at last.
Parts = tuple[str, ...]


class UnsafeFileError(OSError):
    """A file is of another kind or owner than it should be, or was replaced meanwhile.

    `strerror` says what it is instead.
    """

    def __init__(self, reason: str, name: str = "") -> None:
        super().__init__(errno.EPERM, reason, name)


def check_name(name: str) -> str:
    """Return a name that is a single path segment. Raises UnsafeFileError for any other."""
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise UnsafeFileError("not the name of a file", name)
    return name


def split_path(relative: str) -> Parts:
    """Split a relative path into its names. Raises UnsafeFileError for an unsafe one."""
    return tuple(check_name(name) for name in relative.split("/"))


def check_regular(status: os.stat_result, name: str) -> None:
    """Raise UnsafeFileError unless a file is regular."""
    if not stat.S_ISREG(status.st_mode):
        raise UnsafeFileError("not a regular file", name)


def check_owner(status: os.stat_result, owners: Collection[int], name: str) -> None:
    """Raise UnsafeFileError for what belongs to none of these users."""
    if status.st_uid not in owners:
        raise UnsafeFileError("it belongs to another user", name)


def check_private(status: os.stat_result, name: str) -> None:
    """Raise UnsafeFileError for a file that is not ours, or that others may write to."""
    check_owner(status, {os.geteuid()}, name)
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UnsafeFileError("other users may write to it", name)


def check_written_by_us(status: os.stat_result, name: str) -> None:
    """Raise UnsafeFileError for a file that another user owns or that has a second name."""
    check_regular(status, name)
    check_owner(status, {os.geteuid()}, name)
    if status.st_nlink > 1:
        # Somebody may have linked a file of ours here, to have us write into it.
        raise UnsafeFileError("it has another name elsewhere", name)


def check_not_planted(
    status: os.stat_result, directory: os.stat_result, name: str, *, is_root: bool
) -> None:
    """Raise UnsafeFileError for another user's file that somebody may have linked here.

    Root reads every file, so whoever can give one a second name would have us read it for him. Such
    a file counts only in a directory of its own owner's that nobody else may write to.
    """
    if not is_root or status.st_nlink == 1:
        return
    others_write = directory.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if others_write or directory.st_uid != status.st_uid:
        raise UnsafeFileError("it has another name, which may be one of another user's file", name)


def same_file(one: os.stat_result, other: os.stat_result) -> bool:
    """Return True if both are of one file, whatever was written to it in between."""
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)


def unchanged(one: os.stat_result, other: os.stat_result) -> bool:
    """Return True if both are of one file, and nothing was written to it in between."""
    return same_file(one, other) and (one.st_size, one.st_mtime_ns, one.st_ctime_ns) == (
        other.st_size,
        other.st_mtime_ns,
        other.st_ctime_ns,
    )
