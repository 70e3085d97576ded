"""Remove a directory tree, and nothing outside of it."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass

from orchestrator_cli.core.files.checks import UnsafeFileError, same_file
from orchestrator_cli.core.files.directory import Directory, FileKind

_Mount = tuple[int, str]
_ABOVE = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(parent: Directory, name: str) -> None:
    """Remove a directory and what is below it, but not what is mounted. Raises the first OSError.

    However deep it is, two directories are open. The way back up is taken only if it leads to
    where the way down began.
    """
    mount = _mount_of(parent)
    level, here = _enter(parent, name, mount)
    levels = [level]
    while True:
        if levels[-1].directories:
            level, here = _enter(here, levels[-1].directories.pop(), mount)
            levels.append(level)
            continue
        emptied = levels.pop()
        if not levels:
            break
        here = _go_up(here, levels[-1].status)
        here.remove_directory(emptied.name)
    here.close()
    parent.remove_directory(name)


@dataclass(slots=True)
class _Level:
    name: str
    status: os.stat_result
    directories: list[str]


def _enter(parent: Directory, name: str, mount: _Mount) -> tuple[_Level, Directory]:
    """Open a directory and remove all in it that is no directory."""
    here = parent.open_directory(name)
    status = here.status()
    if _mount_of(here) != mount:
        raise UnsafeFileError("another directory is mounted there", name)
    found = here.scan()
    for one in found:
        if one.kind is not FileKind.DIRECTORY:
            here.remove_file(one.name)
    return _Level(name, status, [one.name for one in found if one.kind is FileKind.DIRECTORY]), here


def _mount_of(directory: Directory) -> _Mount:
    """Return the id of a directory's mount: the device number alone is shared by bind mounts."""
    descriptor, mount = directory.fileno(), ""
    with (
        contextlib.suppress(OSError),
        open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as info,
    ):
        mount = next((line for line in info if line.startswith("mnt_id:")), "")
    return directory.status().st_dev, mount


def _go_up(here: Directory, expected: os.stat_result) -> Directory:
    above = Directory(os.open("..", _ABOVE, dir_fd=here.fileno()))
    if not same_file(above.status(), expected):
        raise UnsafeFileError("it was moved while it was being removed")
    return above
