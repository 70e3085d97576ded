"""An upload through a server that has the credentials."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import cast

from orchestrator_cli.core.base.rate_limiter import RateLimiter
from orchestrator_cli.core.executions.record.waiting import retry_if_new
from orchestrator_cli.core.gateway.client.connection import GatewayClient
from orchestrator_cli.core.gateway.client.remote_execution import RemoteExecution
from orchestrator_cli.core.gateway.client.remote_multipart import ViaTransfers
from orchestrator_cli.core.gateway.client.remote_writer import RemoteWriter
from orchestrator_cli.core.s3.types import UploadResult
from orchestrator_cli.core.transfer.engine import TransferEngine
from orchestrator_cli.core.transfer.upload.uploader import Uploader


class ViaSession:
    """An upload to one execution. `limit_rate` in bytes a second."""

    def __init__(
        self, client: GatewayClient, execution_id: str, limit_rate: int | None = None
    ) -> None:
        self.execution_id = execution_id
        self._wait = client.retry.wait
        client.rate_limit = RateLimiter(limit_rate) if limit_rate else None
        self._execution = RemoteExecution(client, execution_id)

    def failing(self, young_at: datetime | None) -> set[str]:
        """Return the paths that could not be stored before. Raises NotFoundError."""
        if young_at is None:
            return self._known_failures()
        return retry_if_new(self._known_failures, self.execution_id, young_at, self._wait)

    def _known_failures(self) -> set[str]:
        return {one.path for one in self._execution.terms.failures}

    def transfers(self, concurrency: int, on_bytes: Callable[[int], None]) -> TransferEngine:
        """Return what the engine works with."""
        return ViaTransfers(RemoteWriter(self._execution), concurrency, on_bytes)

    def uploader(
        self, transfers: TransferEngine, on_result: Callable[[UploadResult], None]
    ) -> Uploader:
        """Return the engine for files. The server looks what is stored; the engine need not."""
        put = cast("ViaTransfers", transfers).put
        return Uploader(transfers, on_result, etag_of=lambda key: "", put=put)

    def record(self, failed: dict[str, str], mended: set[str]) -> None:
        """Note in the metadata what the upload changed."""
        self._execution.record(failed, mended)
