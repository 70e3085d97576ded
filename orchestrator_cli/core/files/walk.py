"""Walk a directory tree in the order of S3's keys, without following links."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from orchestrator_cli.core.files.checks import Parts
from orchestrator_cli.core.files.directory import Directory, DirectoryEntry, FileKind
from orchestrator_cli.core.files.tree import Tree, TreeFile


@dataclass(slots=True)
class Entry:
    """What was found below a root. `error` says why it cannot be looked at or into.

    A directory comes before what is in it, and once more with an `error` where that is hidden.
    """

    tree: Tree
    above: Parts
    name: str
    kind: FileKind
    status: os.stat_result | None = None
    error: OSError | None = None

    @property
    def parts(self) -> Parts:
        """Its path from the root."""
        return (*self.above, self.name)

    @property
    def file(self) -> TreeFile:
        """The file, to be opened now or later."""
        return TreeFile(self.tree, self.parts)


def walk(
    tree: Tree, start: Parts = (), enters: Callable[[Entry], bool] = lambda entry: True
) -> Iterator[Entry]:
    """Yield all that is below a directory of a tree; `enters` says what to look into.

    No link is followed, so it ends. Memory and open directories are bounded, but for the names of
    the directories on the way. What cannot be read is an entry with an error; only where the
    beginning cannot be read, OSError is raised.
    """
    levels = [(start, iter(tree.directory(start).scan()))]
    while levels:
        inner: Entry | None = None
        for entry in _entries(tree, *levels[-1]):
            yield entry
            if entry.kind is FileKind.DIRECTORY and entry.error is None and enters(entry):
                inner = entry
                break
        if inner is None:
            levels.pop()
            continue
        try:
            levels.append((inner.parts, iter(tree.directory(inner.parts).scan())))
        except OSError as error:
            yield Entry(tree, inner.above, inner.name, inner.kind, inner.status, error)


def _entries(tree: Tree, parts: Parts, left: Iterator[DirectoryEntry]) -> Iterator[Entry]:
    directory: Directory | None = None
    for found in left:
        try:
            # Asked for only where it is needed: on the way up, most levels have nothing left.
            directory = directory or tree.directory(parts)
            status = directory.stat(found.name)
        except OSError as error:
            yield Entry(tree, parts, found.name, found.kind, None, error)
            continue
        yield Entry(tree, parts, found.name, kind_of(status), status)


def kind_of(status: os.stat_result) -> FileKind:
    """Return the kind of file that `lstat` has shown."""
    if stat.S_ISREG(status.st_mode):
        return FileKind.FILE
    if stat.S_ISDIR(status.st_mode):
        return FileKind.DIRECTORY
    return FileKind.LINK if stat.S_ISLNK(status.st_mode) else FileKind.SPECIAL
