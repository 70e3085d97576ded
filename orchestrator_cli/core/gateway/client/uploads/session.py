"""An upload through a server that has the credentials."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from orchestrator_cli.core.executions.record.upload_mark import UploadMark
from orchestrator_cli.core.executions.record.waiting import retry_if_new
from orchestrator_cli.core.gateway.client.connection import GatewayConnection
from orchestrator_cli.core.gateway.client.uploads.execution_uploads import ExecutionUploads
from orchestrator_cli.core.gateway.client.uploads.target import GatewayTarget
from orchestrator_cli.core.transfer.upload.target import UploadTarget


class GatewaySession:
    """An upload to one execution; see `UploadSession`."""

    def __init__(self, connection: GatewayConnection, execution_id: str) -> None:
        self.execution_id = execution_id
        self.connection = connection
        self._uploads = ExecutionUploads(connection, execution_id)
        self.target: UploadTarget = GatewayTarget(self._uploads)
        self.known_failures: Collection[str] = ()
        self.unfinished: Sequence[UploadMark] = ()

    def read_state(self, wait_if_new_at: datetime | None) -> None:
        """Read which files failed before, and which uploads are unfinished."""
        wait = self.connection.retry.wait
        terms = retry_if_new(lambda: self._uploads.terms, self.execution_id, wait_if_new_at, wait)
        self.unfinished = [one.mark for one in terms.unfinished_uploads or []]
        self.known_failures = {one.path for one in terms.failures}

    def begin(self, mark: UploadMark) -> None:
        """Note in the metadata that an upload begins."""
        self._uploads.begin(mark)

    def record(self, failed: dict[str, str], resolved: set[str], ended: set[str]) -> None:
        """Note in the metadata what the upload changed, and which uploads have ended."""
        self._uploads.record(failed, resolved, ended)

    def reopened(self) -> GatewaySession:
        """Return a session that works after this one was told to stop, without retries."""
        return GatewaySession(self.connection.reopened(), self.execution_id)
