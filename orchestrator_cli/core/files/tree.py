"""A directory tree, reached through directories that are held open."""

from __future__ import annotations

import io
import os
import threading
from collections import OrderedDict

from orchestrator_cli.core.files.checks import Parts, UnsafeFileError, check_regular, same_file
from orchestrator_cli.core.files.directory import Directory

_MOST_OPEN = 64
# A key has at most 1,024 bytes, and each directory takes two of them.
MOST_DEEP = 512


class Tree:
    """The directories below a root, of which a bounded number is held open. Safe for threads.

    One that is not held is reached from the nearest that is, step by step and through no link.
    All are closed with the last reference to the tree and to them.
    """

    def __init__(
        self,
        root: Directory,
        most_open: int = _MOST_OPEN,
        path: str | os.PathLike[str] | None = None,
    ) -> None:
        """Take an open root, and the path by which a user has named it, if one has."""
        self.root = root
        self._path = path
        self._most_open = most_open
        self._held: OrderedDict[Parts, Directory] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def named(cls, path: str | os.PathLike[str]) -> Tree:
        """Open a root that a user has named, through whatever links. Raises OSError."""
        return cls(Directory.open_root(path), path=path)

    def directory(self, parts: Parts, *, make: bool = False) -> Directory:
        """Return a directory, which must not be closed. Raises OSError.

        With `make`, what is missing of it is made.
        """
        if not parts:
            return self.root
        with self._lock:
            held = self._held.get(parts)
            if held is not None:
                self._held.move_to_end(parts)
                return held
            return self._descend(parts, make)

    def _descend(self, parts: Parts, make: bool) -> Directory:
        if len(parts) > MOST_DEEP:
            raise UnsafeFileError(f"deeper than {MOST_DEEP} directories")
        depth = next((n for n in range(len(parts) - 1, 0, -1) if parts[:n] in self._held), 0)
        directory = self._held[parts[:depth]] if depth else self.root
        for end in range(depth + 1, len(parts) + 1):
            name = parts[end - 1]
            directory = directory.make_directory(name) if make else directory.open_directory(name)
            self._hold(parts[:end], directory)
        return directory

    def _hold(self, parts: Parts, directory: Directory) -> None:
        self._held[parts] = directory
        while len(self._held) > self._most_open:
            self._held.popitem(last=False)

    def leads_to(self, parts: Parts, directory: Directory) -> bool:
        """Return True if a directory is still where it was reached; forget it if not.

        Whoever may write to one above can move it away, with all that is written to it.
        """
        here = self.root
        try:
            there = self._path is None or same_file(os.stat(self._path), here.status())
            for name in parts:
                here = here.open_directory(name)
        except OSError:
            there = False
        if there and same_file(here.status(), directory.status()):
            return True
        self._forget(parts)
        return False

    def _forget(self, parts: Parts) -> None:
        with self._lock:
            # Any of its parents may be the one that was moved.
            for held in [held for held in self._held if held[:1] == parts[:1]]:
                del self._held[held]

    # --- files ------------------------------------------------------------------------------

    def open_file(self, parts: Parts) -> io.FileIO:
        """Open a regular file for reading. Raises OSError."""
        return self.directory(parts[:-1]).open_file(parts[-1])

    def stat(self, parts: Parts) -> os.stat_result:
        """Stat a file, directory or link. Raises OSError."""
        if not parts:
            return self.root.status()
        return self.directory(parts[:-1]).stat(parts[-1])


class TreeFile:
    """A file below a root."""

    __slots__ = ("parts", "tree")

    def __init__(self, tree: Tree, parts: Parts) -> None:
        self.tree = tree
        self.parts = parts

    def open(self) -> io.FileIO:
        """Open it for reading. Raises OSError."""
        return self.tree.open_file(self.parts)

    def stat(self) -> os.stat_result:
        """Stat its name, which another file may have by now. Raises OSError."""
        return self.tree.stat(self.parts)


class NamedFile:
    """A file that a user has named, through whatever links; it must stay the one it was then."""

    __slots__ = ("named", "path")

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Look at it; what is `named` may be of any kind. Raises OSError."""
        self.path = path
        self.named = os.stat(path)

    def open(self) -> io.FileIO:
        """Open it for reading. Raises OSError, also where another file has taken its name."""
        name = os.fspath(self.path)
        # Only to open a device may do something.
        check_regular(self.named, name)
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        file = io.FileIO(os.open(self.path, flags), "rb")
        if not same_file(os.fstat(file.fileno()), self.named):
            file.close()
            raise UnsafeFileError("it was replaced meanwhile", name)
        return file

    def stat(self) -> os.stat_result:
        """Stat its name, which another file may have by now. Raises OSError."""
        return os.stat(self.path)


Openable = TreeFile | NamedFile
