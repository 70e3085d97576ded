"""Upload the files of one execution, and retry those that another try may store."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime

from orchestrator_cli.core.base.errors import ConflictError, OrchestratorError
from orchestrator_cli.core.efs.events import SyncEvent, SyncMonitor, SyncState
from orchestrator_cli.core.efs.planner import Decision, decide
from orchestrator_cli.core.efs.rules import SyncRules
from orchestrator_cli.core.efs.sync_pass import SyncPass
from orchestrator_cli.core.s3.types import PutOutcome, UploadResult
from orchestrator_cli.core.transfer.engine import TransferEngine
from orchestrator_cli.core.transfer.upload.plan import PlanItem, PlannedFile
from orchestrator_cli.core.transfer.upload.target import UploadTarget
from orchestrator_cli.core.transfer.upload.uploader import Uploader, UploadHooks


class TreeUploader:
    """Uploads the files that a pass has chosen, and reports each to the monitor."""

    def __init__(
        self,
        engine: TransferEngine,
        target: UploadTarget,
        rules: SyncRules,
        now: Callable[[], datetime],
        monitor: SyncMonitor,
    ) -> None:
        self._engine = engine
        self._target = target
        self._rules = rules
        self._now = now
        self._monitor = monitor

    def run(self, current: SyncPass, plan: Iterator[PlannedFile]) -> None:
        """Upload a plan; the files that still fail are left in `current.failed`.

        Raises errors that are fatal: nothing else would fare better.
        """
        self._upload(current, plan)
        self._retry(current)
        for result in current.failed.values():
            self._emit_result(current, result)

    def _upload(self, current: SyncPass, plan: Iterator[PlannedFile]) -> None:
        def on_result(result: UploadResult) -> None:
            item = current.planned.pop(result.source)
            current.failed.pop(result.source, None)
            if result.stored:
                current.created += result.outcome is PutOutcome.CREATED
                current.note_stored(str(result.key), result.size_bytes)
                current.note_held(str(result.path))
                self._emit_result(current, result)
            elif not _is_gone(item):
                current.failed[result.source] = result
                current.planned[result.source] = item

        def noted() -> Iterator[PlanItem]:
            for item in plan:
                current.planned[item.source] = item
                yield item

        # An object that appears after the listing is met by the create-only put all the same.
        hooks = UploadHooks(on_result)
        Uploader(self._engine, self._target, hooks, current.etag_of).run(noted())

    def _retry(self, current: SyncPass) -> None:
        """Retry the files that another try may store, after the waits of the retry policy."""
        retry = self._engine.connection.retry
        for failures in range(1, self._rules.attempts):
            again = [
                current.planned[source]
                for source, result in current.failed.items()
                if _may_pass(result.error)
            ]
            if not again or self._monitor.stopping():
                return
            retry.wait(retry.backoff_seconds(failures))
            self._upload(current, self._still_at_rest(current, again))

    def _still_at_rest(self, current: SyncPass, items: list[PlannedFile]) -> Iterator[PlannedFile]:
        """Yield files as they are now, without those that have been written to meanwhile."""
        for item in items:
            if decide(current, item, self._rules, self._now()) is not Decision.WAIT:
                yield _as_it_is_now(item)
                continue
            source = item.source
            del current.failed[source]
            self._monitor.emit(SyncEvent(source, SyncState.SETTLING, current.execution, item.path))

    def _emit_result(self, current: SyncPass, result: UploadResult) -> None:
        self._monitor.emit(
            SyncEvent(
                result.source,
                SyncState.of(result),
                current.execution,
                result.path,
                result.size_bytes,
                result.resumed_bytes,
                result.sent_bytes,
                error=result.error,
            )
        )


def _may_pass(error: OrchestratorError | None) -> bool:
    """Return True if another try may end otherwise.

    It does not while the name has other content, or until somebody has put something right.
    """
    if error is None or isinstance(error, ConflictError):
        return False
    return error.retryable or not error.needs_fix


def _is_gone(item: PlannedFile) -> bool:
    try:
        item.stat()
    except OSError as error:
        return isinstance(error, FileNotFoundError)
    return False


def _as_it_is_now(item: PlannedFile) -> PlannedFile:
    with contextlib.suppress(OSError):
        return replace(item, size_bytes=item.stat().st_size)
    return item
