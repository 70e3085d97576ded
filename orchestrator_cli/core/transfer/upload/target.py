"""Where `upload` stores: in the bucket itself, or through a server that has the credentials."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from orchestrator_cli.core.executions.record.status_probe import is_running_without_failures
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.types import UploadResult
from orchestrator_cli.core.transfer.engine import TransferEngine
from orchestrator_cli.core.transfer.upload.uploader import Uploader

OnResult = Callable[[UploadResult], None]
OnBytes = Callable[[int], None]


class UploadSession(Protocol):
    """One upload to one execution."""

    execution_id: str

    def failing(self, young_at: datetime | None) -> set[str]:
        """Return the paths that could not be stored before. Raises NotFoundError.

        `young_at` is the present for an execution that may be in the making, else None.
        """
        ...

    def transfers(self, concurrency: int, on_bytes: OnBytes) -> TransferEngine:
        """Return what the engine works with."""
        ...

    def uploader(self, transfers: TransferEngine, on_result: OnResult) -> Uploader:
        """Return the engine for files."""
        ...

    def record(self, failed: dict[str, str], mended: set[str]) -> None:
        """Note in the metadata what the upload changed."""
        ...


class DirectSession:
    """An upload with credentials of the bucket."""

    def __init__(self, store: ArtifactStore, execution_id: str) -> None:
        self.execution_id = execution_id
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

    def transfers(self, concurrency: int, on_bytes: OnBytes) -> TransferEngine:
        """Return what the engine works with."""
        return TransferEngine(self._store, concurrency, on_bytes)

    def uploader(self, transfers: TransferEngine, on_result: OnResult) -> Uploader:
        """Return the engine for files."""
        return Uploader(transfers, on_result)

    def record(self, failed: dict[str, str], mended: set[str]) -> None:
        """Note in the metadata what the upload changed."""
        # Looked at again: it may have been finished meanwhile.
        if failed or mended or not is_running_without_failures(self._store, self.execution_id):
            from orchestrator_cli.core.executions.record.repository import record_upload_result

            record_upload_result(self._store, self.execution_id, failed, mended)
