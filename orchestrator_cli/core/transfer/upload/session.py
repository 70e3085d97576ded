"""One upload to one execution: where it goes, and what its record says before and after."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from orchestrator_cli.core.executions.record.status_probe import is_running_without_failures
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.connection.protocol import Connection
from orchestrator_cli.core.transfer.upload.direct_target import DirectTarget
from orchestrator_cli.core.transfer.upload.target import UploadTarget


class UploadSession(Protocol):
    """One upload to one execution."""

    @property
    def execution_id(self) -> str:
        """The execution."""
        ...

    @property
    def connection(self) -> Connection:
        """What runs the operations of the target."""
        ...

    @property
    def target(self) -> UploadTarget:
        """Where files go."""
        ...

    def failing(self, young_at: datetime | None) -> set[str]:
        """Return the paths that could not be stored before. Raises NotFoundError.

        `young_at` is the present for an execution that may be in the making, else None.
        """
        ...

    def record(self, failed: dict[str, str], mended: set[str]) -> None:
        """Note in the metadata what the upload changed."""
        ...


class DirectSession:
    """An upload with credentials of the bucket."""

    def __init__(self, store: ArtifactStore, execution_id: str) -> None:
        self.execution_id = execution_id
        self.connection: Connection = store
        self.target: UploadTarget = DirectTarget(store)
        self._store = store

    def failing(self, young_at: datetime | None) -> set[str]:
        """Return the paths that could not be stored before."""
        if is_running_without_failures(self._store, self.execution_id):
            return set()
        from orchestrator_cli.core.executions.record.repository import (
            read_execution,
            wait_for_execution,
        )

        if young_at is None:
            execution = read_execution(self._store, self.execution_id)
        else:
            execution = wait_for_execution(self._store, self.execution_id, young_at)
        return {item.path for item in execution.metadata.failures}

    def record(self, failed: dict[str, str], mended: set[str]) -> None:
        """Note in the metadata what the upload changed."""
        # Looked at again: it may have been finished meanwhile.
        if failed or mended or not is_running_without_failures(self._store, self.execution_id):
            from orchestrator_cli.core.executions.record.repository import record_upload_result

            record_upload_result(self._store, self.execution_id, failed, mended)
