"""The history: one JSON line a finished execution, which follows its record."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable

from orchestrator_cli.core.base.errors import ConflictError
from orchestrator_cli.core.executions.keys import history_key
from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata
from orchestrator_cli.core.executions.record.status_probe import SWAP_ATTEMPTS, keeps_changing
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.types import PutOutcome

HISTORY_TYPE = "application/x-ndjson"
_NOT_TOLD = ("artifacts", "unfinished_uploads", "tree_stored")


def history_line(metadata: ExecutionMetadata) -> bytes:
    """Return the history record: one JSON line, all of the metadata but what names single files."""
    record = metadata.model_copy(update={"artifacts": None}).to_dict()
    for name in _NOT_TOLD:
        del record[name]
    record["failure_count"] = len(record.pop("failures"))
    return json.dumps(record, ensure_ascii=False, sort_keys=True).encode() + b"\n"


def write_history(
    store: ArtifactStore,
    metadata: ExecutionMetadata,
    read_record: Callable[[], ExecutionMetadata],
) -> None:
    """Write the history line of a record, unless the stored one is the same already.

    `read_record` reads the record again, after the line: whoever changes the record writes the
    line afterwards, so the last one to write it has seen the last record.
    """
    key = history_key(metadata.execution_id)
    outcome, _ = store.put_if_absent(key, history_line(metadata), HISTORY_TYPE)
    if outcome is not PutOutcome.CONFLICT:
        return
    for _ in range(SWAP_ATTEMPTS):
        stored = store.get(key)
        line = history_line(read_record())
        if stored.content == line:
            return
        with contextlib.suppress(ConflictError):
            store.compare_and_swap(key, line, stored.etag, HISTORY_TYPE)
            return
        store.retry.wait_jitter()
    raise keeps_changing(f"the history line of {metadata.execution_id}")
