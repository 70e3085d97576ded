"""Read and change a running execution's record without validating it.

Validating a whole record costs more than storing a hundred small files. An upload to an execution
that runs and has no failures needs to know just that, and to note there that it has begun and has
ended; everything else is read in full.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from orchestrator_cli.core.base.errors import ConflictError, IntegrityError, NotFoundError
from orchestrator_cli.core.base.foreign_json import parse_json
from orchestrator_cli.core.base.quantities import KIB
from orchestrator_cli.core.executions.keys import MAX_METADATA_READ_BYTES, metadata_key
from orchestrator_cli.core.executions.record.upload_mark import UploadMark
from orchestrator_cli.core.s3.bucket.reader import ObjectReader
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore

JSON_TYPE = "application/json"
# The archive rule takes what is larger, and metadata.json must never be archived.
MAX_METADATA_BYTES = 128 * KIB
SWAP_ATTEMPTS = 32
# The fields of every record of this version while its execution runs.
_RUNNING = {
    "schema_version": 1,
    "status": "running",
    "artifact_status": "pending",
    "result": None,
    "ended_at": None,
    "artifacts": None,
    "failures": [],
}
_UPLOADS = "unfinished_uploads"


class RunningRecord(NamedTuple):
    """The record of an execution that certainly runs and has no failures, and its ETag."""

    fields: dict[str, Any]
    etag: str

    @property
    def marks(self) -> list[Any]:
        """The unfinished uploads, as they are in the record."""
        return list(self.fields.get(_UPLOADS, []))

    @property
    def uploads(self) -> list[UploadMark]:
        """The unfinished uploads. Raises LookupError, TypeError, ValueError, AttributeError."""
        return list(map(UploadMark.of, self.marks))


def find_running(store: ObjectReader, execution_id: str) -> RunningRecord | None:
    """Return the record; None where it is not so, or where a full look must tell."""
    try:
        stored = store.get(metadata_key(execution_id), MAX_METADATA_READ_BYTES)
        record = parse_json(stored.content)
    except (IntegrityError, NotFoundError, ValueError):
        return None
    if not isinstance(record, dict) or record.get("execution_id") != execution_id:
        return None
    if not all(name in record and record[name] == value for name, value in _RUNNING.items()):
        return None
    running = RunningRecord(record, stored.etag)
    try:
        list(map(UploadMark.of, running.marks))
    except (LookupError, TypeError, ValueError, AttributeError):
        return None
    return running


def change_uploads(
    store: ArtifactStore,
    execution_id: str,
    change: Callable[[list[Any]], list[Any]],
    known: RunningRecord | None = None,
) -> RunningRecord | None:
    """Change the unfinished uploads of a record by compare-and-swap; return it as it is then.

    None where it must be done on the full record. `known` is the record as it was a moment ago.
    """
    for _ in range(SWAP_ATTEMPTS):
        current = known or find_running(store, execution_id)
        if current is None:
            return None
        uploads = change(current.marks)
        if uploads == current.marks:
            return current
        fields = {**current.fields, _UPLOADS: uploads}
        content = _serialise(fields)
        if content is None:
            return None
        with contextlib.suppress(ConflictError):
            key = metadata_key(execution_id)
            etag = store.compare_and_swap(key, content, current.etag, JSON_TYPE)
            return RunningRecord(fields, etag)
        # Somebody was faster, or it is our own write whose response was lost.
        known = None
        store.retry.wait_jitter()
    raise keeps_changing(f"metadata.json of {execution_id}")


def keeps_changing(what: str) -> ConflictError:
    """Return the error for an object that somebody else was always faster to swap."""
    return ConflictError(f"{what} keeps changing", hint="run the same command again")


def _serialise(fields: dict[str, Any]) -> bytes | None:
    """Return the stored form; None where validation would refuse it."""
    try:
        content = json.dumps(fields, ensure_ascii=False, indent=2).encode() + b"\n"
    except UnicodeEncodeError:
        return None
    return content if len(content) <= MAX_METADATA_BYTES else None


def read_raw_record(store: ObjectReader, execution_id: str) -> dict[str, Any]:
    """Return the metadata as it is, not validated. Raises NotFoundError, IntegrityError."""
    try:
        content = store.get(metadata_key(execution_id), MAX_METADATA_READ_BYTES).content
        record = parse_json(content)
    except ValueError as error:
        raise IntegrityError(f"metadata.json of {execution_id} is not JSON") from error
    return record if isinstance(record, dict) else {}


def is_running(record: Mapping[str, Any]) -> bool:
    """Return True if the record says that the execution is not finished."""
    return record.get("status") == _RUNNING["status"]


def may_be_running(store: ObjectReader, execution_id: str) -> bool:
    """Return False where the record says that the execution is finished. Raises NotFoundError."""
    try:
        return read_raw_record(store, execution_id).get("status") != "completed"
    except IntegrityError:
        return True
