"""Remove stored files from EFS one by one, and then the directory of a whole execution.

Every step goes through the tree's open directories and follows no link, so that what is removed is
what was looked at, whatever other machines do on the share meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from os import fstat, stat_result
from typing import Literal

from orchestrator_cli.core.efs.events import SyncState
from orchestrator_cli.core.efs.tree import RECORD_NAME, BenchExecution
from orchestrator_cli.core.files.checks import Parts, unchanged
from orchestrator_cli.core.files.directory import FileKind
from orchestrator_cli.core.files.removal import remove_tree
from orchestrator_cli.core.files.tree import Tree, TreeFile
from orchestrator_cli.core.files.walk import Entry, kind_of, walk
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.checksum import FdReader
from orchestrator_cli.core.s3.operations.put import compare_object
from orchestrator_cli.core.s3.types import PutOutcome

# Returns True if a file or directory has been kept for long enough, by its present status.
IsDue = Callable[[stat_result], bool]


def remove_stored_file(
    store: ArtifactStore, source: TreeFile, key: str, is_due: IsDue
) -> Literal[SyncState.DELETED, SyncState.CONFLICT] | None:
    """Delete a local file if S3 holds exactly its bytes and it is due; None where it is left.

    The stored checksum is compared with one computed now, of the very file that is then removed.
    Raises OSError where it cannot be read or removed, and what the store raises.
    """
    name = source.parts[-1]
    # At its end too early, it has become shorter meanwhile.
    with contextlib.suppress(FileNotFoundError, EOFError):
        parent = source.tree.directory(source.parts[:-1])
        with parent.open_file(name) as file:
            before = fstat(file.fileno())
            if not is_due(before):
                return None
            outcome = store.run(compare_object(key, FdReader(file.fileno()), before.st_size))
            if outcome is not PutOutcome.IDENTICAL:
                return SyncState.CONFLICT if outcome else None
            now = fstat(file.fileno())
            if unchanged(before, now) and unchanged(now, parent.stat(name)):
                parent.remove_file(name, expected=now)
                return SyncState.DELETED
    return None


# --- the rest of an execution ----------------------------------------------------------------


def remove_empty_dirs(
    execution: BenchExecution, is_due: IsDue, emptied: set[Parts], *, with_record: bool = False
) -> None:
    """Remove `temp/` and the directories of an execution that holds nothing to store any more.

    Directories count only if they are due or in `emptied`: a bench may be about to write into a
    fresh one. The bench's own record goes too `with_record`: where S3 has all that it says.
    """
    tree = execution.tree
    below_raw: list[Parts] = []
    for entry in _all_of(tree, execution.raw):
        if entry.kind is not FileKind.DIRECTORY or not _may_go(entry, is_due, emptied):
            return
        below_raw.append(entry.parts)
    if not _remove_temp(execution, is_due):
        return
    # What is inside comes after, so it goes first.
    if not all(_remove_directory(tree, parts) for parts in below_raw[::-1]):
        return
    if with_record:
        _remove_record(execution, is_due)
    _remove_directory(tree, execution.parts)


def _all_of(tree: Tree, top: Parts) -> Iterator[Entry]:
    """Yield a directory and all of its entries; nothing where it is missing. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        status = tree.stat(top)
        yield Entry(tree, top[:-1], top[-1], kind_of(status), status)
        if kind_of(status) is not FileKind.DIRECTORY:
            return
        for entry in walk(tree, top):
            if entry.error is None:
                yield entry
            elif not isinstance(entry.error, FileNotFoundError):
                raise entry.error


def _may_go(entry: Entry, is_due: IsDue, emptied: set[Parts]) -> bool:
    # One that holds only directories that were emptied changes as they go.
    return entry.parts in emptied or (entry.status is not None and is_due(entry.status))


def _remove_directory(tree: Tree, parts: Parts) -> bool:
    try:
        tree.directory(parts[:-1]).remove_directory(parts[-1])
    except FileNotFoundError:
        return True
    except OSError:
        # Not empty: somebody has written there meanwhile, or it holds what is foreign.
        return False
    return True


def _remove_record(execution: BenchExecution, is_due: IsDue) -> None:
    directory = execution.tree.directory(execution.parts)
    status = directory.find(RECORD_NAME)
    if status is not None and kind_of(status) is FileKind.FILE and is_due(status):
        directory.remove_file(RECORD_NAME, expected=status)


def _remove_temp(execution: BenchExecution, is_due: IsDue) -> bool:
    """Remove `temp/` as a whole if all in it is due; it is on one file system only."""
    devices: set[int] = set()
    for entry in _all_of(execution.tree, execution.temp):
        if entry.status is None or not is_due(entry.status):
            return False
        devices.add(entry.status.st_dev)
    if len(devices) > 1:
        return False
    if devices:
        remove_tree(execution.tree.directory(execution.parts), execution.temp[-1])
    return True
