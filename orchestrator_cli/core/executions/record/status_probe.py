"""What a record says, as it is: without validating it, which takes longer than to read it.

Validating a whole record costs more than storing a hundred small files. An upload to an execution
that runs and has no failures needs to know just that; everything else is read in full.
"""

from __future__ import annotations

from typing import Any

from orchestrator_cli.core.base.errors import IntegrityError, NotFoundError
from orchestrator_cli.core.base.foreign_json import parse_json
from orchestrator_cli.core.executions.keys import MAX_METADATA_READ_BYTES, metadata_key
from orchestrator_cli.core.s3.bucket.reader import ObjectReader

# What every record of this version says while its execution runs.
_RUNNING = {
    "schema_version": 1,
    "status": "running",
    "artifact_status": "pending",
    "result": None,
    "ended_at": None,
    "artifacts": None,
    "failures": [],
}


def is_running_without_failures(store: ObjectReader, execution_id: str) -> bool:
    """Return True if it certainly is so. False where it is not, or where a full look must tell."""
    try:
        content = store.get(metadata_key(execution_id), MAX_METADATA_READ_BYTES).content
        record = parse_json(content)
    except (IntegrityError, NotFoundError, ValueError):
        return False
    if not isinstance(record, dict) or record.get("execution_id") != execution_id:
        return False
    return all(name in record and record[name] == value for name, value in _RUNNING.items())


def read_raw_record(store: ObjectReader, execution_id: str) -> dict[str, Any]:
    """Return the metadata as it is, not validated. Raises NotFoundError, IntegrityError."""
    try:
        content = store.get(metadata_key(execution_id), MAX_METADATA_READ_BYTES).content
        record = parse_json(content)
    except ValueError as error:
        raise IntegrityError(f"metadata.json of {execution_id} is not JSON") from error
    return record if isinstance(record, dict) else {}


def may_be_running(store: ObjectReader, execution_id: str) -> bool:
    """Return False where the record says that the execution is finished. Raises NotFoundError."""
    try:
        content = store.get(metadata_key(execution_id), MAX_METADATA_READ_BYTES).content
        record = parse_json(content)
    except (IntegrityError, ValueError):
        return True
    return not isinstance(record, dict) or record.get("status") != "completed"
