"""Find files that a bench promised and that are missing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.efs.contract.record import BenchRecord, PromisedFile
from orchestrator_cli.core.efs.sync_pass import SyncPass
from orchestrator_cli.core.executions.keys import artifact_key
from orchestrator_cli.core.executions.placement import storage_path_for


def broken_promises(current: SyncPass, record: BenchRecord) -> Iterator[tuple[str, str]]:
    """Yield the local path of each promised file that is not there or not as promised, and why.

    Until the bench has said how the test ended, more may come. A file that is there and not stored
    yet breaks no promise: it is settling, or has failed and is reported as that.
    """
    if not record.is_finished:
        return
    for file in record.files or ():
        why = _broken(current, file)
        if why is not None:
            source = current.execution.directory / "raw" / file.path
            yield printable(source), why


def _broken(current: SyncPass, file: PromisedFile) -> str | None:
    try:
        key = artifact_key(current.execution.execution_id, storage_path_for(file.path))
    except UsageError as error:
        return error.message
    stored = current.stored.get(key)
    if stored is None:
        return None if _is_in_raw(current, file) else "promised by the bench, and not in raw/"
    if file.size_bytes not in (None, stored.size_bytes):
        return f"promised with {file.size_bytes:,} bytes, stored with {stored.size_bytes:,}"
    return None


def _is_in_raw(current: SyncPass, file: PromisedFile) -> bool:
    execution = current.execution
    with contextlib.suppress(OSError):
        execution.tree.stat((*execution.raw, *file.path.split("/")))
        return True
    return False
