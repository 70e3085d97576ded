"""Upload planned files: small ones in one PutObject, large ones by parts, each create-only."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from orchestrator_cli.core.base.errors import (
    ConflictError,
    IntegrityError,
    OrchestratorError,
    PartialFailureError,
    forget_frames,
)
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.s3.operations.request import Operation
from orchestrator_cli.core.s3.part_plan import BASE_PART_BYTES
from orchestrator_cli.core.s3.types import Checksum, PutOutcome, UploadResult
from orchestrator_cli.core.transfer.engine import TransferEngine
from orchestrator_cli.core.transfer.upload.log_indexing import LogIndexing
from orchestrator_cli.core.transfer.upload.look_ahead import LookAhead
from orchestrator_cli.core.transfer.upload.parts.multipart_session import NO_BYTES, TransferStats
from orchestrator_cli.core.transfer.upload.parts.multipart_upload import MultipartUploader
from orchestrator_cli.core.transfer.upload.parts.part_checksums import unwatched
from orchestrator_cli.core.transfer.upload.plan import PlanItem, PlannedFile, SkippedPath
from orchestrator_cli.core.transfer.upload.target import UploadTarget

# Hashing and reading so much takes longer than handing it to another thread.
_READ_IN_THREAD_BYTES = 1024 * 1024


@dataclass
class UploadSummary:
    """Totals of a run. `failures` holds every result that is not stored; sizes in bytes.

    In a preview, they are those that an upload would have.
    """

    is_preview: bool = False
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
        could = "would not be" if self.is_preview else "could not be"
        which = "the file" if total == 1 else f"{len(self.failures):,} of {total:,} files"
        line = f"{which} {could} stored"
        kinds = {type(result.error) for result in self.failures}
        first = self.failures[0].error
        telling = isinstance(first, ConflictError | IntegrityError)
        whole = type(first) is not OrchestratorError and not self.stored
        if first is not None and len(kinds) == 1 and (telling or whole):
            return type(first)(line, hint=first.hint, retryable=first.retryable)
        hint = "see to that, then run the same command again: it sends what is missing"
        return PartialFailureError(line, hint=hint, retryable=True)


class UploadHooks(NamedTuple):
    """What the caller of an upload is told and asked while it goes on.

    `on_result` is given each result, from one thread, in the order they end. `is_fatal` tells which
    error of one file ends the whole upload. `before_storing` is called in other threads, and has
    returned before any file is stored that S3 is not known to have.
    """

    on_result: Callable[[UploadResult], object] = lambda result: None
    is_fatal: Callable[[OrchestratorError], bool] = lambda error: error.is_fatal
    before_storing: Callable[[], None] | None = None


class Uploader:
    """Uploads a plan."""

    def __init__(
        self,
        engine: TransferEngine,
        target: UploadTarget,
        hooks: UploadHooks,
        etag_of: Callable[[str], str] | None = None,
        ahead: LookAhead | None = None,
    ) -> None:
        """`etag_of` tells what a listing has shown of a key: its ETag, or nothing.

        `ahead` is what was looked up of the first files.
        """
        self._engine = engine
        self._target = target
        self._hooks = hooks
        self._etag_of = etag_of
        self._ahead = ahead or LookAhead(engine, target)
        self._preparing: Future[None] | None = None
        # None once that was called.
        self._before_storing = hooks.before_storing

    def run(self, plan: Iterable[PlanItem]) -> UploadSummary:
        """Upload everything; a failing file is a result, not an exception.

        Raises errors that are fatal: nothing else would fare better.
        """
        summary = UploadSummary()
        items = plan if self._etag_of is not None else self._ahead.list_where_it_pays(plan)
        try:
            for result in self._engine.run(map(self._upload, items)):
                summary.add(result)
                self._hooks.on_result(result)
        except OrchestratorError as error:
            self._engine.observer.failed(error)
            raise
        return summary

    def _upload(self, item: PlanItem) -> Operation[UploadResult]:
        if isinstance(item, SkippedPath):
            return skipped(item)
        began = time.monotonic()
        indexing = LogIndexing.of_file(self._target, item)
        is_large = item.size_bytes > BASE_PART_BYTES
        try:
            if is_large:
                work = partial(self._upload_large, item, indexing)
                result: UploadResult = yield self._engine.run_file(work)
            else:
                result = yield from self._upload_small(item, indexing)
        except OrchestratorError as error:
            if self._hooks.is_fatal(error):
                raise
            result = failed(item, error)
        except OSError as error:
            result = unreadable_result(item, error)
        self._engine.observer.uploaded(result, max(0.0, time.monotonic() - began))
        if indexing is not None and result.outcome is PutOutcome.CREATED:
            if is_large:
                yield self._engine.run_file(partial(indexing.store_at_once, self._engine))
            else:
                yield from indexing.store()
        return result

    def _upload_small(
        self, item: PlannedFile, indexing: LogIndexing | None
    ) -> Operation[UploadResult]:
        self._engine.held_bytes += item.size_bytes
        try:
            etag = yield from self._seen_etag(item.key)
            if item.size_bytes < _READ_IN_THREAD_BYTES:
                data = _read_unchanged(item)
            else:
                data = yield self._engine.run_read(partial(_read_unchanged, item))
            if not etag and self._before_storing is not None:
                yield from self._prepare(self._before_storing)
            outcome, checksum = yield from self._target.put_if_absent(
                item.key, data, item.content_type, etag
            )
            if indexing is not None and outcome is PutOutcome.CREATED:
                yield self._engine.run_read(partial(indexing.add_all, data))
        finally:
            self._engine.held_bytes -= item.size_bytes
        sent = len(data) if outcome is PutOutcome.CREATED else 0
        self._engine.on_bytes(sent)
        self._engine.on_stored()
        return done(item, len(data), outcome, checksum, TransferStats(0, sent))

    def _seen_etag(self, key: str) -> Operation[str | None]:
        """Return what was seen of a key: an ETag, "" where it is free, None where nobody looked."""
        if self._etag_of is not None:
            return self._etag_of(key)
        return (yield from self._ahead.seen_etag(key))

    def _prepare(self, prepare: Callable[[], None]) -> Operation[None]:
        """Let `before_storing` do its work, once; other files are read and hashed meanwhile."""
        if self._preparing is None:
            self._preparing = self._engine.run_request(prepare)
        yield self._preparing
        self._before_storing = None

    def _upload_large(self, item: PlannedFile, indexing: LogIndexing | None) -> UploadResult:
        with item.open() as source:
            if source.size_bytes <= BASE_PART_BYTES:
                # It has become shorter since the walk.
                raise source.changed_error()
            upload = MultipartUploader(
                self._engine,
                self._target,
                source,
                item.key,
                item.content_type,
                indexing.watch if indexing else unwatched,
                self._hooks.before_storing or (lambda: None),
                self._ahead.take_large(item.key),
            )
            try:
                outcome, checksum = upload.run()
            except OrchestratorError as error:
                if self._hooks.is_fatal(error):
                    raise
                return failed(item, error, upload.session.count)
            if indexing is not None:
                indexing.log = upload.session.completed
            return done(item, source.size_bytes, outcome, checksum, upload.session.count)


def _read_unchanged(item: PlannedFile) -> bytes:
    """Return a small file's bytes. Raises SourceChangedError where it changes meanwhile."""
    with item.open() as source:
        if source.size_bytes > BASE_PART_BYTES:
            # It has grown since the walk, and its parts would need threads.
            raise source.changed_error()
        data = source.read_all_at(0, source.size_bytes)
        source.ensure_unchanged()
    return data


