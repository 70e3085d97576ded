"""Begin and end an execution on a bench with no S3 in reach; the sync makes both known later."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from orchestrator_cli.core.base.errors import (
    ConflictError,
    NotFoundError,
    OrchestratorError,
    UsageError,
)
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.efs.contract.record import (
    BenchRecord,
    PromisedFile,
    metadata_from_directory,
    read_record,
    write_record,
)
from orchestrator_cli.core.efs.tree import BenchExecution, list_bench_executions, plan_execution
from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata, Result
from orchestrator_cli.core.files.tree import Tree, TreeFile
from orchestrator_cli.core.transfer.upload.plan import PlannedFile

_BENCH_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)


def is_bench_id(text: str) -> bool:
    """Return True for a valid bench id, which is also the name of the bench's directory."""
    return _BENCH_ID.fullmatch(text) is not None


def create_offline(root: Path, metadata: ExecutionMetadata) -> BenchExecution:
    """Make the directory of an execution, with `raw/`, `temp/` and its record.

    The bench's own directory has to be there, or the share is not mounted. Repeating it changes
    nothing. Raises UsageError, NotFoundError, and ConflictError where the record says other things.
    """
    bench_id = metadata.bench_id or ""
    if not is_bench_id(bench_id):
        raise UsageError(f"not a bench id: {printable(bench_id)!r}")
    try:
        tree = Tree.named(root)
        tree.directory((bench_id,))
    except OSError as error:
        raise NotFoundError(
            f"{printable(root / bench_id)}: {error.strerror}",
            hint="is it mounted? the directory of a new bench is made once, with mkdir",
        ) from error
    parts = (bench_id, metadata.execution_id)
    execution = BenchExecution(bench_id, metadata.execution_id, root.joinpath(*parts), tree, parts)
    try:
        for place in (execution.raw, execution.temp):
            tree.directory(place, make=True)
        _declare(execution, metadata)
    except OSError as error:
        message = f"cannot make {printable(execution.directory)}: {error.strerror}"
        raise OrchestratorError(message) from error
    return execution


def _declare(execution: BenchExecution, metadata: ExecutionMetadata) -> None:
    there = read_record(execution)
    if there is None:
        write_record(execution, BenchRecord(metadata))
        return
    kept = ("reservation_id", "test_suite", "labels")
    if any(getattr(there.declared, name) != getattr(metadata, name) for name in kept):
        raise ConflictError(
            f"execution {metadata.execution_id} is there with other properties; nothing was changed"
        )


def finish_offline(
    root: Path, execution_id: str, result: Result, ended_at: datetime
) -> BenchRecord:
    """Write the result into an execution's record, and promise every file that is in `raw/` now.

    Repeating it changes nothing. Raises NotFoundError, and ConflictError for another result.
    """
    found = list_bench_executions(root, execution_id=execution_id)
    execution = next(item for item in found if isinstance(item, BenchExecution))
    try:
        record = read_record(execution) or BenchRecord(metadata_from_directory(execution))
        finished = record.finished(result, ended_at, tuple(_present(execution)))
        if finished != record:
            write_record(execution, finished)
    except OSError as error:
        message = f"cannot finish {printable(execution.directory)}: {error.strerror}"
        raise OrchestratorError(message) from error
    return finished


def _present(execution: BenchExecution) -> list[PromisedFile]:
    """Return the files of `raw/` that a sync would store, by their paths there."""
    start = len(execution.raw)
    return [
        PromisedFile("/".join(item.file.parts[start:]), item.size_bytes)
        for item in plan_execution(execution)
        if isinstance(item, PlannedFile) and isinstance(item.file, TreeFile)
    ]
