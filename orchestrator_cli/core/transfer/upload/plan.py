"""Plan an upload: walk the given paths and decide where each file goes. Nothing is sent."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from orchestrator_cli.core.base.errors import NotFoundError, OrchestratorError, UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.content_type import content_type_of
from orchestrator_cli.core.executions.keys import UnstorablePathError, artifact_key
from orchestrator_cli.core.executions.placement import storage_path_for
from orchestrator_cli.core.files.checks import Parts
from orchestrator_cli.core.files.directory import FileKind
from orchestrator_cli.core.files.path_filter import PathFilter
from orchestrator_cli.core.files.symlinks import Leads, follow_link
from orchestrator_cli.core.files.tree import NamedFile, Openable, Tree, TreeFile
from orchestrator_cli.core.files.walk import Entry, walk
from orchestrator_cli.core.transfer.upload.local_file import LocalFile


@dataclass(slots=True, unsafe_hash=True)
class PlannedFile:
    """One file and where it goes. `path` is relative to the execution, `size_bytes` as seen now.

    `source` is what it is called; it is opened by `file`, which is None for a stream.
    """

    source: str
    path: str
    key: str
    size_bytes: int
    content_type: str
    file: Openable | None = field(default=None, compare=False, repr=False)

    def open(self) -> LocalFile:
        """Open it for reading. Raises OSError."""
        return LocalFile(self._file, self.source)

    def stat(self) -> os.stat_result:
        """Stat its name, which another file may have by now. Raises OSError."""
        return self._file.stat()

    @property
    def _file(self) -> Openable:
        if self.file is None:
            raise ValueError(f"{self.source} is a stream")
        return self.file


class SkippedPath(NamedTuple):
    """Something that is not uploaded. `error` is set where that is a failure, not a rule.

    `is_gone` says that it was there and has been removed meanwhile.
    """

    source: str
    reason: str
    error: OrchestratorError | None = None
    is_gone: bool = False


PlanItem = PlannedFile | SkippedPath


def plan_upload(
    execution_id: str, roots: Iterable[Path], selection: PathFilter, name: str | None = None
) -> Iterator[PlanItem]:
    """Yield every file under the roots, in a stable order, with where it goes or why it does not.

    A directory is its own root, a file's root is its parent. `name` replaces a single file's
    relative path. Memory is bounded by the largest single directory.
    """
    hidden = HiddenNames()
    for root in roots:
        try:
            file = NamedFile(root)
        except (FileNotFoundError, NotADirectoryError):
            error = NotFoundError("no such file")
            yield SkippedPath(str(root), "no such file", error)
        except OSError as error:
            yield unreadable(root, error)
        else:
            yield from _plan_root(execution_id, file, selection, name, hidden)
    yield from hidden.report()


def plan_stream(execution_id: str, name: str) -> PlannedFile:
    """Return standard input, or another stream, as a file: its name decides where it goes.

    Raises UsageError for a name that cannot be stored.
    """
    path = storage_path_for(name)
    return PlannedFile("-", path, artifact_key(execution_id, path), 0, content_type_of(path))


def _plan_root(
    execution_id: str,
    file: NamedFile,
    selection: PathFilter,
    name: str | None,
    hidden: HiddenNames,
) -> Iterator[PlanItem]:
    root = Path(file.path)
    if stat.S_ISDIR(file.named.st_mode):
        try:
            tree = Tree.named(root)
        except OSError as error:
            yield unreadable(root, error)
        else:
            yield from TreePlan(execution_id, tree, root, (), selection, hidden).items()
    elif not stat.S_ISREG(file.named.st_mode):
        yield SkippedPath(str(root), "not a regular file")
    elif selection.matches(root.name):
        yield _plan_file(execution_id, str(root), name or root.name, file.named, file)


class HiddenNames:
    """The paths that were left out as hidden, reported once for a whole plan."""

    _SHOWN = 3

    def __init__(self) -> None:
        self._first: list[str] = []
        self._count = 0

    def add(self, source: str) -> None:
        """Note a path."""
        self._count += 1
        if len(self._first) < self._SHOWN:
            self._first.append(source)

    def report(self) -> Iterator[SkippedPath]:
        """Yield the one item that reports them, if there are any."""
        if not self._first:
            return
        names = [printable(os.path.basename(source)) for source in self._first[1:]]
        more = self._count - len(self._first)
        names += [f"{more:,} more"] if more else []
        also = f", and so are {', '.join(names)}" if names else ""
        reason = f"hidden{also}; --include-hidden stores what is"
        yield SkippedPath(self._first[0], reason)


@dataclass(slots=True, eq=False, repr=False)
class TreePlan:
    """Where the files below a directory of a tree go; `root` is what that directory is called.

    With `links`, those that lead to files of the tree are followed.
    """

    execution_id: str
    tree: Tree
    root: Path
    start: Parts = ()
    selection: PathFilter = field(default_factory=PathFilter)
    hidden: HiddenNames = field(default_factory=HiddenNames)
    links: bool = True
    _prefix: str = field(init=False)

    def __post_init__(self) -> None:
        # pathlib would take longer to join names than the file takes to be sent.
        self._prefix = "" if self.root == Path() else os.path.join(self.root, "")

    def items(self) -> Iterator[PlanItem]:
        """Yield every file in the order of keys, and the skipped paths."""
        try:
            for entry in walk(self.tree, self.start, self._is_entered):
                if entry.kind is not FileKind.DIRECTORY or entry.error is not None:
                    yield from self._plan(entry, self._relative(entry.parts))
        except OSError as error:
            yield unreadable(self.root, error)

    def _relative(self, parts: Parts) -> str:
        return "/".join(parts[len(self.start) :])

    def _source(self, relative: str) -> str:
        return f"{self._prefix}{relative}"

    def _is_entered(self, entry: Entry) -> bool:
        relative = self._relative(entry.parts)
        return not self._leaves_out(relative, relative) and self.selection.enters(relative)

    def _leaves_out(self, relative: str, real: str) -> bool:
        """Note and return True if a path is hidden, or a link to a hidden one."""
        if self.selection.hidden or not (real.startswith(".") or "/." in real):
            return False
        if self.selection.matches(relative):
            self.hidden.add(self._source(relative))
        return True

    def _plan(self, entry: Entry, relative: str) -> Iterator[PlanItem]:
        source = self._source(relative)
        if entry.error is not None:
            # What cannot be read is told even so: it may hold what is selected.
            yield unreadable(source, entry.error)
        elif self._leaves_out(relative, relative) or not self.selection.matches(relative):
            return
        elif entry.kind is FileKind.LINK:
            yield from self._plan_link(entry, source, relative)
        elif entry.kind is FileKind.FILE and entry.status is not None:
            yield _plan_file(self.execution_id, source, relative, entry.status, entry.file)
        else:
            yield SkippedPath(source, "not a regular file")

    def _plan_link(self, entry: Entry, source: str, relative: str) -> Iterator[PlanItem]:
        if not self.links:
            yield SkippedPath(source, "a link")
            return
        target = follow_link(self.tree, entry.parts)
        if target.leads is not Leads.FILE:
            yield SkippedPath(source, self._why_not(target.leads))
        elif not self._leaves_out(relative, self._relative(target.parts)):
            # From here on it is the file that it leads to now, whatever it leads to later.
            file = TreeFile(self.tree, target.parts)
            try:
                yield _plan_file(self.execution_id, source, relative, file.stat(), file)
            except OSError as error:
                yield unreadable(source, error)

    def _why_not(self, leads: Leads) -> str:
        if leads is Leads.NOWHERE:
            return "the link leads nowhere"
        if leads is Leads.OUTSIDE:
            return f"the link leaves {printable(self.root)}"
        # What it leads to is uploaded from its real place; following could never end.
        return "a link to a directory or special file"


def _plan_file(
    execution_id: str, source: str, relative: str, status: os.stat_result, file: Openable
) -> PlanItem:
    try:
        path = storage_path_for(relative)
        key = artifact_key(execution_id, path)
    except UnstorablePathError as error:
        # Who is told this is told the source, too.
        reason = f"cannot be stored: {error.problem}"
        return SkippedPath(source, reason, UsageError(reason, hint=error.hint))
    return PlannedFile(source, path, key, status.st_size, content_type_of(path), file)


def unreadable(path: str | Path, error: OSError) -> SkippedPath:
    """Return the plan's item for a file or directory that cannot be read."""
    reason = f"cannot read {printable(path)}: {error.strerror}"
    is_gone = error.errno in (errno.ENOENT, errno.ESTALE)
    return SkippedPath(str(path), reason, OrchestratorError(reason), is_gone)
