"""Check what an adapter has written of one execution, before a sync meets it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator_cli.core.base.errors import IntegrityError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.efs.contract.offline import is_bench_id
from orchestrator_cli.core.efs.contract.record import BenchRecord, PromisedFile, read_record
from orchestrator_cli.core.efs.tree import RECORD_NAME, BenchExecution, plan_execution
from orchestrator_cli.core.s3.checksum import hash_range
from orchestrator_cli.core.transfer.upload.plan import PlannedFile, SkippedPath


@dataclass(frozen=True, slots=True)
class Remark:
    """A problem of a path, or of the execution as a whole. A `note` is no problem."""

    path: str
    text: str
    is_note: bool = False


def check_execution(execution: BenchExecution) -> Iterator[Remark]:
    """Yield the files that would not be stored, or not as meant; then what is unusual."""
    if not is_bench_id(execution.bench_id):
        yield Remark(printable(execution.directory.parent), "not a bench id")
    if not execution.has_raw():
        yield Remark(printable(execution.directory), "there is no raw/")
    files: list[PlannedFile] = []
    places: dict[str, PlannedFile] = {}
    for item in plan_execution(execution):
        if isinstance(item, SkippedPath):
            yield Remark(printable(item.source), item.reason)
            continue
        files.append(item)
        other = places.setdefault(item.path, item)
        if other is not item:
            text = f"goes to the same place as {printable(other.source)}: {printable(item.path)}"
            yield Remark(printable(item.source), text)
    yield from _check_record(execution, files)


def _check_record(execution: BenchExecution, files: list[PlannedFile]) -> Iterator[Remark]:
    where = printable(execution.directory / RECORD_NAME)
    try:
        record = read_record(execution)
    except IntegrityError as error:
        yield Remark(where, error.message)
        return
    if record is None:
        yield Remark(where, "there is none: suite, result and end are not known", is_note=True)
        return
    if not record.is_finished:
        yield Remark(where, "it has no result yet", is_note=True)
    yield from _check_promises(execution, record, files)


def _check_promises(
    execution: BenchExecution, record: BenchRecord, files: list[PlannedFile]
) -> Iterator[Remark]:
    there = {_relative(execution, item): item for item in files}
    promised = record.files or ()
    for file in promised:
        item = there.pop(file.path, None)
        why = "promised, and not in raw/" if item is None else _difference(file, item)
        # What grows may still come.
        if why is not None:
            raw = execution.directory / "raw" / file.path
            yield Remark(printable(raw), why, is_note=not record.is_finished)
    if record.files is not None:
        for item in there.values():
            yield Remark(printable(item.source), "not promised; it is stored", is_note=True)


def _relative(execution: BenchExecution, item: PlannedFile) -> str:
    return Path(item.source).relative_to(execution.directory / "raw").as_posix()


def _difference(file: PromisedFile, item: PlannedFile) -> str | None:
    if file.size_bytes not in (None, item.size_bytes):
        return f"promised with {file.size_bytes:,} bytes, it has {item.size_bytes:,}"
    if file.sha256 is None:
        return None
    try:
        digest = _sha256(item)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except IntegrityError:
        return "it changed while it was read"
    return None if digest == file.sha256 else "promised with another SHA-256 than it has"


def _sha256(item: PlannedFile) -> str:
    with item.open() as file:
        return hash_range(file, "sha256", 0, file.size_bytes).hex()
