"""Upload planned files: small ones in one PutObject, large ones by parts, each create-only."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial

from orchestrator_cli.core.base.errors import (
    AccessError,
    ConflictError,
    IntegrityError,
    InterruptedByUser,
    NotFoundError,
    OrchestratorError,
    PartialFailureError,
    UnavailableError,
)
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.keys import execution_prefix
from orchestrator_cli.core.s3.compare import StoredChecksum
from orchestrator_cli.core.s3.part_plan import BASE_PART_BYTES
from orchestrator_cli.core.s3.types import PutOutcome, UploadResult
from orchestrator_cli.core.transfer.engine import GROUPED_BYTES, Ended, TransferEngine
from orchestrator_cli.core.transfer.multipart_upload import MultipartUploader, TransferStats
from orchestrator_cli.core.transfer.plan import PlanItem, PlannedFile, SkippedPath
from orchestrator_cli.core.transfer.stream_parts import BinaryStream
from orchestrator_cli.core.transfer.stream_upload import StreamUpload

# From so many files on, one listing per thousand keys is cheaper than finding out file by file.
_LISTING_PAYS_FROM = 32


@dataclass
class UploadSummary:
    """Totals of a run. `failures` holds every result that is not stored; sizes in bytes."""

    created: int = 0
    identical: int = 0
    skipped: int = 0
    stored_bytes: int = 0
    sent_bytes: int = 0
    resumed_bytes: int = 0
    failures: list[UploadResult] = field(default_factory=list)

    @property
    def stored(self) -> int:
        """How many files S3 holds now."""
        return self.created + self.identical

    def add(self, result: UploadResult) -> None:
        """Count one result."""
        self.sent_bytes += result.sent_bytes
        self.resumed_bytes += result.resumed_bytes
        if not result.stored:
            self.skipped += result.error is None
            self.failures.extend([result] if result.error else [])
            return
        self.stored_bytes += result.size_bytes
        self.created += result.outcome is PutOutcome.CREATED
        self.identical += result.outcome is PutOutcome.IDENTICAL

    def error(self) -> OrchestratorError | None:
        """Return the failure of the whole run, or None."""
        if not self.failures:
            return None
        total = len(self.failures) + self.stored
        line = f"{len(self.failures):,} of {total:,} files were not stored"
        kinds = {type(result.error) for result in self.failures}
        first = self.failures[0].error
        if len(kinds) == 1 and isinstance(first, ConflictError | IntegrityError):
            return type(first)(line, hint=first.hint)
        if len(kinds) == 1 and isinstance(first, NotFoundError) and not self.stored:
            return NotFoundError(line)
        hint = "see to that, then run the same command again: it sends what is missing"
        return PartialFailureError(line, hint=hint, retryable=True)


class Uploader:
    """Uploads a plan. Results come to `on_result`, from one thread, in the order they end."""

    def __init__(
        self,
        transfers: TransferEngine,
        on_result: Callable[[UploadResult], None],
        etag_of: Callable[[str], str] | None = None,
    ) -> None:
        """Take what a listing has shown of a key, where there was one: its ETag, or nothing."""
        self._transfers = transfers
        self._store = transfers.store
        self._on_result = on_result
        self._etag_of = etag_of

    def run(self, execution_id: str, plan: Iterable[PlanItem]) -> UploadSummary:
        """Upload everything; a failing file is a result, not an exception.

        Raises AccessError, UnavailableError and InterruptedByUser: nothing else would fare better.
        """
        summary = UploadSummary()
        items = self._with_listing(execution_id, plan)
        groups = self._transfers.groups(items, _is_small)
        for result in self._transfers.finished(map(self._start, groups)):
            summary.add(result)
            self._on_result(result)
        return summary

    def _with_listing(self, execution_id: str, plan: Iterable[PlanItem]) -> Iterator[PlanItem]:
        items = iter(plan)
        if self._etag_of is not None:
            return items
        first = list(itertools.islice(items, _LISTING_PAYS_FROM))
        if len(first) == _LISTING_PAYS_FROM:
            prefix = execution_prefix(execution_id)
            stored = {one.key: one.etag for one in self._store.list_objects(prefix)}
            self._etag_of = lambda key: stored.get(key, "")
        return itertools.chain(first, items)

    def _start(self, group: list[PlanItem]) -> Future[Ended[UploadResult]]:
        work = partial(self._work, group)
        first = group[0]
        if isinstance(first, PlannedFile) and first.size_bytes > BASE_PART_BYTES:
            return self._transfers.submit_large(work)
        size_bytes = sum(item.size_bytes for item in group if isinstance(item, PlannedFile))
        return self._transfers.submit(size_bytes, work)

    def _work(self, group: list[PlanItem]) -> Ended[UploadResult]:
        return Ended.of(group, self._observed)

    def _observed(self, item: PlanItem) -> UploadResult:
        return self._transfers.observe(partial(self._store_item, item), True)

    def _store_item(self, item: PlanItem) -> UploadResult:
        if isinstance(item, SkippedPath):
            return _skipped(item)
        large = item.size_bytes > BASE_PART_BYTES
        return self._guarded(item, self._upload_large if large else self._upload_small)

    def _guarded(
        self, item: PlannedFile, work: Callable[[PlannedFile], UploadResult]
    ) -> UploadResult:
        try:
            return work(item)
        except (AccessError, UnavailableError, InterruptedByUser):
            raise
        except OrchestratorError as error:
            if error.is_fatal:
                raise
            return _failed(item, error)
        except OSError as error:
            reason = f"cannot read {printable(item.source)}: {error.strerror or error}"
            return _failed(item, OrchestratorError(reason))

    def _upload_small(self, item: PlannedFile) -> UploadResult:
        with item.open() as source:
            if source.size_bytes > BASE_PART_BYTES:
                # It has grown since the walk, and its parts need threads that this one is of.
                raise source.changed()
            data = source.read_all_at(0, source.size_bytes)
            source.check_unchanged()
        etag = None if self._etag_of is None else self._etag_of(item.key)
        outcome, checksum = self._store.create(item.key, data, item.content_type, etag)
        self._transfers.on_bytes(len(data))
        sent = len(data) if outcome is PutOutcome.CREATED else 0
        return _done(item, len(data), outcome, StoredChecksum(checksum), TransferStats(0, sent))

    def _upload_large(self, item: PlannedFile) -> UploadResult:
        with item.open() as source:
            if source.size_bytes <= BASE_PART_BYTES:
                return self._upload_small(item)
            upload = MultipartUploader(self._transfers, source, item.key, item.content_type)
            outcome, checksum = upload.run()
            stored = StoredChecksum(checksum) if checksum else None
            return _done(item, source.size_bytes, outcome, stored, upload.count)


def _is_small(item: PlanItem) -> bool:
    return isinstance(item, PlannedFile) and item.size_bytes <= GROUPED_BYTES


def _skipped(item: SkippedPath) -> UploadResult:
    return UploadResult(str(item.source), None, None, 0, None, error=item.error, note=item.reason)


def _done(
    item: PlannedFile,
    size_bytes: int,
    outcome: PutOutcome,
    stored: StoredChecksum | None,
    count: TransferStats,
) -> UploadResult:
    error = None
    if outcome is PutOutcome.CONFLICT:
        error = ConflictError(
            f"{printable(item.path)}: the key holds other content; nothing was changed",
            hint="stored files are immutable: upload it under another name",
        )
    return UploadResult(
        source=str(item.source),
        path=item.path,
        key=item.key,
        size_bytes=size_bytes,
        outcome=outcome,
        resumed_bytes=count.resumed_bytes,
        sent_bytes=count.sent_bytes,
        checksum=stored.checksum if stored else None,
        error=error,
    )


def _failed(item: PlannedFile, error: OrchestratorError) -> UploadResult:
    return UploadResult(str(item.source), item.path, item.key, item.size_bytes, None, error=error)


def upload_stream(
    transfers: TransferEngine, item: PlannedFile, stream: BinaryStream
) -> UploadResult:
    """Store a stream under the item's key; what can fail alone is in the result."""
    return transfers.observe(lambda: _upload_stream(transfers, item, stream), False)


def _upload_stream(
    transfers: TransferEngine, item: PlannedFile, stream: BinaryStream
) -> UploadResult:
    upload = StreamUpload(transfers, item.key, item.content_type)
    try:
        outcome, checksum = upload.run(stream)
    except IntegrityError as error:
        return _failed(item, error)
    stored = StoredChecksum(checksum) if checksum else None
    return _done(item, upload.size_bytes, outcome, stored, upload.count)
