"""Remove what is stored from EFS: files one by one, then what is left of a whole execution.

Every step goes through the tree's open directories and follows no link, so that what is removed is
what was looked at, whatever other machines do on the share meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from enum import StrEnum
from os import fstat

from orchestrator_cli.core.efs.tree import BenchExecution
from orchestrator_cli.core.files.checks import Parts, unchanged
from orchestrator_cli.core.files.directory import Kind
from orchestrator_cli.core.files.removal import remove_tree
from orchestrator_cli.core.files.tree import Tree, TreeFile
from orchestrator_cli.core.files.walk import Entry, kind_of, walk
from orchestrator_cli.core.s3.checksum import FdReader
from orchestrator_cli.core.s3.types import PutOutcome
from orchestrator_cli.core.s3.writer import ArtifactStore


class Removal(StrEnum):
    """What became of a local file that was due. Only `deleted` removed anything."""

    DELETED = "deleted"
    GONE = "gone"
    CHANGED = "changed"
    NOT_STORED = "not stored"
    CONFLICT = "conflict"


def remove_stored_file(
    store: ArtifactStore, source: TreeFile, key: str, due_before_ns: int
) -> Removal:
    """Delete a local file if S3 holds exactly its bytes and it was last written before an instant.

    The stored checksum is compared with one computed now, of the very file that is then removed.
    Raises OSError where it cannot be read or removed, and what the store raises.
    """
    name = source.parts[-1]
    with contextlib.suppress(FileNotFoundError):
        parent = source.tree.directory(source.parts[:-1])
        with parent.open_file(name) as file:
            before = fstat(file.fileno())
            if before.st_mtime_ns >= due_before_ns:
                return Removal.CHANGED
            try:
                outcome = store.compare(key, FdReader(file.fileno()), before.st_size)
            except EOFError:
                return Removal.CHANGED
            if outcome is not PutOutcome.IDENTICAL:
                return Removal.CONFLICT if outcome else Removal.NOT_STORED
            now = fstat(file.fileno())
            if not unchanged(before, now) or not unchanged(now, parent.stat(name)):
                return Removal.CHANGED
            parent.remove_file(name, expected=now)
            return Removal.DELETED
    return Removal.GONE


# --- the rest of an execution ----------------------------------------------------------------


def remove_empty_dirs(execution: BenchExecution, due_before_ns: int, emptied: set[Parts]) -> bool:
    """Remove `temp/` and the directories of an execution that holds nothing to store any more.

    Directories count only if they were last changed before an instant or are in `emptied`: a bench
    may be about to write into a fresh one. Says whether the execution's directory is gone.
    """
    tree = execution.tree
    below_raw: list[Parts] = []
    for entry in _all_of(tree, execution.raw):
        if entry.kind is not Kind.DIRECTORY or not _is_due(entry, due_before_ns, emptied):
            return False
        below_raw.append(entry.parts)
    if not _remove_temp(execution, due_before_ns):
        return False
    # What is inside comes after, so it goes first.
    return all(_remove_directory(tree, parts) for parts in (*below_raw[::-1], execution.parts))


def _all_of(tree: Tree, top: Parts) -> Iterator[Entry]:
    """Yield a directory and all that is in it, none where there is none. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        status = tree.stat(top)
        yield Entry(tree, top[:-1], top[-1], kind_of(status), status)
        if kind_of(status) is not Kind.DIRECTORY:
            return
        for entry in walk(tree, top):
            if entry.error is None:
                yield entry
            elif not isinstance(entry.error, FileNotFoundError):
                raise entry.error


def _is_due(entry: Entry, due_before_ns: int, emptied: set[Parts]) -> bool:
    # One that holds only directories that were emptied changes as they go.
    return entry.parts in emptied or entry.written_before(due_before_ns)


def _remove_directory(tree: Tree, parts: Parts) -> bool:
    try:
        tree.directory(parts[:-1]).remove_directory(parts[-1])
    except FileNotFoundError:
        return True
    except OSError:
        # Not empty: somebody has written there meanwhile, or it holds what is foreign.
        return False
    return True


def _remove_temp(execution: BenchExecution, due_before_ns: int) -> bool:
    """Remove `temp/` as a whole if all in it is old enough; it is on one file system only."""
    devices: set[int] = set()
    for entry in _all_of(execution.tree, execution.temp):
        if not entry.written_before(due_before_ns) or entry.status is None:
            return False
        devices.add(entry.status.st_dev)
    if len(devices) > 1:
        return False
    if devices:
        remove_tree(execution.tree.directory(execution.parts), execution.temp[-1])
    return True
