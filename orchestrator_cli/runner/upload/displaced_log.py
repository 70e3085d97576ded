"""Explain a conflict of a spooled log with a stored one, which was mostly salvaged meanwhile."""

from __future__ import annotations

from orchestrator_cli.core.base.errors import EXPECTED_FAILURES, ConflictError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.keys import artifact_key, live_log_name
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.operations.put import has_content
from orchestrator_cli.core.s3.types import UploadResult
from orchestrator_cli.runner.spool_log import SpooledRun
from orchestrator_cli.runner.upload.spooled_source import SpooledSource


def explain_conflict(run: SpooledRun, store: ArtifactStore, result: UploadResult) -> UploadResult:
    """Return the result, whose error says so if the spooled log continues the stored one."""
    path = result.path or ""
    try:
        stored_bytes = _stored_beginning(run, store, path)
    except EXPECTED_FAILURES:
        # A better message is not worth another failure.
        return result
    if stored_bytes is None:
        return result
    more = result.size_bytes - stored_bytes
    where = f"{run.start.host}:{printable(result.source)}"
    message = (
        f"the stored log ends at byte {stored_bytes:,}, as when it was salvaged, and is never "
        f"replaced; {more:,} more bytes are kept in {where}"
    )
    return result._replace(error=ConflictError(message))


def _stored_beginning(run: SpooledRun, store: ArtifactStore, path: str) -> int | None:
    """Return how long the stored log is where the spooled one begins with it."""
    key = artifact_key(run.start.execution_id, path)
    head = store.head_for_compare(key)
    source = SpooledSource(run, live_log_name(path))
    try:
        if head is None or head.size_bytes >= source.size_bytes:
            return None
        is_beginning = store.run(has_content(head, source, head.size_bytes))
    finally:
        source.close()
    return head.size_bytes if is_beginning else None
