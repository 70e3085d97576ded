"""Store a run: its logs while it runs, everything else when it has ended."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator_cli.core.base.errors import (
    ConflictError,
    InterruptedByUser,
    OrchestratorError,
    UnavailableError,
)
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.keys import artifact_key
from orchestrator_cli.core.executions.metadata import (
    ExecutionMetadata,
    Result,
    RunDetails,
    build_metadata,
)
from orchestrator_cli.core.executions.repository import (
    create_execution,
    finish_execution,
    record_upload_result,
)
from orchestrator_cli.core.files.tree import NamedFile
from orchestrator_cli.core.s3.types import UploadResult
from orchestrator_cli.core.s3.writer import ArtifactStore
from orchestrator_cli.core.transfer.engine import TransferEngine
from orchestrator_cli.core.transfer.plan import (
    PathFilter,
    PlanItem,
    PlannedFile,
    guess_content_type,
    plan_upload,
)
from orchestrator_cli.core.transfer.uploader import Uploader, upload_stream
from orchestrator_cli.runner.run_record import RunEnd, RunStart, render_results, run_details
from orchestrator_cli.runner.spool import RUN_LOGS, RunnerLog, Spool, TailReader

if TYPE_CHECKING:
    from orchestrator_cli.core.metrics.registry import MetricsRecorder

_LONGEST_WAIT_SECONDS = 30.0
_CONCURRENCY = 8
RESULTS_PATH = "artifacts/results.json"


@dataclass
class RunOutcome:
    """What became of a run's output. `stored` means that nothing is left in the spool only.

    `measured` is for whoever writes the metrics, as `MetricsSnapshot.from_list` takes it.
    """

    stored: bool = False
    summary: str = ""
    problems: list[str] = field(default_factory=list)
    exit_code: int = 0
    measured: list[Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-ready form."""
        return asdict(self)


