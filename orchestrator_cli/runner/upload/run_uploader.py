"""The work of a run's uploader process, from its start to the outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from orchestrator_cli.core.base.errors import EXPECTED_FAILURES
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.runner.run_record import RunEnd, RunOutcome
from orchestrator_cli.runner.spool_log import SpooledRun
from orchestrator_cli.runner.upload.connections import RunConnections, UploadProgress
from orchestrator_cli.runner.upload.final_upload import FinalUpload
from orchestrator_cli.runner.upload.followed_files import FollowedFiles
from orchestrator_cli.runner.upload.live_logs import RunLiveLogs
from orchestrator_cli.runner.upload.log_streamer import LogStreamer
from orchestrator_cli.runner.upload.run_execution import RunExecution

if TYPE_CHECKING:
    from orchestrator_cli.core.metrics.recorder import MetricsRecorder


class RunUploader:
    """Stores one run: `begin` while the command runs, `finish` once when it has ended."""

    def __init__(
        self,
        connections: RunConnections,
        files: FollowedFiles,
        streamer: LogStreamer,
        live: RunLiveLogs,
        final_upload: FinalUpload,
    ) -> None:
        self._connections = connections
        self._files = files
        self._streamer = streamer
        self._live = live
        self._final_upload = final_upload

    @property
    def progress(self) -> UploadProgress:
        """When S3 last took something."""
        return self._connections.progress

    def begin(self) -> None:
        """Follow files and the spool in threads of their own."""
        self._files.start()
        self._streamer.start()
        self._live.start()

    def resume(self, end: RunEnd) -> RunOutcome:
        """Store the spool that an earlier process has left, in place of `begin` and `finish`."""
        try:
            self._live.recover_spool()
        except EXPECTED_FAILURES as error:
            return RunOutcome.of_error(error)
        self._live.start(resumed=True)
        return self._finish(end)

    def note(self, text: str) -> None:
        """Write a line to runner.log."""
        self._final_upload.note(text)

    def finish(self, end: RunEnd) -> RunOutcome:
        """Store the rest and finish the execution. Never raises."""
        self._files.end()
        losses = self._files.join()
        return self._finish(replace(end, lost={**end.lost, **losses}))

    def _finish(self, end: RunEnd) -> RunOutcome:
        self._live.end()
        self._live.join()
        self._streamer.end()
        self.progress.restart()
        self._streamer.join()
        outcome = self._final_upload.run(end)
        self._live.join()
        return outcome

    def stop(self) -> None:
        """Give up: every wait ends, and no further request is sent."""
        self._connections.stop()
        self._files.end()
        self._live.end()
        self._streamer.end()

    def measured(self) -> list[Any] | None:
        """Return the metrics since the last time; None where nothing is counted."""
        return self._connections.measured()


def create_run_uploader(
    run: SpooledRun,
    make_store: Callable[[bool], ArtifactStore],
    meter: MetricsRecorder | None = None,
) -> RunUploader:
    """Create the uploader of a run. `make_store` makes a store, with retries or without."""
    connections = RunConnections(make_store, UploadProgress(), meter)
    execution = RunExecution(run, connections)
    return RunUploader(
        connections,
        FollowedFiles(run),
        LogStreamer(run, connections, execution),
        RunLiveLogs(run, connections, execution),
        FinalUpload(run, connections, execution),
    )
