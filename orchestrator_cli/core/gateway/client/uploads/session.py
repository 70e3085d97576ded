"""An upload through a server that has the credentials."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from orchestrator_cli.core.executions.record.upload_mark import UploadMark
from orchestrator_cli.core.executions.record.waiting import retry_if_new
from orchestrator_cli.core.gateway.client.connection import GatewayConnection
from orchestrator_cli.core.gateway.client.server_request import ServerRequest, ask
from orchestrator_cli.core.gateway.client.uploads.file_offers import FileOffers
from orchestrator_cli.core.gateway.client.uploads.target import GatewayTarget
from orchestrator_cli.core.gateway.limits import MAX_ERROR_CHARACTERS
from orchestrator_cli.core.transfer.upload.target import UploadTarget


class GatewaySession:
    """An upload to one execution; see `UploadSession`."""

    def __init__(self, connection: GatewayConnection, execution_id: str) -> None:
        self.execution_id = execution_id
        self.connection = connection
        self._offers = FileOffers(connection, execution_id)
        self.target: UploadTarget = GatewayTarget(self._offers)
        self.known_failures: Collection[str] = ()
        self.unfinished: Sequence[UploadMark] = ()

    def read_state(self, wait_if_new_at: datetime | None) -> None:
        """Read which files failed before, and which uploads are unfinished."""
        wait = self.connection.retry.wait
        terms = retry_if_new(lambda: self._offers.terms, self.execution_id, wait_if_new_at, wait)
        self.unfinished = [one.mark for one in terms.unfinished_uploads or []]
        self.known_failures = {one.path for one in terms.failures}

    @property
    def _notes_begun_uploads(self) -> bool:
        # A server of an older release does not.
        return self._offers.terms.unfinished_uploads is not None

    def begin(self, mark: UploadMark) -> None:
        """Note in the metadata that an upload begins."""
        if self._notes_begun_uploads:
            self._post("begun", "record of the upload's begin", mark.to_dict())

    def record(self, failed: dict[str, str], resolved: set[str], ended: set[str]) -> None:
        """Note in the metadata what the upload changed, and which uploads have ended.

        That takes as many requests as are needed.
        """
        most = self._offers.terms.max_changes
        failures, paths = list(failed.items()), sorted(resolved)
        starts = range(0, max(len(failures), len(paths), 1), most)
        for start in starts:
            some = failures[start : start + most]
            record: dict[str, Any] = {
                "failed": {path: error[:MAX_ERROR_CHARACTERS] for path, error in some},
                "resolved": paths[start : start + most],
            }
            if self._notes_begun_uploads and start == starts[-1]:
                record["ended"] = sorted(ended)[:most]
            self._post("results", "record of the upload", record)

    def _post(self, name: str, what: str, record: dict[str, Any]) -> None:
        request = ServerRequest(f"{self._offers.address}/{name}", what, record)
        self.connection.run(ask(request, dict))

    def reopened(self) -> GatewaySession:
        """Return a session that works after this one was told to stop, without retries."""
        return GatewaySession(self.connection.reopened(), self.execution_id)