def skipped(item: SkippedPath) -> UploadResult:
    """Return the result for what the plan leaves out."""
    return UploadResult(item.source, None, None, 0, None, error=item.error, skip_reason=item.reason)


def done(
    item: PlannedFile,
    size_bytes: int,
    outcome: PutOutcome,
    checksum: Checksum | None,
    count: TransferStats = NO_BYTES,
) -> UploadResult:
    """Return the result for a file whose key holds something now; a conflict is an error."""
    error = None
    if outcome is PutOutcome.CONFLICT:
        error = ConflictError(
            f"{printable(item.path)}: the key holds other content; nothing was changed",
            hint="stored files are immutable: upload it under another name; uploading the stored "
            "content again clears the failure in the record",
        )
    return UploadResult(
        source=item.source,
        path=item.path,
        key=item.key,
        size_bytes=size_bytes,
        outcome=outcome,
        resumed_bytes=count.resumed_bytes,
        sent_bytes=count.sent_bytes,
        checksum=checksum,
        error=error,
    )


def failed(
    item: PlannedFile, error: OrchestratorError, count: TransferStats = NO_BYTES
) -> UploadResult:
    """Return the result for a file that could not be stored, though parts of it may have been."""
    forget_frames(error)
    return UploadResult(
        item.source,
        item.path,
        item.key,
        item.size_bytes,
        None,
        count.resumed_bytes,
        count.sent_bytes,
        error=error,
    )


def unreadable_result(item: PlannedFile, error: OSError) -> UploadResult:
    """Return the result for a file that could not be read."""
    reason = f"cannot read {printable(item.source)}: {error.strerror or error}"
    return failed(item, OrchestratorError(reason))
