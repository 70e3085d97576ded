"""Compare two executions: the files that differ, and where one of their logs begins to differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator_cli.api.pages.execution_list import ExecutionRow, execution_row
from orchestrator_cli.api.reads.read_service import ReadService
from orchestrator_cli.core.base.errors import ArchivedError
from orchestrator_cli.core.base.quantities import MIB
from orchestrator_cli.core.executions.ids import parse_execution_id
from orchestrator_cli.core.executions.keys import execution_prefix
from orchestrator_cli.core.executions.listings.executions import list_files
from orchestrator_cli.core.executions.logs.difference import LogDifference, compare_logs
from orchestrator_cli.core.executions.logs.finding import log_name
from orchestrator_cli.core.executions.placement import log_storage_path
from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata
from orchestrator_cli.core.executions.record.repository import read_execution
from orchestrator_cli.core.transfer.download.range_reader import iter_range

# How much of each log is compared.
_MAX_LOG_BYTES = 64 * MIB
_MAX_LINES = 200_000
_MAX_SHOWN = 200


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that differs. `change` is `added`, `gone` or `different` in the second execution."""

    path: str
    change: str
    first_bytes: int | None
    second_bytes: int | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two executions and their differences.

    `changes` may be cut; `change_count` counts all. `logs` are the logs that both have, `log` is
    the one that was compared. `archived` says that it could not be read.
    """

    first: ExecutionRow
    second: ExecutionRow
    changes: list[FileChange]
    change_count: int
    same_count: int
    log: str
    logs: list[str]
    difference: LogDifference | None
    archived: bool = False


# Size and checksum (or ETag) by path.
_Files = dict[str, tuple[int, str]]


def compare_executions(reads: ReadService, first: str, second: str, log: str) -> Comparison:
    """Compare two executions, and one of their logs. Raises NotFoundError."""
    records = [
        read_execution(reads.store, parse_execution_id(text)).metadata for text in (first, second)
    ]
    by_checksum = all(record.artifacts is not None for record in records)
    one, other = (_files(reads, record, by_checksum) for record in records)
    changes = [
        change for path in sorted(one.keys() | other.keys()) for change in _change(path, one, other)
    ]
    logs = [name for path in one if (name := log_name(path)) and path in other]
    chosen = log if log in logs else next(iter(sorted(logs, reverse=True)), "")
    difference, archived = None, False
    if chosen:
        path = log_storage_path(chosen) or ""
        try:
            difference = _compare_logs(reads, records, path, one[path][0], other[path][0])
        except ArchivedError:
            archived = True
    rows = [execution_row(record.to_dict(), reads.now()) for record in records]
    return Comparison(
        rows[0],
        rows[1],
        changes[:_MAX_SHOWN],
        len(changes),
        len(one.keys() | other.keys()) - len(changes),
        chosen,
        sorted(logs),
        difference,
        archived,
    )


def _files(reads: ReadService, record: ExecutionMetadata, by_checksum: bool) -> _Files:
    """Return an execution's files, with their checksums or with their ETags."""
    manifest = (record.artifacts or ()) if by_checksum else ()
    checksums = {one.path: one.checksum for one in manifest}
    return {
        path: (found.size_bytes, checksums.get(path) or found.etag)
        for path, found in list_files(reads.store, record.execution_id)
    }


def _change(path: str, one: _Files, other: _Files) -> Iterator[FileChange]:
    before, after = one.get(path), other.get(path)
    if before == after:
        return
    change = "added" if before is None else "gone" if after is None else "different"
    yield FileChange(path, change, before and before[0], after and after[0])


def _compare_logs(
    reads: ReadService, records: list[ExecutionMetadata], path: str, *sizes: int
) -> LogDifference:
    first, second = (
        iter_range(
            reads.store,
            execution_prefix(record.execution_id) + path,
            0,
            min(size, _MAX_LOG_BYTES),
            object_bytes=size,
        )
        if size
        else iter(())
        for record, size in zip(records, sizes, strict=True)
    )
    return compare_logs(first, second, _MAX_LINES)
