"""Where `upload` stores: in the bucket itself, or through a server that has the credentials."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from orchestrator_cli.core.executions.glimpse import runs_without_failures
from orchestrator_cli.core.s3.types import UploadResult
from orchestrator_cli.core.s3.writer import ArtifactStore
from orchestrator_cli.core.transfer.engine import Transfers
from orchestrator_cli.core.transfer.uploader import Uploader

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

    def transfers(self, concurrency: int, on_bytes: OnBytes) -> Transfers:
        """Return what the engine works with."""
        ...

    def uploader(self, transfers: Transfers, on_result: OnResult) -> Uploader:
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
        if runs_without_failures(self._store, self.execution_id):
            return set()
        from orchestrator_cli.core.executions.repository import await_execution, read_execution

        if young_at is None:
            execution = read_execution(self._store, self.execution_id)
        else:
            execution = await_execution(self._store, self.execution_id, young_at)
        return {item.path for item in execution.metadata.failures}

    def transfers(self, concurrency: int, on_bytes: OnBytes) -> Transfers:
        """Return what the engine works with."""
        return Transfers(self._store, concurrency, on_bytes)

    def uploader(self, transfers: Transfers, on_result: OnResult) -> Uploader:
        """Return the engine for files."""
        return Uploader(transfers, on_result)

    def record(self, failed: dict[str, str], mended: set[str]) -> None:
        """Note in the metadata what the upload changed."""
        # Looked at again: it may have been finished meanwhile.
        if failed or mended or not runs_without_failures(self._store, self.execution_id):
            from orchestrator_cli.core.executions.repository import record_upload

            record_upload(self._store, self.execution_id, failed, mended)
