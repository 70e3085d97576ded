"""Follow links step by step, without the kernel following one."""

from __future__ import annotations

import errno
import io
import os
import stat
from enum import StrEnum
from typing import NamedTuple

from orchestrator_cli.core.files.checks import Parts, UnsafeFileError, same_file
from orchestrator_cli.core.files.directory import Directory
from orchestrator_cli.core.files.tree import Tree

# As many as Linux follows.
_MOST_LINKS = 40
# Where there is no O_PATH, a link that was named is not followed.
_LOOK_AT = getattr(os, "O_PATH", os.O_RDONLY) | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_LOOK = _LOOK_AT | os.O_DIRECTORY
# Both say "no such thing" of a path.
_NOWHERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})


class Leads(StrEnum):
    """What there is at the end of a link."""

    FILE = "a file inside"
    OTHER = "a directory or special file inside"
    OUTSIDE = "outside"
    NOWHERE = "nowhere"


class LinkTarget(NamedTuple):
    """Where a link leads; `parts` is the path from the root, where that is inside."""

    leads: Leads
    parts: Parts = ()


def follow_link(tree: Tree, parts: Parts) -> LinkTarget:
    """Find out where a link leads. Its target is opened by `parts`, through no link."""
    position = _Position(tree, parts[:-1])
    try:
        return _follow(position, parts[-1])
    except OSError as error:
        if error.errno in _NOWHERE:
            return LinkTarget(Leads.NOWHERE)
        # The walk reports a directory that may not be read.
        return LinkTarget(Leads.OTHER if position.inside is not None else Leads.OUTSIDE)


def _follow(position: _Position, name: str) -> LinkTarget:
    # Names still to go, the next one last.
    left = [name]
    while left:
        name = left.pop()
        if name in ("", "."):
            continue
        if name == "..":
            position.go_up()
            continue
        mode = position.here().stat(name).st_mode
        if stat.S_ISLNK(mode):
            left.extend(reversed(position.take_link(name)))
        elif stat.S_ISDIR(mode):
            position.go_down(name)
        elif left:
            # It is in the place of a directory.
            return LinkTarget(Leads.NOWHERE)
        else:
            return position.target(Leads.FILE if stat.S_ISREG(mode) else Leads.OTHER, name)
    return position.target(Leads.OTHER)


class _Position:
    """A directory on the way: below the root, or somewhere else.

    Below the root it goes through the tree's own directories; leaving and coming back is seen by
    the root's identity. Elsewhere nothing is opened for reading.
    """

    def __init__(self, tree: Tree, inside: Parts) -> None:
        self.inside: Parts | None = inside
        self._tree = tree
        self._outside = tree.root
        self._links = 0

    def here(self) -> Directory:
        """Return the directory, which whoever asks has to hold: the tree may close it any time."""
        return self._outside if self.inside is None else self._tree.directory(self.inside)

    def take_link(self, name: str) -> list[str]:
        """Return the names that a link here says to go, from here or from the top."""
        self._links += 1
        if self._links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name)
        names = self.here().read_link(name).split("/")
        if not names[0]:
            self._go_to(Directory(os.open("/", _LOOK)))
        return names

    def go_down(self, name: str) -> None:
        """Go into a directory."""
        if self.inside is not None:
            self.inside = (*self.inside, name)
            self._tree.directory(self.inside)
        else:
            self._look_into(name)

    def go_up(self) -> None:
        """Go to the parent directory; below the root, to the one that we came from."""
        if self.inside:
            self.inside = self.inside[:-1]
        else:
            self._look_into("..")

    def _look_into(self, name: str) -> None:
        here = self.here()
        self._go_to(Directory(os.open(name, _LOOK, dir_fd=here.fileno())))

    def _go_to(self, directory: Directory) -> None:
        if same_file(directory.status(), self._tree.root.status()):
            self.inside = ()
        else:
            self.inside, self._outside = None, directory

    def target(self, leads: Leads, *name: str) -> LinkTarget:
        """Return what the link leads to: this directory, or an entry in it."""
        if self.inside is None:
            return LinkTarget(Leads.OUTSIDE)
        return LinkTarget(leads, (*self.inside, *name))


# --- links to a file that was named ------------------------------------------------------------


def open_through_links(path: str) -> io.FileIO:
    """Open a regular file for reading, which may be another one at each look, as a rotated log is.

    A link on the way counts if it is ours or root's, or belongs to the file's owner: others could
    have us read for them what only we may. Raises OSError.
    """
    here = Directory(os.open("/" if path.startswith("/") else ".", _LOOK))
    left, owners, links = _names(path), set[int](), 0
    while left:
        name = left.pop()
        descriptor = os.open(name, _LOOK_AT, dir_fd=here.fileno())
        found = Directory(descriptor)
        status = found.status()
        if stat.S_ISLNK(status.st_mode):
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            owners.add(status.st_uid)
            target = os.readlink("", dir_fd=descriptor)
            here = Directory(os.open("/", _LOOK)) if target.startswith("/") else here
            left.extend(_names(target))
        elif left:
            here = found
        else:
            return _open_for(owners - {0, os.geteuid()}, here, name)
    raise UnsafeFileError("not a regular file", path)


def _names(path: str) -> list[str]:
    """Return the names of a path, the next one last."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def _open_for(owners: set[int], directory: Directory, name: str) -> io.FileIO:
    file = directory.open_file(name)
    if owners - {os.fstat(file.fileno()).st_uid}:
        file.close()
        raise UnsafeFileError("a link of another user's leads there", name)
    return file
