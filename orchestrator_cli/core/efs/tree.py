"""What benches leave on EFS: `<root>/<bench_id>/<execution_id>/{raw,temp}/`. Nothing is sent.

Beside these two there may be `execution.json`, in which the bench says what the execution is.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator_cli.core.base.errors import NotFoundError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.ids import is_execution_id
from orchestrator_cli.core.files.checks import Parts
from orchestrator_cli.core.files.directory import FileKind
from orchestrator_cli.core.files.tree import Tree
from orchestrator_cli.core.files.walk import kind_of, walk
from orchestrator_cli.core.transfer.upload.plan import (
    PlanItem,
    PlannedFile,
    SkippedPath,
    TreePlan,
    unreadable,
)

RECORD_NAME = "execution.json"
_PLACES = frozenset({"raw", "temp"})


@dataclass(frozen=True, slots=True)
class BenchExecution:
    """The directory of one execution on one bench."""

    bench_id: str
    execution_id: str
    directory: Path
    tree: Tree = field(compare=False, repr=False)
    parts: Parts

    @property
    def raw(self) -> Parts:
        """The directory of files to store."""
        return (*self.parts, "raw")

    @property
    def temp(self) -> Parts:
        """The directory of files that are never stored."""
        return (*self.parts, "temp")

    def has_raw(self) -> bool:
        """Return True if there is anything that the bench means to be stored."""
        with contextlib.suppress(OSError):
            return kind_of(self.tree.stat(self.raw)) is FileKind.DIRECTORY
        return False


@dataclass(frozen=True, slots=True)
class TreeFingerprint:
    """A fingerprint of a tree, by the names, sizes and times of its files.

    `oldest` is the earliest change time of a file in seconds since the epoch, None without files.
    """

    files: int
    digest: int
    oldest: float | None


def tree_fingerprint(execution: BenchExecution) -> TreeFingerprint:
    """Return the fingerprint of an execution's directory, to tell whether anything has changed."""
    files, digest, oldest = 0, 0, None
    with contextlib.suppress(OSError):
        for entry in walk(execution.tree, execution.parts):
            status = entry.status
            if status is None or entry.error is not None:
                continue
            identity = (
                entry.parts,
                status.st_ino,
                status.st_size,
                status.st_mtime_ns,
                status.st_ctime_ns,
            )
            digest ^= hash(identity)
            if entry.kind is not FileKind.DIRECTORY:
                files += 1
                oldest = min(oldest or status.st_ctime, status.st_ctime)
    return TreeFingerprint(files, digest, oldest)


def list_bench_executions(
    root: Path, bench_id: str | None = None, execution_id: str | None = None
) -> Iterator[BenchExecution | SkippedPath]:
    """Yield the executions under a root in order of bench and time, and what does not belong there.

    Raises NotFoundError where the root cannot be read or is empty, as an EFS that is not mounted,
    and where the bench or the execution that was named is not there.
    """
    try:
        tree = Tree.named(root)
        benches = tree.root.scan()
    except OSError as error:
        raise NotFoundError(
            f"cannot read {printable(root)}: {error.strerror}",
            hint="mount it, or name the place with --root",
        ) from error
    found = False
    named = [bench for bench in benches if bench_id in (None, bench.name)]
    if not named:
        what = f"no bench {printable(bench_id)} in" if bench_id else "nothing in"
        raise NotFoundError(
            f"{what} {printable(root)}", hint="is it mounted? or name the place with --root"
        )
    for bench in named:
        if bench.kind is not FileKind.DIRECTORY:
            yield SkippedPath(str(root / bench.name), "not the directory of a bench")
            continue
        for item in _list_bench(tree, root / bench.name, execution_id):
            found = found or isinstance(item, BenchExecution)
            yield item
    if execution_id is not None and not found:
        raise NotFoundError(f"no execution {execution_id} in {printable(root)}")


def _list_bench(
    tree: Tree, directory: Path, execution_id: str | None
) -> Iterator[BenchExecution | SkippedPath]:
    bench_id = directory.name
    try:
        entries = tree.directory((bench_id,)).scan()
    except OSError as error:
        yield unreadable(directory, error)
        return
    for entry in entries:
        found, path = entry.name.upper(), directory / entry.name
        if not is_execution_id(found) or entry.kind is not FileKind.DIRECTORY:
            if execution_id is None:
                yield SkippedPath(str(path), "not the directory of an execution")
        elif execution_id in (None, found):
            yield BenchExecution(bench_id, found, path, tree, (bench_id, entry.name))


def plan_execution(execution: BenchExecution) -> Iterator[PlanItem]:
    """Yield every file of an execution's `raw/` with its place, and the files that are skipped.

    Unlike `upload`, links are never followed: on a share that many machines write to, what they
    lead to may be anything.
    """
    try:
        entries = execution.tree.directory(execution.parts).scan()
    except FileNotFoundError:
        return
    except OSError as error:
        yield unreadable(execution.directory, error)
        return
    for entry in entries:
        path = execution.directory / entry.name
        if entry.name == RECORD_NAME and entry.kind is FileKind.FILE:
            continue
        if entry.name not in _PLACES or entry.kind is not FileKind.DIRECTORY:
            yield SkippedPath(str(path), "neither raw/ nor temp/")
        elif entry.name == "raw":
            plan = TreePlan(
                execution.execution_id, execution.tree, path, execution.raw, links=False
            )
            yield from map(_unless_removed, plan.items())


def _unless_removed(item: PlanItem) -> PlanItem:
    if isinstance(item, PlannedFile) and os.path.basename(item.source).startswith(".nfs"):
        # NFS keeps a removed file under this name for as long as somebody has it open.
        return SkippedPath(item.source, "removed, and still open somewhere")
    return item