class RunUploader:
    """Stores one run. `begin` starts with the logs; `finish`, once, ends in an outcome.

    `make_store` makes a store, patient or not; `meter` counts what is stored.
    """

    def __init__(
        self,
        spool: Spool,
        start: RunStart,
        log: RunnerLog,
        make_store: Callable[[bool], ArtifactStore],
        meter: MetricsRecorder | None = None,
    ) -> None:
        self._spool = spool
        self._start = start
        self._log = log
        self._make_store = make_store
        self._meter = meter
        self._stores: list[ArtifactStore] = []
        self._ended = threading.Event()
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._following: threading.Thread | None = None
        self._made = False
        self._down = False
        self._stored: set[str] = set()
        self.heard_from_s3 = False
        self.last_progress = time.monotonic()

    # --- while the command runs ----------------------------------------------------------

    def begin(self) -> None:
        """Make the execution and follow the logs, in threads of its own."""
        self._following = threading.Thread(target=self._follow, name="follow", daemon=True)
        self._following.start()

    def stop(self) -> None:
        """Give up: every wait ends, no further request is sent."""
        self._stopped.set()
        self._ended.set()
        with self._lock:
            for store in self._stores:
                store.retry.stop.set()

    def _store(self, patient: bool = True) -> ArtifactStore:
        store = self._make_store(patient)
        with self._lock:
            self._stores.append(store)
            if self._stopped.is_set():
                store.retry.stop.set()
        return store

    def _follow(self) -> None:
        store: list[ArtifactStore] = []

        def make() -> None:
            if not store:
                store.append(self._store())
            self._make_execution(store[0])

        if not self._until_it_works("the execution", make) or self._spool.directory is None:
            return
        followers = [
            threading.Thread(target=self._follow_log, args=(store[0], name), daemon=True)
            for name in RUN_LOGS
        ]
        for follower in followers:
            follower.start()
        for follower in followers:
            follower.join()

    def _follow_log(self, store: ArtifactStore, name: str) -> None:
        item = self._planned_log(name)

        def follow() -> None:
            source = TailReader(item.source, self._ended)
            try:
                with TransferEngine(
                    store, _CONCURRENCY, lambda size: self._progress()
                ) as transfers:
                    result = upload_stream(transfers, item, source)
            finally:
                source.close()
            if self._meter is not None and result.stored:
                # What failed is tried again, at last by `finish`, and counts there.
                self._meter.uploaded(result, None)
            self._take(result)

        self._until_it_works(item.path, follow)

    def _until_it_works(self, what: str, work: Callable[[], None]) -> bool:
        """Try again and again while the command runs; what is left at its end is for `finish`."""
        wait = 1.0
        while not self._stopped.is_set():
            try:
                work()
            except InterruptedByUser:
                return False
            except (OrchestratorError, OSError) as error:
                self._failed(what, error)
                if isinstance(error, ConflictError) or self._ended.is_set():
                    return False
            except Exception as error:  # noqa: BLE001 - `finish` meets it again and tells
                self._log.note(f"{what}: unexpected {type(error).__name__}: {error}")
                return False
            else:
                self._progress()
                return True
            self._ended.wait(wait)
            if self._ended.is_set():
                return False
            wait = min(wait * 2, _LONGEST_WAIT_SECONDS)
        return False

    def _failed(self, what: str, error: Exception) -> None:
        self._down = isinstance(error, UnavailableError)
        self._log.note(f"not stored yet: {what}: {error}")

    def _progress(self) -> None:
        self._down = False
        self.heard_from_s3 = True
        self.last_progress = time.monotonic()

    def measured(self) -> list[Any] | None:
        """Return what was counted, where something counts."""
        return self._meter.take().to_list() if self._meter is not None else None

    # --- at its end ----------------------------------------------------------------------

    def finish(self, end: RunEnd) -> RunOutcome:
        """Store what is not stored yet and finish the execution. Never raises."""
        self._ended.set()
        self.last_progress = time.monotonic()
        if self._following is not None:
            self._following.join()
        outcome = RunOutcome()
        try:
            # A storage known to be down is asked once more, not again and again.
            store = self._store(patient=not self._down)
            self._make_execution(store)
            self._finish(store, end, outcome)
        except OrchestratorError as error:
            outcome.summary, outcome.exit_code = error.message, error.exit_code
            self._log.note(f"not stored: {error.message}")
            self._mark(end, error)
        except Exception as error:  # noqa: BLE001 - the command's end must be told whatever happens
            outcome.summary, outcome.exit_code = f"unexpected {type(error).__name__}: {error}", 1
            self._log.note(f"not stored: {outcome.summary}")
        return outcome

    def _finish(self, store: ArtifactStore, end: RunEnd, outcome: RunOutcome) -> None:
        start = self._start
        own_results = False
        kept_back = False
        failed: dict[str, str] = dict(end.lost)

        def take(result: UploadResult) -> None:
            nonlocal own_results, kept_back
            own_results = own_results or result.path == RESULTS_PATH
            self._take(result)
            self._progress()
            is_log = str(result.source).startswith(f"{self._spool.directory}/")
            if result.error is None:
                return
            outcome.problems.append(f"{printable(result.source)}: {result.error.message}")
            kept_back = kept_back or is_log
            if result.outcome is None:
                failed[result.path or printable(result.source)] = result.error.message

        with self._transfers(store) as transfers:
            uploader = Uploader(transfers, take)
            uploader.run(chain(self._left_logs(), self._artifacts(outcome)))
            if self._spool.directory is not None:
                self._seal(end)
                uploader.run(iter([self._planned_log("runner.log")]))
        for path, loss in end.lost.items():
            outcome.problems.append(f"{path}: {loss}")
        if not own_results:
            self._store_results(store, end)
        record_upload_result(store, start.execution_id, failed, self._stored - failed.keys())
        metadata = self._finish_execution(store, end)
        outcome.stored = not kept_back
        outcome.exit_code = 3 if outcome.problems else 0
        outcome.summary = f"{metadata.artifact_count:,} files, {metadata.artifact_bytes:,} bytes"
        if outcome.stored:
            self._spool.remove()

    def _transfers(self, store: ArtifactStore) -> TransferEngine:
        transfers = TransferEngine(store, _CONCURRENCY * 2, lambda size: self._progress())
        if self._meter is not None:
            transfers.observer = self._meter
        return transfers

    def _finish_execution(self, store: ArtifactStore, end: RunEnd) -> ExecutionMetadata:
        details = RunDetails(**run_details(self._start, end))
        return finish_execution(
            store,
            self._start.execution_id,
            Result(end.result),
            end.ended_at,
            details,
            tree_is_stored=True,
        )

    def _mark(self, end: RunEnd, error: OrchestratorError) -> None:
        """Say in the metadata, if that can be written at all, that files are missing."""
        if not self._made or self._stopped.is_set() or isinstance(error, ConflictError):
            return
        expected = {RESULTS_PATH, *(f"logs/{name}" for name in (*RUN_LOGS, "runner.log"))}
        failed = dict.fromkeys(sorted(expected - self._stored), error.message) | end.lost
        with contextlib.suppress(OrchestratorError):
            store = self._store(patient=False)
            record_upload_result(store, self._start.execution_id, failed, set())
            self._finish_execution(store, end)

    def _make_execution(self, store: ArtifactStore) -> None:
        if self._made:
            return
        start = self._start
        metadata = build_metadata(
            execution_id=start.execution_id,
            started_at=start.started_at,
            run=RunDetails(**run_details(start, None)),
            **start.declared,
        )
        create_execution(store, metadata)
        self._made = True
        self._progress()
        self._log.note("the execution is made")

    def _take(self, result: UploadResult) -> None:
        if result.stored and result.path:
            self._stored.add(result.path)
        what = printable(result.path or result.source)
        if result.error is not None:
            self._log.note(f"failed: {what}: {result.error.message}")
        elif result.outcome is None:
            self._log.note(f"skipped: {what}: {result.note}")
        else:
            self._log.note(f"stored: {what}: {result.outcome}, {result.size_bytes:,} bytes")

    def _left_logs(self) -> Iterator[PlanItem]:
        for name in RUN_LOGS:
            item = self._planned_log(name) if self._spool.directory else None
            if item is not None and item.path not in self._stored and item.source.exists():
                yield item

    def _planned_log(self, name: str) -> PlannedFile:
        source = self._spool.log_path(name) or Path()
        path = f"logs/{name}"
        file = NamedFile(source) if source.exists() else None
        size = file.named.st_size if file else 0
        key = artifact_key(self._start.execution_id, path)
        return PlannedFile(source, path, key, size, guess_content_type(path), file)

    def _artifacts(self, outcome: RunOutcome) -> Iterator[PlanItem]:
        directory = self._start.artifacts
        if directory is None:
            return
        if not os.path.isdir(directory):
            outcome.problems.append(f"{printable(directory)}: there is no such directory")
            self._log.note(f"artifacts: there is no directory {directory}")
            return
        yield from plan_upload(self._start.execution_id, [Path(directory)], PathFilter())

    def _seal(self, end: RunEnd) -> None:
        """Write the last line of runner.log: what may be stored must not change any more."""
        if not self._log.sealed:
            self._log.note("this log ends here and is stored next; then the execution is finished")
            self._spool.write_state(self._start, end, sealed=True)
            self._log.sealed = True

    def _store_results(self, store: ArtifactStore, end: RunEnd) -> None:
        content = render_results(self._start, end, self._spool.stderr_tail())
        key = artifact_key(self._start.execution_id, RESULTS_PATH)
        # A conflict is no failure: the command stored one itself.
        outcome, _ = store.create(key, content, "application/json")
        self._log.note(f"{RESULTS_PATH}: {outcome}")
        self._stored.add(RESULTS_PATH)
