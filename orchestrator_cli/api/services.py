"""The services that the routes use. The application holds them in its state."""

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
    """The services of one bucket, the threads that they run in, and the metrics.

    `max_wait_seconds` is how long a request may wait for a log to grow. `viewers` are URLs of
    external viewers by file suffix; the URL of a file is appended to them.
    """

    reads: ReadService
    uploads: UploadService
    workers: BoundedWorkerPool
    metrics: ServerMetrics
    max_wait_seconds: float = 20.0
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
        """End the threads and drop queued work."""
        self.workers.close()
        self.readiness.close()

    @property
    def busy(self) -> bool:
        """True while a thread is working, even if its request has ended."""
        return self.workers.busy or self.readiness.busy


def services_of(request: Request) -> Services:
    """Return the services of the application that serves a request."""
    found: Services = request.app.state.services
    return found
