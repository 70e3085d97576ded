"""Remove a directory with all that is in it, and nothing that is elsewhere."""

from __future__ import annotations

import os
from dataclasses import dataclass

from orchestrator_cli.core.files.checks import UnsafeFileError, same_file
from orchestrator_cli.core.files.directory import Directory, Kind

_ABOVE = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(parent: Directory, name: str) -> None:
    """Remove a directory and what is below it on its file system. Raises the first OSError.

    However deep it is, two directories are open. The way back up is taken only if it leads to
    where the way down began.
    """
    level, here = _enter(parent, name)
    levels = [level]
    try:
        while True:
            if levels[-1].directories:
                level, below = _enter(here, levels[-1].directories.pop(), level.status.st_dev)
                here.close()
                here = below
                levels.append(level)
                continue
            emptied = levels.pop()
            if not levels:
                break
            above = _go_up(here, levels[-1].status)
            here.close()
            here = above
            here.remove_directory(emptied.name)
    finally:
        here.close()
    parent.remove_directory(name)


@dataclass(slots=True)
class _Level:
    name: str
    status: os.stat_result
    directories: list[str]


def _enter(parent: Directory, name: str, device: int | None = None) -> tuple[_Level, Directory]:
    """Open a directory and remove all in it that is no directory."""
    here = parent.open_directory(name)
    try:
        status = here.status()
        if device is not None:
            _check_device(status, device, name)
        found = here.scan()
        for one in found:
            if one.kind is not Kind.DIRECTORY:
                here.remove_file(one.name)
    except BaseException:
        here.close()
        raise
    return _Level(name, status, [one.name for one in found if one.kind is Kind.DIRECTORY]), here


def _check_device(status: os.stat_result, device: int, name: str) -> None:
    if status.st_dev != device:
        raise UnsafeFileError("another file system is mounted there", name)


def _go_up(here: Directory, expected: os.stat_result) -> Directory:
    above = Directory(os.open("..", _ABOVE, dir_fd=here.fileno()))
    if not same_file(above.status(), expected):
        above.close()
        raise UnsafeFileError("it was moved while it was being removed")
    return above
