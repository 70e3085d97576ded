"""What benches leave on EFS: `<root>/<bench_id>/<execution_id>/{raw,temp}/`. Nothing is sent."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator_cli.core.base.errors import NotFoundError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.ids import is_execution_id
from orchestrator_cli.core.transfer.plan import (
    PathFilter,
    PlanItem,
    SkippedPath,
    plan_upload,
    unreadable,
)

DEFAULT_ROOT = Path("/mnt/bench-logs")
_PLACES = frozenset({"raw", "temp"})
_EVERYTHING = PathFilter()


@dataclass(frozen=True, slots=True)
class BenchExecution:
    """The directory of one execution on one bench."""

    bench_id: str
    execution_id: str
    directory: Path

    @property
    def raw(self) -> Path:
        """Where the bench writes what is to be stored."""
        return self.directory / "raw"

    @property
    def temp(self) -> Path:
        """Where the bench writes what is never stored."""
        return self.directory / "temp"


@dataclass(frozen=True, slots=True)
class TreeFingerprint:
    """The files of a tree as far as their names, sizes and times tell.

    `oldest` is the earliest time of writing in seconds since the epoch, None without files.
    """

    files: int
    digest: int
    oldest: float | None


def tree_state(execution: BenchExecution) -> TreeFingerprint:
    """Return what tells whether anything in an execution's directory has changed."""
    files, digest, oldest = 0, 0, None
    for directory, directories, names in os.walk(execution.directory):
        for name in directories + names:
            path = os.path.join(directory, name)
            with contextlib.suppress(OSError):
                status = os.lstat(path)
                told = (path, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
                digest ^= hash(told)
                if not stat.S_ISDIR(status.st_mode):
                    files += 1
                    oldest = min(oldest or status.st_mtime, status.st_mtime)
    return TreeFingerprint(files, digest, oldest)


def list_bench_executions(
    root: Path, bench_id: str | None = None, execution_id: str | None = None
) -> Iterator[BenchExecution | SkippedPath]:
    """Yield the executions under a root in order of bench and time, and what does not belong there.

    Raises NotFoundError where the root cannot be read: an EFS that is not mounted.
    """
    try:
        benches = _entries(root)
    except OSError as error:
        raise NotFoundError(
            f"cannot read {printable(root)}: {error.strerror}",
            hint="mount it, or name the place with --root",
        ) from error
    for bench in benches:
        if bench_id is not None and bench.name != bench_id:
            continue
        if not bench.is_dir(follow_symlinks=False):
            yield SkippedPath(Path(bench.path), "not the directory of a bench")
            continue
        yield from _list_bench(Path(bench.path), bench.name, execution_id)


def _list_bench(
    directory: Path, bench_id: str, execution_id: str | None
) -> Iterator[BenchExecution | SkippedPath]:
    try:
        entries = _entries(directory)
    except OSError as error:
        yield unreadable(directory, error)
        return
    for entry in entries:
        found = entry.name.upper()
        if not is_execution_id(found) or not entry.is_dir(follow_symlinks=False):
            if execution_id is None:
                yield SkippedPath(Path(entry.path), "not the directory of an execution")
        elif execution_id in (None, found):
            yield BenchExecution(bench_id, found, Path(entry.path))


def plan_execution(execution: BenchExecution) -> Iterator[PlanItem]:
    """Yield every file of an execution's `raw/` with where it goes, and what is left alone.

    Unlike `upload`, links are never followed: on a share that many machines write to, what they
    lead to may be anything.
    """
    try:
        entries = _entries(execution.directory)
    except FileNotFoundError:
        return
    except OSError as error:
        yield unreadable(execution.directory, error)
        return
    for entry in entries:
        if entry.name not in _PLACES or not entry.is_dir(follow_symlinks=False):
            yield SkippedPath(Path(entry.path), "neither raw/ nor temp/")
        elif entry.name == "raw":
            yield from map(_unless_link, _plan_raw(execution))


def _plan_raw(execution: BenchExecution) -> Iterator[PlanItem]:
    yield from plan_upload(execution.execution_id, [execution.raw], _EVERYTHING)


def _unless_link(item: PlanItem) -> PlanItem:
    if isinstance(item, SkippedPath):
        return item
    if item.source.is_symlink():
        return SkippedPath(item.source, "a link")
    if item.source.name.startswith(".nfs"):
        # NFS keeps a removed file under this name for as long as somebody has it open.
        return SkippedPath(item.source, "removed, and still open somewhere")
    return item


def _entries(directory: Path) -> list[os.DirEntry[str]]:
    with os.scandir(directory) as scan:
        return sorted(scan, key=lambda entry: entry.name)
