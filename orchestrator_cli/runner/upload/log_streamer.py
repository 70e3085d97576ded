"""Store the logs of a command while it writes them."""

from __future__ import annotations

import io
import math
import threading
from collections.abc import Callable
from functools import partial

from orchestrator_cli.core.base.cancellation import CancelToken
from orchestrator_cli.core.base.errors import EXPECTED_FAILURES, InterruptedByUser
from orchestrator_cli.core.base.retry import RetryPolicy
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.transfer.upload.direct_target import DirectTarget
from orchestrator_cli.core.transfer.upload.parts.arrivals import Arrivals
from orchestrator_cli.core.transfer.upload.stream import upload_stream
from orchestrator_cli.runner.spool import RUN_LOGS
from orchestrator_cli.runner.spool_log import SpooledRun
from orchestrator_cli.runner.threads import start_thread
from orchestrator_cli.runner.upload.connections import RunConnections
from orchestrator_cli.runner.upload.run_execution import RunExecution

_POLL_SECONDS = 0.1
# The command may run for weeks, and S3 may be away for as long.
_ATTEMPTS = 1_000_000
_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 30.0


class TailReader:
    """Reads a spooled log while it grows; its end is the end of the file once `ended` is set.

    Several may read the same log, each from its own place.
    """

    def __init__(self, file: io.FileIO, ended: threading.Event) -> None:
        self._file = file
        self._ended = ended

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill the buffer as far as there is data, or wait for some; 0 at the end."""
        while True:
            ended = self._ended.is_set()
            size = self._file.readinto(buffer)
            if size or ended:
                return size or 0
            self._ended.wait(_POLL_SECONDS)

    def fileno(self) -> int:
        """Return the descriptor of the file."""
        return self._file.fileno()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class LogStreamer:
    """Makes the execution and streams its logs, each in a thread, while the command runs.

    What fails is tried again until the command ends; what is left then is for `FinalUpload`.
    Whatever else reads the spool while it grows is started and ended beside this one, by
    `RunUploader`, with `TailReader`s of its own.
    """

    def __init__(
        self, run: SpooledRun, connections: RunConnections, execution: RunExecution
    ) -> None:
        self._run = run
        self._connections = connections
        self._execution = execution
        self._ended = CancelToken()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, unless this machine allows no more threads."""
        self._thread = self._start_thread(self._stream_all, "follow")

    def end(self) -> None:
        """Stop, as the logs grow no more: attempts that wait give up."""
        self._ended.set()

    def join(self) -> None:
        """Wait until it has ended."""
        if self._thread is not None:
            self._thread.join()

    def _start_thread(self, work: Callable[[], object], name: str) -> threading.Thread | None:
        thread = start_thread(work, name)
        if thread is None:
            self._run.log.write("no thread can be started: logs are stored at the end")
        return thread

    def _stream_all(self) -> None:
        if not self._retry("the execution", self._execution.create):
            return
        if self._run.spool.directory is None:
            return
        logs = [
            self._start_thread(partial(self._retry, name, self._uploads(name)), name)
            for name in RUN_LOGS
        ]
        for log in filter(None, logs):
            log.join()

    def _retry(self, what: str, work: Callable[[], None]) -> bool:
        """Do work until it succeeds, fails for good, or the command ends."""
        policy = RetryPolicy(
            attempts=_ATTEMPTS,
            first_wait_seconds=_FIRST_WAIT_SECONDS,
            longest_wait_seconds=_LONGEST_WAIT_SECONDS,
            patience_seconds=math.inf,
            stop=self._ended,
            on_retry=lambda error: self._note_failure(what, error),
        )
        try:
            policy.call(work, what)
        except InterruptedByUser:
            return False
        except EXPECTED_FAILURES as error:
            self._note_failure(what, error)
            return False
        except Exception as error:  # noqa: BLE001 - `FinalUpload` meets it again and tells
            self._run.log.write(f"{what}: unexpected {type(error).__name__}: {error}")
            return False
        self._connections.progress.advance()
        return True

    def _note_failure(self, what: str, error: Exception) -> None:
        self._connections.progress.fail(error)
        self._run.log.write(f"not stored yet: {what}: {error}")

    def _uploads(self, name: str) -> Callable[[], None]:
        arrivals = Arrivals()
        return lambda: self._upload(self._connections.store(), name, arrivals)

    def _upload(self, store: ArtifactStore, name: str, arrivals: Arrivals) -> None:
        item = self._run.planned_log(name)
        if item is None or item.file is None:
            return
        source = TailReader(item.file.open(), self._ended)
        try:
            with self._connections.stream_engine(store) as engine:
                result = upload_stream(engine, DirectTarget(store), item, source, arrivals)
        finally:
            source.close()
        # What failed is tried again, at last by `FinalUpload`, and is counted there.
        if result.stored:
            self._connections.count(result)
            self._execution.results.add(result, spooled=True)
