"""Preview an upload: compare each file with the stored one, and send nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from orchestrator_cli.core.base.errors import OrchestratorError
from orchestrator_cli.core.s3.operations.request import Operation
from orchestrator_cli.core.s3.types import PutOutcome, UploadResult
from orchestrator_cli.core.transfer.engine import TransferEngine
from orchestrator_cli.core.transfer.upload.plan import PlanItem, PlannedFile, SkippedPath
from orchestrator_cli.core.transfer.upload.target import UploadTarget
from orchestrator_cli.core.transfer.upload.uploader import (
    UploadSummary,
    done,
    failed,
    skipped,
    unreadable_result,
)

OnPreview = Callable[[UploadResult], None]


def preview_upload(
    engine: TransferEngine,
    target: UploadTarget,
    plan: Iterable[PlanItem],
    on_result: OnPreview,
) -> UploadSummary:
    """Compare every file with the stored one; return the totals that the upload would have.

    `created` is what would be. Raises errors that are fatal: the upload would not fare better.
    """
    summary = UploadSummary(is_preview=True)
    for result in engine.run(map(partial(_preview, engine, target), plan)):
        summary.add(result)
        on_result(result)
    return summary


def _preview(
    engine: TransferEngine, target: UploadTarget, item: PlanItem
) -> Operation[UploadResult]:
    if isinstance(item, SkippedPath):
        return skipped(item)
    try:
        result: UploadResult = yield engine.run_file(partial(_compare, engine, target, item))
    except OrchestratorError as error:
        if error.is_fatal:
            raise
        return failed(item, error)
    except OSError as error:
        return unreadable_result(item, error)
    return result


def _compare(engine: TransferEngine, target: UploadTarget, item: PlannedFile) -> UploadResult:
    with item.open() as source:
        size_bytes = source.size_bytes
        outcome = engine.connection.run(target.compare(item.key, source, size_bytes))
        source.ensure_unchanged()
    return done(item, size_bytes, outcome or PutOutcome.CREATED, None)
