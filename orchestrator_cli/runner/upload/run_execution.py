"""The execution of a run in S3: it is made once, gets its failures, and is finished."""

from __future__ import annotations

import threading

from orchestrator_cli.core.executions.record.metadata import (
    ExecutionMetadata,
    Result,
    RunDetails,
    build_metadata,
)
from orchestrator_cli.core.executions.record.repository import (
    create_execution,
    finish_execution,
    record_upload_result,
)
from orchestrator_cli.runner.run_record import RunEnd, run_details
from orchestrator_cli.runner.spool_log import SpooledRun
from orchestrator_cli.runner.upload.connections import RunConnections
from orchestrator_cli.runner.upload.file_results import FileResults

_POLL_SECONDS = 0.1


class RunExecution:
    """The execution that one run makes, or adds to where its id was given.

    `results` are those of its files.
    """

    def __init__(self, run: SpooledRun, connections: RunConnections) -> None:
        self.results = FileResults(run.log.write)
        self._run = run
        self._connections = connections
        self._lock = threading.Lock()
        self._created = threading.Event()

    def create(self) -> None:
        """Make the execution, unless that is done. Raises ConflictError and what requests raise."""
        with self._lock:
            if not self._created.is_set():
                start = self._run.start
                metadata = build_metadata(
                    execution_id=start.execution_id,
                    started_at=start.started_at,
                    run=RunDetails(**run_details(start, None)),
                    **start.declared,
                )
                create_execution(self._connections.store(), metadata)
                self._created.set()
                self._run.log.write("the execution is made")

    def wait_until_created(self, given_up: threading.Event) -> bool:
        """Wait until it is made, or somebody gives up; return whether it is made."""
        while not self._created.wait(_POLL_SECONDS):
            if given_up.is_set():
                return False
        return True

    def finish(self, end: RunEnd) -> ExecutionMetadata:
        """Record which files are not stored, and which are by now; then manifest, end and result.

        Another result that is recorded already stays; the user is told.
        """
        store, execution_id = self._connections.store(), self._run.start.execution_id
        results = self.results
        record_upload_result(store, execution_id, results.failures, results.resolved)
        metadata = finish_execution(
            store,
            execution_id,
            Result(end.result),
            end.ended_at,
            RunDetails(**run_details(self._run.start, end)),
            tree_is_stored=True,
        )
        self._connections.progress.advance()
        if metadata.result != end.result:
            results.problems.append(
                f"the result {metadata.result} was recorded before and stays; "
                f"the run itself ended with {end.result}: {end.summary}"
            )
        return metadata
