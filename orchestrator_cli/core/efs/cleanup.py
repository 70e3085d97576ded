"""Remove what is stored from EFS: files one by one, then what is left of a whole execution.

Every step goes through directory descriptors and follows no link, so that what is removed is what
was looked at, whatever other machines do on the share meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from orchestrator_cli.core.base.errors import OrchestratorError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.efs.tree import BenchExecution
from orchestrator_cli.core.s3.checksum import FdReader
from orchestrator_cli.core.s3.types import PutOutcome
from orchestrator_cli.core.s3.writer import ArtifactStore

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Removal(StrEnum):
    """What became of a local file that was due. Only `deleted` removed anything."""

    DELETED = "deleted"
    GONE = "gone"
    CHANGED = "changed"
    NOT_STORED = "not stored"
    CONFLICT = "conflict"


def remove_stored_file(
    store: ArtifactStore, root: Path, source: Path, key: str, due_before_ns: int
) -> Removal:
    """Delete a local file if S3 holds exactly its bytes and it was last written before an instant.

    The stored checksum is compared with one computed now, of the very file that is then removed.
    Raises OSError where it cannot be read or removed, and what the store raises.
    """
    with (
        contextlib.suppress(FileNotFoundError),
        _open_parent(root, source) as parent,
        _open_file(source.name, parent) as descriptor,
    ):
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode) or before.st_mtime_ns >= due_before_ns:
            return Removal.CHANGED
        try:
            outcome = store.compare(key, FdReader(descriptor), before.st_size)
        except EOFError:
            return Removal.CHANGED
        if outcome is not PutOutcome.IDENTICAL:
            return Removal.CONFLICT if outcome else Removal.NOT_STORED
        named = os.stat(source.name, dir_fd=parent, follow_symlinks=False)
        if not _identity(before) == _identity(os.fstat(descriptor)) == _identity(named):
            return Removal.CHANGED
        os.unlink(source.name, dir_fd=parent)
        return Removal.DELETED
    return Removal.GONE


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


@contextlib.contextmanager
def _open_file(name: str, parent: int) -> Iterator[int]:
    descriptor = os.open(name, _FILE, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _open_parent(root: Path, source: Path) -> Iterator[int]:
    """Open the directory of a file below a root, one step at a time."""
    descriptor = os.open(root, _DIRECTORY)
    try:
        for name in source.parent.relative_to(root).parts:
            inner = os.open(name, _DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


# --- the rest of an execution ----------------------------------------------------------------


def remove_empty_dirs(execution: BenchExecution, due_before_ns: int, emptied: set[Path]) -> bool:
    """Remove `temp/` and the directories of an execution that holds nothing to store any more.

    Directories count only if they were last changed before an instant or are in `emptied`: a bench
    may be about to write into a fresh one. Says whether the execution's directory is gone.
    """
    below_raw = list(_directories(execution.raw))
    if below_raw and not all(_is_due(path, due_before_ns, emptied) for path in below_raw):
        return False
    if any(_has_files(path) for path in below_raw):
        return False
    if not _remove_temp(execution.temp, due_before_ns):
        return False
    for path in sorted(below_raw, key=lambda path: len(path.parts), reverse=True):
        if not _remove_directory(path):
            return False
    return _remove_directory(execution.directory)


def _directories(top: Path) -> Iterator[Path]:
    for directory, _, _ in os.walk(top, onerror=_raise_unless_gone):
        yield Path(directory)


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _is_due(path: Path, due_before_ns: int, emptied: set[Path]) -> bool:
    if path in emptied:
        return True
    # One that holds only directories that were emptied changes as they go.
    with contextlib.suppress(FileNotFoundError):
        return os.lstat(path).st_mtime_ns < due_before_ns
    return True


def _has_files(directory: Path) -> bool:
    with contextlib.suppress(FileNotFoundError), os.scandir(directory) as scan:
        return any(not entry.is_dir(follow_symlinks=False) for entry in scan)
    return False


def _remove_directory(path: Path) -> bool:
    try:
        path.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        # Not empty: somebody has written there meanwhile, or it holds what is foreign.
        return False
    return True


def _remove_temp(temp: Path, due_before_ns: int) -> bool:
    """Remove `temp/` as a whole if all in it is old enough; it is on one file system only."""
    try:
        newest_ns, devices = _newest_and_devices(temp)
    except FileNotFoundError:
        return not temp.exists()
    if newest_ns >= due_before_ns or len(devices) > 1:
        return False
    if not shutil.rmtree.avoids_symlink_attacks:
        raise OrchestratorError(f"cannot remove {printable(temp)} safely on this system")
    shutil.rmtree(temp)
    return True


def _newest_and_devices(top: Path) -> tuple[int, set[int]]:
    status = os.lstat(top)
    newest_ns, devices = status.st_mtime_ns, {status.st_dev}
    for directory, directories, files in os.walk(top, onerror=_raise_unless_gone):
        for name in directories + files:
            status = os.lstat(os.path.join(directory, name))
            newest_ns = max(newest_ns, status.st_mtime_ns)
            devices.add(status.st_dev)
    return newest_ns, devices
