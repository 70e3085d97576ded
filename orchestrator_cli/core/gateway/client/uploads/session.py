"""An upload through a server that has the credentials."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from orchestrator_cli.core.executions.record.upload_mark import UploadMark
from orchestrator_cli.core.executions.record.waiting import retry_if_new
from orchestrator_cli.core.gateway.client.connection import GatewayConnection
from orchestrator_cli.core.gateway.client.uploads.execution_uploads import ExecutionUploads
from orchestrator_cli.core.gateway.client.uploads.target import GatewayTarget
from orchestrator_cli.core.s3.connection.connection import Connection
from orchestrator_cli.core.transfer.upload.target import UploadTarget


class GatewaySession:
    """An upload to one execution; see `UploadSession`."""

    def __init__(self, connection: GatewayConnection, execution_id: str) -> None:
        self.execution_id = execution_id
        self.connection: Connection = connection
        self._uploads = ExecutionUploads(connection, execution_id)
        self.target: UploadTarget = GatewayTarget(self._uploads)

    def known_failures(self, now: datetime | None) -> set[str]:
        """Return the paths that could not be stored before. Raises NotFoundError."""
        wait = self.connection.retry.wait
        return retry_if_new(self._read_failures, self.execution_id, now, wait)

    def _read_failures(self) -> set[str]:
        return {one.path for one in self._uploads.terms.failures}

    @property
    def unfinished(self) -> Sequence[UploadMark]:
        """The unfinished uploads to the execution, as the server has told them."""
        known = self._uploads.terms.unfinished_uploads or []
        return [one.mark for one in known]

    def begin(self, mark: UploadMark) -> None:
        """Note in the metadata that an upload begins."""
        self._uploads.begin(mark)

    def record(self, failed: dict[str, str], resolved: set[str], ended: set[str]) -> None:
        """Note in the metadata what the upload changed, and which uploads have ended."""
        self._uploads.record(failed, resolved, ended)
