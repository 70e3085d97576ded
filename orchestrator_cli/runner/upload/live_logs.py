"""Write the logs of a run to S3 while they grow."""

from __future__ import annotations

import contextlib
import threading
from functools import partial

from orchestrator_cli.core.base.cancellation import CancelToken
from orchestrator_cli.core.base.errors import EXPECTED_FAILURES
from orchestrator_cli.core.live.schedule import LiveSchedule
from orchestrator_cli.core.live.segmented_log import SegmentedLog
from orchestrator_cli.core.live.state import LiveState
from orchestrator_cli.core.live.store import S3LiveStore
from orchestrator_cli.core.live.writer import LiveWriter
from orchestrator_cli.runner.spool_log import SpooledRun
from orchestrator_cli.runner.threads import start_thread
from orchestrator_cli.runner.upload.connections import RunConnections
from orchestrator_cli.runner.upload.run_execution import RunExecution
from orchestrator_cli.runner.upload.spool_recovery import recover_spool
from orchestrator_cli.runner.upload.spooled_source import SpooledSource

# How long the final uploads wait for the last segments, so that a reader sees these first.
_MOMENT_SECONDS = 1.0


class RunLiveLogs:
    """Writes the logs of one run as live segments, in a thread of its own.

    Nothing waits for it longer than a moment, and its errors go to runner.log.
    """

    def __init__(
        self, run: SpooledRun, connections: RunConnections, execution: RunExecution
    ) -> None:
        self._run = run
        self._connections = connections
        self._execution = execution
        self._ended = CancelToken()
        self._thread: threading.Thread | None = None

    def recover_spool(self) -> None:
        """Append to the spool the bytes that only live segments hold. Raises OSError too."""
        recover_spool(self._run, self._connections.store())

    def start(self, *, resumed: bool = False) -> None:
        """Begin, where that is asked for and this machine allows one more thread.

        `resumed`: go on with what an earlier process has begun, or do nothing.
        """
        if self._run.start.live is None or self._run.spool.directory is None:
            return
        self._thread = start_thread(partial(self._follow, resumed), "live")
        if self._thread is None:
            self._run.log.write("no thread can be started: live logs are off")

    def end(self) -> None:
        """Stop, as the logs grow no more."""
        self._ended.set()

    def join(self) -> None:
        """Wait a moment for the last segments; what takes longer is not waited for."""
        if self._thread is not None:
            self._thread.join(_MOMENT_SECONDS)

    def _follow(self, resumed: bool) -> None:
        try:
            with contextlib.ExitStack() as opened:
                self._write(opened, resumed)
        except EXPECTED_FAILURES as error:
            self._run.log.write(f"live logs are off: {error}")
        except Exception as error:  # noqa: BLE001 - the final logs are stored whatever happens
            self._run.log.write(f"live logs are off: unexpected {type(error).__name__}: {error}")

    def _write(self, opened: contextlib.ExitStack, resumed: bool) -> None:
        if not resumed and not self._execution.wait_until_created(self._ended):
            return
        store = S3LiveStore(self._connections.live_store(), self._run.start.execution_id)
        if resumed and store.read_state() is None:
            return
        self._writer(store, opened).follow(self._ended, resumed=resumed)

    def _writer(self, store: S3LiveStore, opened: contextlib.ExitStack) -> LiveWriter:
        start = self._run.start
        live = start.live or {}
        logs = []
        for name in self._run.log_names:
            source = opened.enter_context(contextlib.closing(SpooledSource(self._run, name)))
            logs.append(SegmentedLog(name, source))
        schedule = LiveSchedule(live.get("interval_seconds"))
        state = LiveState(live["writer"], start.host, start.pid)
        return LiveWriter(store, state, logs, schedule, self._run.log.write)
