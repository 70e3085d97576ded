"""One upload to one execution: where it goes, and what its record says before and after."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import partial
from typing import Protocol

from orchestrator_cli.core.executions.record.status_probe import (
    RunningRecord,
    change_uploads,
    find_running,
)
from orchestrator_cli.core.executions.record.upload_mark import UploadMark, with_mark, without_marks
from orchestrator_cli.core.executions.record.waiting import retry_if_new
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.connection.connection import Connection
from orchestrator_cli.core.transfer.upload.direct_target import DirectTarget
from orchestrator_cli.core.transfer.upload.target import UploadTarget


class UploadSession(Protocol):
    """One upload to one execution."""

    @property
    def execution_id(self) -> str:
        """The id of the execution."""
        ...

    @property
    def connection(self) -> Connection:
        """The connection that runs the operations of the target."""
        ...

    @property
    def target(self) -> UploadTarget:
        """Where files go."""
        ...

    def read_state(self, wait_if_new_at: datetime | None) -> None:
        """Read which files failed before, and which uploads are unfinished. Raises NotFoundError.

        An execution whose id is only seconds old at `wait_if_new_at` is waited for.
        """
        ...

    @property
    def known_failures(self) -> Collection[str]:
        """The paths that could not be stored before, as `read_state` found them."""
        ...

    @property
    def unfinished(self) -> Sequence[UploadMark]:
        """The unfinished uploads to the execution, as `read_state` found them."""
        ...

    def begin(self, mark: UploadMark) -> None:
        """Note in the metadata that an upload begins."""
        ...

    def record(self, failed: dict[str, str], resolved: set[str], ended: set[str]) -> None:
        """Note in the metadata what the upload changed, and which uploads have ended."""
        ...

    def reopened(self) -> UploadSession:
        """Return a session that works after this one was told to stop.

        It sends no request twice: nobody waits for a second try then.
        """
        ...


class DirectSession:
    """An upload with credentials of the bucket."""

    def __init__(self, store: ArtifactStore, execution_id: str) -> None:
        self.execution_id = execution_id
        self.connection: Connection = store.connection
        self.target: UploadTarget = DirectTarget(store)
        self.known_failures: Collection[str] = ()
        self.unfinished: Sequence[UploadMark] = ()
        self._store = store
        self._running: RunningRecord | None = None

    def read_state(self, wait_if_new_at: datetime | None) -> None:
        """Read which files failed before, and which uploads are unfinished."""
        self._running = find_running(self._store, self.execution_id)
        if self._running is not None:
            self.unfinished = self._running.uploads
            return
        from orchestrator_cli.core.executions.record.repository import read_execution

        read = partial(read_execution, self._store, self.execution_id)
        wait = self._store.retry.wait
        metadata = retry_if_new(read, self.execution_id, wait_if_new_at, wait).metadata
        self.unfinished = [one.mark for one in metadata.unfinished_uploads]
        self.known_failures = {item.path for item in metadata.failures}

    def begin(self, mark: UploadMark) -> None:
        """Note in the metadata that an upload begins."""
        self._running = change_uploads(
            self._store, self.execution_id, partial(with_mark, mark=mark), self._running
        )
        if self._running is None:
            from orchestrator_cli.core.executions.record.repository import record_upload_begun

            record_upload_begun(self._store, self.execution_id, mark)

    def record(self, failed: dict[str, str], resolved: set[str], ended: set[str]) -> None:
        """Note in the metadata what the upload changed, and which uploads have ended."""
        if not (failed or resolved) and self._is_running_without(ended):
            return
        from orchestrator_cli.core.executions.record.repository import record_upload_result

        record_upload_result(self._store, self.execution_id, failed, resolved, ended=ended)

    def reopened(self) -> DirectSession:
        """Return a session that works after this one was told to stop, without retries."""
        return DirectSession(ArtifactStore(self._store.session.reopened()), self.execution_id)

    def _is_running_without(self, ended: set[str]) -> bool:
        """Remove the marks of ended uploads from the record of an execution that still runs.

        Return False where the record has to be read in full: it may have been finished meanwhile.
        """
        known, self._running = self._running, None
        without = partial(without_marks, upload_ids=ended)
        if known is not None and without(known.marks) == known.marks:
            # Nothing is to be written, so only reading tells.
            known = None
        return change_uploads(self._store, self.execution_id, without, known) is not None
