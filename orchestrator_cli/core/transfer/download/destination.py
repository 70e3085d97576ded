"""Write downloaded files below one directory, even while others swap directories there."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from orchestrator_cli.core.base.descriptors import write_all
from orchestrator_cli.core.files.checks import Parts, UnsafeFileError, split_path
from orchestrator_cli.core.files.directory import Directory, FileKind
from orchestrator_cli.core.files.new_file import NO_LINKS, create_atomically
from orchestrator_cli.core.files.tree import Tree, TreeFile
from orchestrator_cli.core.files.walk import kind_of
from orchestrator_cli.core.transfer.upload.local_file import LocalFile


class DownloadDirectory:
    """A directory, made when the first file comes. Safe for threads.

    One that a user has named may be a link; a name that we chose may have been planted.
    """

    def __init__(self, path: Path, *, is_named: bool = True) -> None:
        self.path = path
        self._is_named = is_named
        self._tree: Tree | None = None
        self._lock = threading.Lock()

    def place(self, relative: str) -> Destination:
        """Return the place of a file, with its directories made. Raises OSError.

        No link below the directory is followed, not even to make a directory there.
        """
        return Destination(self._opened(), split_path(relative), self.path / relative)

    def _opened(self) -> Tree:
        with self._lock:
            if self._tree is None and self._is_named:
                os.makedirs(self.path, exist_ok=True)
                self._tree = Tree.named(self.path)
            elif self._tree is None:
                parent = Directory.open_root(self.path.parent)
                self._tree = Tree(parent.make_directory(self.path.name), path=self.path)
            return self._tree


class Destination:
    """The place of one file: a name in an open directory."""

    def __init__(self, tree: Tree, parts: Parts, path: Path) -> None:
        self.path = path
        self.name = parts[-1]
        self.directory = tree.directory(parts[:-1], make=True)
        self._tree = tree
        self._parts = parts

    def is_taken(self) -> bool:
        """Return True if the name is taken."""
        return self.directory.find(self.name) is not None

    def is_directory(self) -> bool:
        """Return True if a directory has the name."""
        status = self.directory.find(self.name)
        return status is not None and kind_of(status) is FileKind.DIRECTORY

    def open(self) -> LocalFile | None:
        """Open the file that is there; None where it is no regular file. Raises OSError."""
        status = self.directory.find(self.name)
        if status is None or kind_of(status) is not FileKind.FILE:
            return None
        return LocalFile(TreeFile(self._tree, self._parts), self.path)

    def create(self, content: memoryview) -> bool:
        """Write the file, which has no name until it is whole.

        False where the name is taken, or where files cannot be given names in this way.
        """
        try:
            with create_atomically(self.directory, self.name, durable=False) as file:
                write_all(file.fileno(), content)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            return False
        return True

    def check_still_there(self) -> None:
        """Raise UnsafeFileError where the directory is no longer where the path leads to.

        Whoever may write to one above can have moved it away, with the file that was written.
        """
        if not self._tree.leads_to(self._parts[:-1], self.directory):
            raise UnsafeFileError("its directory was moved away meanwhile", self.name)
