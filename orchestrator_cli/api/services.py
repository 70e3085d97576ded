"""The services that the routes use, from the state of their application."""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.requests import Request

from orchestrator_cli.api.live_uploads import LiveUploads
from orchestrator_cli.api.logs.log_listeners import LogListeners
from orchestrator_cli.api.logs.log_service import LogService
from orchestrator_cli.api.metrics import ServerMetrics
from orchestrator_cli.api.readiness import Readiness
from orchestrator_cli.api.reads.read_service import ReadService
from orchestrator_cli.api.upload_service import UploadService
from orchestrator_cli.api.worker_pool import BoundedWorkerPool


@dataclass
class Services:
    """The read and upload services of a bucket, their threads, and the metrics.

    `most_wait_seconds` is how long a request may wait for more of a log. `viewers` are addresses
    that the address of a file is put behind, by the end of the file's name.
    """

    reads: ReadService
    uploads: UploadService
    workers: BoundedWorkerPool
    metrics: ServerMetrics
    most_wait_seconds: float = 20.0
    viewers: dict[str, str] = field(default_factory=dict)
    readiness: Readiness = field(init=False)
    logs: LogService = field(init=False)
    listeners: LogListeners = field(init=False)
    live_uploads: LiveUploads = field(init=False)

    def __post_init__(self) -> None:
        self.readiness = Readiness(self.reads.check_ready)
        self.logs = LogService(self.reads.store, self.reads.now)
        self.listeners = LogListeners(self.workers)
        self.live_uploads = LiveUploads(self.uploads.store, self.uploads.check)

    def close(self) -> None:
        """Drop queued work."""
        self.workers.close()
        self.readiness.close()

    @property
    def busy(self) -> bool:
        """True while threads still work, even if their requests have ended."""
        return self.workers.busy or self.readiness.busy


def services_of(request: Request) -> Services:
    """Return the services of the application that a request is for."""
    found: Services = request.app.state.services
    return found
