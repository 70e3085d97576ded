"""Store what a run has left when its command has ended, and finish its execution."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from orchestrator_cli.core.base.errors import (
    EXPECTED_FAILURES,
    ConflictError,
    NotFoundError,
    OrchestratorError,
    UsageError,
)
from orchestrator_cli.core.base.quantities import format_size
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.keys import artifact_key, live_log_path
from orchestrator_cli.core.executions.placement import storage_path_for
from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata
from orchestrator_cli.core.files.path_filter import PathFilter
from orchestrator_cli.core.s3.types import UploadResult
from orchestrator_cli.core.transfer.upload.direct_target import DirectTarget
from orchestrator_cli.core.transfer.upload.plan import (
    PlanItem,
    PlannedFile,
    SkippedPath,
    plan_upload,
)
from orchestrator_cli.core.transfer.upload.uploader import Uploader, UploadHooks
from orchestrator_cli.runner.run_record import RunEnd, RunOutcome, render_results
from orchestrator_cli.runner.spool import RUNNER_LOG
from orchestrator_cli.runner.spool_log import SpooledRun
from orchestrator_cli.runner.threads import start_thread
from orchestrator_cli.runner.upload.connections import RunConnections
from orchestrator_cli.runner.upload.displaced_log import explain_conflict
from orchestrator_cli.runner.upload.run_execution import RunExecution

RESULTS_PATH = "artifacts/results.json"
# What the parts of a few requests need at once.
_SPARE_DESCRIPTORS = 16


class FinalUpload:
    """The uploads after the command's end. One file's failure is recorded and ends no other."""

    def __init__(
        self, run: SpooledRun, connections: RunConnections, execution: RunExecution
    ) -> None:
        self._run = run
        self._connections = connections
        self._execution = execution
        self._results = execution.results

    def note(self, text: str) -> None:
        """Write a line to runner.log."""
        self._run.log.write(text)

    def run(self, end: RunEnd) -> RunOutcome:
        """Store everything and finish the execution. Never raises: the outcome must be reported."""
        # It is lost whether or not S3 gets the rest.
        for path, loss in end.lost.items():
            self._results.fail(path, loss)
        try:
            self._execution.create()
            self._upload(end)
            metadata = self._execution.finish(end)
        except EXPECTED_FAILURES as error:
            return self._failed(RunOutcome.of_error(error))
        except Exception as error:  # noqa: BLE001 - the command's end must be told whatever happens
            # Libraries have names of their own for what this machine does not allow.
            reason = _find_shortage() or f"unexpected {type(error).__name__}: {error}"
            return self._failed(RunOutcome.of_failure(reason))
        results = self._results
        outcome = RunOutcome(
            summary=_summarize(metadata),
            result=metadata.result,
            exit_code=results.exit_code,
            stored=not results.left_in_spool,
            resumes=results.resumes,
            displaced=results.displaced,
        )
        if outcome.stored:
            self._run.spool.remove()
        return self._with_problems(outcome)

    def _failed(self, outcome: RunOutcome) -> RunOutcome:
        self._run.log.write(f"not stored: {outcome.summary}")
        return self._with_problems(outcome)

    def _with_problems(self, outcome: RunOutcome) -> RunOutcome:
        outcome.problems = self._results.problems
        outcome.artifacts_failed = self._results.artifacts_failed
        return outcome

    # --- the files ---------------------------------------------------------------------------

    def _upload(self, end: RunEnd) -> None:
        """Store every file. Raises the error that concerns all of them, once that is recorded."""
        try:
            self._upload_logs()
            self._upload_artifacts()
            self._upload_results(end)
            self._upload_runner_log(end)
        except OrchestratorError as error:
            self._record_missing(end, error)
            raise

    def _upload_logs(self) -> None:
        self._upload_items(self._remaining_logs(self._run.log_names), spooled=True)
        for name, path in self._run.start.followed.items():
            if self._run.planned_log(name) is None:
                stored_at = live_log_path(name) or name
                self._results.fail(stored_at, "no such file or directory", printable(path))

    def _upload_artifacts(self) -> None:
        self._upload_items(self._artifacts(), spooled=False)

    def _upload_items(self, items: Iterable[PlanItem], *, spooled: bool) -> None:
        def on_result(result: UploadResult) -> None:
            self._connections.progress.restart()
            if spooled and isinstance(result.error, ConflictError):
                result = explain_conflict(self._run, store, result)
            self._results.add(result, spooled=spooled)

        store = self._connections.store()
        with self._connections.engine(store) as engine:
            hooks = UploadHooks(on_result, self._connections.progress.concerns_all_files)
            Uploader(engine, DirectTarget(store), hooks).run(items)

    def _remaining_logs(self, names: Iterable[str]) -> Iterator[PlannedFile]:
        for name in names:
            item = self._run.planned_log(name)
            if item is not None and item.path not in self._results.stored:
                yield item

    def _artifacts(self) -> Iterator[PlanItem]:
        start = self._run.start
        for root in map(Path, start.artifacts):
            selection = PathFilter(hidden=start.include_hidden)
            for item in plan_upload(start.execution_id, [root], selection):
                if not (isinstance(item, SkippedPath) and item.source == str(root)):
                    yield item
                elif not (start.artifacts_optional and isinstance(item.error, NotFoundError)):
                    # It was asked for by its name, and is no file.
                    self._results.fail(_missing_path(root), item.reason, printable(root))

    def _upload_results(self, end: RunEnd) -> None:
        """Store results.json, unless the command has left one of its own."""
        attempted = self._results.stored | self._results.failures.keys()
        if RESULTS_PATH in attempted:
            return
        start = self._run.start
        content = render_results(start, end, self._run.spool.stderr_tail())
        key = artifact_key(start.execution_id, RESULTS_PATH)
        progress = self._connections.progress
        try:
            outcome, _ = self._connections.store().put_if_absent(key, content, "application/json")
        except OrchestratorError as error:
            if progress.concerns_all_files(error):
                raise
            self._results.fail_spooled(RESULTS_PATH, error.message)
        else:
            # A conflict is no failure: the command has stored one itself.
            progress.advance()
            self._results.stored.add(RESULTS_PATH)
            self._run.log.write(f"{RESULTS_PATH}: {outcome}")

    def _upload_runner_log(self, end: RunEnd) -> None:
        log = self._run.log
        if self._run.spool.directory is not None and not log.closed:
            # What is stored must not change any more, in this process or a later one.
            log.write("this log ends here and is stored next; then the execution is finished")
            self._run.spool.write_state(self._run.start, end, log_closed=True)
            log.closed = True
        if log.loss_message is not None:
            self._results.fail(f"logs/{RUNNER_LOG}", log.loss_message)
        self._upload_items(self._remaining_logs([RUNNER_LOG]), spooled=True)

    def _record_missing(self, end: RunEnd, error: OrchestratorError) -> None:
        """Record the files that an error of all files has left undone, if that can be written."""
        if self._connections.stopped or isinstance(error, ConflictError):
            return
        items = chain(self._remaining_logs([*self._run.log_names, RUNNER_LOG]), self._artifacts())
        known = self._results.stored | self._results.failures.keys()
        for path in [one.path for one in items if isinstance(one, PlannedFile)] + [RESULTS_PATH]:
            if path not in known:
                self._results.fail(path, error.message)
        self._connections.progress.fail(error)
        with contextlib.suppress(OrchestratorError):
            self._execution.finish(end)


def _summarize(metadata: ExecutionMetadata) -> str:
    stored = f"{metadata.artifact_count:,} files, {format_size(metadata.artifact_bytes)} stored"
    count = len(metadata.failures)
    if not count:
        return stored
    return f"{stored}, {count:,} missing or not whole ({metadata.artifact_status})"


def _find_shortage() -> str | None:
    """Return which resource this machine, or its limits for us, has too little of."""
    if start_thread(lambda: None, "probe") is None:
        return "this machine allows no more threads"
    try:
        with contextlib.ExitStack() as opened:
            for _ in range(_SPARE_DESCRIPTORS):
                opened.enter_context(open(os.devnull, "rb"))
    except OSError as error:
        return error.strerror
    return None


def _missing_path(root: Path) -> str:
    """Return where a file of this name would be stored: storing it clears the failure."""
    try:
        return storage_path_for(root.name)
    except UsageError:
        return printable(root)
