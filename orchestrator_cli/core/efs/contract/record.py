"""`execution.json`: what a bench says of its execution, beside the files, with no S3 in reach."""

from __future__ import annotations

import io
import json
import re
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from orchestrator_cli.core.base.descriptors import write_all
from orchestrator_cli.core.base.errors import ConflictError, IntegrityError, UsageError
from orchestrator_cli.core.base.foreign_json import parse_json
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.efs.tree import RECORD_NAME, BenchExecution
from orchestrator_cli.core.executions.ids import execution_time
from orchestrator_cli.core.executions.record.metadata import (
    ExecutionMetadata,
    Result,
    RunnerType,
    Status,
    build_metadata,
)
from orchestrator_cli.core.files.new_file import create_atomically
from orchestrator_cli.core.s3.types import SHA256_HEX

# Some hundred thousand promised files; what is larger is no record.
MAX_RECORD_BYTES = 32 * 1024 * 1024
_DECLARED = ("reservation_id", "test_suite", "started_at", "ended_at", "result", "labels")


@dataclass(frozen=True, slots=True)
class PromisedFile:
    """A file that has to be in `raw/` at the end, by its path there; size and hash may be open."""

    path: str
    size_bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class BenchRecord:
    """What a bench declares, validated. `files` is None where it promises nothing."""

    declared: ExecutionMetadata
    files: tuple[PromisedFile, ...] | None = None

    @property
    def is_finished(self) -> bool:
        """Whether the bench has said how the test ended: its logs grow no more."""
        return self.declared.result is not None

    def as_running(self) -> ExecutionMetadata:
        """Return the metadata to make the execution with, before it is finished."""
        open_end = {"status": Status.RUNNING, "result": None, "ended_at": None}
        return self.declared.model_copy(update=open_end)

    def finished(
        self, result: Result, ended_at: datetime, files: tuple[PromisedFile, ...]
    ) -> BenchRecord:
        """Return the record with its end. Raises ConflictError for another result than it has."""
        if self.declared.result not in (None, result):
            raise ConflictError(
                f"execution {self.declared.execution_id} is finished with result "
                f"{self.declared.result}, not {result}; nothing was changed"
            )
        if self.is_finished:
            return self
        started_at = self.declared.started_at
        end = max(ended_at, started_at or ended_at)
        fields = {"status": Status.COMPLETED, "result": result, "ended_at": end}
        return replace(self, declared=self.declared.model_copy(update=fields), files=files)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-ready form."""
        fields = self.declared.to_dict()
        record: dict[str, Any] = {name: fields[name] for name in ("execution_id", "bench_id")}
        record |= {name: fields[name] for name in _DECLARED}
        if self.files is not None:
            record["files"] = [_as_json(file) for file in self.files]
        return record

    def to_json(self) -> bytes:
        """Return the file's bytes."""
        return json.dumps(self.to_dict(), ensure_ascii=True, indent=2).encode() + b"\n"


def metadata_from_directory(execution: BenchExecution) -> ExecutionMetadata:
    """Return what the directory of an execution says of it, where the bench says nothing."""
    return build_metadata(
        execution_id=execution.execution_id,
        runner_type=RunnerType.ONPREM,
        bench_id=execution.bench_id,
        started_at=execution_time(execution.execution_id),
    )


def _as_json(file: PromisedFile) -> dict[str, Any]:
    return {name: value for name, value in asdict(file).items() if value is not None}


def read_record(execution: BenchExecution) -> BenchRecord | None:
    """Read `execution.json`; None where there is none.

    Raises IntegrityError where that cannot be read or is not valid.
    """
    try:
        file = execution.tree.open_file((*execution.parts, RECORD_NAME))
        with io.BufferedReader(file) as reader:
            content = reader.read(MAX_RECORD_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _invalid(error.strerror or str(error)) from error
    if len(content) > MAX_RECORD_BYTES:
        raise _invalid(f"larger than {MAX_RECORD_BYTES:,} bytes")
    return parse_record(content, execution)


def write_record(execution: BenchExecution, record: BenchRecord) -> None:
    """Replace `execution.json`, in one step that survives a power cut. Raises OSError."""
    directory = execution.tree.directory(execution.parts)
    with create_atomically(directory, RECORD_NAME, replace=True) as file:
        write_all(file.fileno(), record.to_json())


def parse_record(content: bytes, execution: BenchExecution) -> BenchRecord:
    """Validate a record. Raises IntegrityError naming the first thing that is wrong."""
    try:
        record = parse_json(content)
    except ValueError as error:
        raise _invalid(f"not JSON: {error}") from error
    if not isinstance(record, dict):
        raise _invalid("not an object")
    _check_names(record, execution)
    fields = {name: record[name] for name in _DECLARED if record.get(name) is not None}
    try:
        declared = build_metadata(
            execution_id=execution.execution_id,
            runner_type=RunnerType.ONPREM,
            bench_id=execution.bench_id,
            status=Status.COMPLETED if "result" in fields else Status.RUNNING,
            **{"started_at": execution_time(execution.execution_id), **fields},
        )
    except UsageError as error:
        raise _invalid(error.message) from error
    files = record.get("files")
    return BenchRecord(declared, None if files is None else _promises(files))


def _check_names(record: dict[str, Any], execution: BenchExecution) -> None:
    """Raise IntegrityError where a record lies in another execution's or bench's directory."""
    for name in ("execution_id", "bench_id"):
        given, wanted = record.get(name), getattr(execution, name)
        if given is None or given == wanted:
            continue
        if name == "execution_id" and isinstance(given, str) and given.upper() == wanted:
            continue
        raise _invalid(f"{name} is {printable(str(given))[:64]!r}, the directory is {wanted!r}'s")


def _promises(files: Any) -> tuple[PromisedFile, ...]:
    if not isinstance(files, list):
        raise _invalid("files: not a list")
    return tuple(_promise(number, file) for number, file in enumerate(files))


def _promise(number: int, file: Any) -> PromisedFile:
    if not isinstance(file, dict) or not isinstance(file.get("path"), str) or not file["path"]:
        raise _invalid(f"files[{number}]: not an object with a path")
    size, sha256 = file.get("size_bytes"), file.get("sha256")
    if size is not None and (type(size) is not int or size < 0):
        raise _invalid(f"files[{number}]: size_bytes is not a size")
    if sha256 is not None and not (isinstance(sha256, str) and re.fullmatch(SHA256_HEX, sha256)):
        raise _invalid(f"files[{number}]: sha256 is not 64 hexadecimal digits")
    return PromisedFile(file["path"], size, sha256)


def _invalid(why: str) -> IntegrityError:
    return IntegrityError(f"{RECORD_NAME} is not valid: {printable(why)}")
