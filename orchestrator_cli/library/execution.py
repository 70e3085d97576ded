"""One execution: its record and its files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator_cli.core.base.errors import NotFoundError, UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.keys import artifact_key
from orchestrator_cli.core.executions.listings.executions import list_files
from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata, Result
from orchestrator_cli.core.executions.record.repository import finish_execution, read_execution
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.library.source import BucketSource

# What transfers files is imported when a file is transferred.
if TYPE_CHECKING:
    from orchestrator_cli.core.s3.types import UploadResult
    from orchestrator_cli.core.transfer.download.downloader import DownloadSummary
    from orchestrator_cli.core.transfer.upload.parts.stream_parts import BinaryStream
    from orchestrator_cli.core.transfer.upload.uploader import UploadSummary

_RESULTS = ", ".join(Result)


def utc_now() -> datetime:
    """Return the present instant."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of an execution. `path` is relative to the execution."""

    path: str
    size_bytes: int
    last_modified: datetime
    storage_class: str


@dataclass(frozen=True, slots=True)
class Link:
    """A presigned URL. It may expire before `expires_at` if `may_end_earlier` is True."""

    url: str
    expires_at: datetime
    may_end_earlier: bool


def _seconds(duration: object) -> int:
    if not isinstance(duration, timedelta):
        hint = "such as timedelta(hours=1)"
        raise UsageError(f"{printable(str(duration))!r} is not a timedelta", hint=hint)
    return int(duration.total_seconds())


class Execution:
    """One execution of a bucket, which `Bucket` makes. Safe to share between threads.

    `id` is its ULID, and `created` the record as `new_execution` stored it; None for one that
    `execution` found.
    """

    def __init__(
        self,
        store: ArtifactStore,
        execution_id: str,
        clock: Callable[[], datetime] = utc_now,
        created: ExecutionMetadata | None = None,
    ) -> None:
        self.id = execution_id
        self.created = created
        self._store = store
        self._clock = clock

    def __repr__(self) -> str:
        return f"<Execution {self.id}>"

    def metadata(self) -> ExecutionMetadata:
        """Return the record as it is now. Raises NotFoundError, IntegrityError."""
        return read_execution(self._store, self.id).metadata

    def upload(
        self,
        *paths: str | os.PathLike[str],
        include: tuple[str, ...] = (),
        exclude: tuple[str, ...] = (),
        include_hidden: bool = False,
        on_result: Callable[[UploadResult], None] = lambda result: None,
    ) -> UploadSummary:
        """Store files and directories, as `orchestrator upload` does. Repeating the call resumes.

        If a file cannot be stored, the others are; `failures` of what is returned names it, and so
        does the execution's record. Raises errors that concern all files, such as AccessError for
        missing credentials; the record then names files that were not stored.
        """
        from orchestrator_cli.core.files.path_filter import PathFilter
        from orchestrator_cli.core.transfer.engine import TransferEngine
        from orchestrator_cli.core.transfer.upload.on_record import recorder as on_record
        from orchestrator_cli.core.transfer.upload.on_record.begun_upload import begin_upload
        from orchestrator_cli.core.transfer.upload.plan import plan_upload

        roots, now = [Path(path) for path in paths], self._clock()
        selection = PathFilter(include, exclude, include_hidden)
        session = self._source().open_upload(self.id)
        begun = begin_upload(now, selection.fingerprint())
        recorder = on_record.UploadRecorder(session, tuple(map(str, roots)), begun)
        plan = plan_upload(self.id, roots, selection)
        engine = TransferEngine(self._store.connection)
        return on_record.upload_on_record(engine, recorder, plan, on_result, now)

    def upload_stream(self, stream: BinaryStream, name: str) -> UploadResult:
        """Store a binary stream of any length. It is read to its end, in bounded memory.

        `name` is a path as in a directory that is uploaded: `stdout.log` goes to `logs/`. If the
        stream cannot be stored, `error` of what is returned says why, and so does the record.
        Raises UsageError for a stream of text, and errors that would concern all files.
        """
        if not hasattr(stream, "readinto"):
            kind = type(stream).__name__
            raise UsageError(f"{kind} is not a binary stream", hint="open a file in mode 'rb'")
        from orchestrator_cli.core.transfer.engine import TransferEngine
        from orchestrator_cli.core.transfer.upload.on_record import recorder as on_record
        from orchestrator_cli.core.transfer.upload.on_record.begun_upload import begin_upload
        from orchestrator_cli.core.transfer.upload.plan import plan_stream

        item, now = plan_stream(self.id, name), self._clock()
        session = self._source().open_upload(self.id)
        recorder = on_record.UploadRecorder(session, (item.path,), begin_upload(now))
        engine, opened = TransferEngine(self._store.connection), contextlib.nullcontext(stream)
        return on_record.upload_stream_on_record(engine, recorder, item, opened, now)

    def finish(self, result: str, *, tree_is_stored: bool = False) -> ExecutionMetadata:
        """Record how the test ended, `pass`, `fail` or `error`, and return the record.

        Repeating it changes nothing. Raises ConflictError if another result is recorded, UsageError
        for an unknown result. An on-prem execution stays pending until its EFS tree is stored,
        unless `tree_is_stored` says that it is.
        """
        if result not in list(Result):
            raise UsageError(f"not a result: {printable(result)!r}", hint=f"one of {_RESULTS}")
        return finish_execution(
            self._store, self.id, Result(result), self._clock(), tree_is_stored=tree_is_stored
        )

    def files(self) -> Iterator[StoredFile]:
        """Yield the stored files in the order of their paths' bytes."""
        for path, listed in list_files(self._store, self.id):
            yield StoredFile(path, listed.size_bytes, listed.last_modified, listed.storage_class)

    def read(self, path: str) -> Iterator[bytes]:
        """Yield a file's bytes in blocks, and compare them with its checksum at the end.

        Raises NotFoundError, ArchivedError, and, after the last block, IntegrityError if the bytes
        are not those that were stored.
        """
        from orchestrator_cli.core.transfer.download.range_reader import iter_object_verified

        head = self._store.head_for_compare(artifact_key(self.id, path))
        if head is None:
            raise NotFoundError(f"no such file in {self.id}: {path}")
        for block in iter_object_verified(self._store, head):
            yield bytes(block)

    def download(
        self, directory: str | os.PathLike[str], *patterns: str, overwrite: bool = False
    ) -> DownloadSummary:
        """Download all files, or those that match a pattern, into a directory, and verify them.

        Repeating the call resumes. If a file cannot be fetched, the others are; `failures` of what
        is returned names it. A local file with other content is a conflict unless `overwrite`.
        Raises NotFoundError for a pattern that matches nothing, and errors that concern all files.
        """
        from orchestrator_cli.core.executions.listings.selection import select_files
        from orchestrator_cli.core.transfer.download.destination import DownloadDirectory
        from orchestrator_cli.core.transfer.download.downloader import Downloader
        from orchestrator_cli.core.transfer.download.listing_ahead import list_ahead
        from orchestrator_cli.core.transfer.engine import TransferEngine

        found = select_files(self._store, self.id, patterns)
        stop = self._store.retry.stop.child()
        with TransferEngine(self._store.connection) as engine:
            downloader = Downloader(
                engine,
                self._store,
                DownloadDirectory(Path(directory)),
                lambda result: None,
                overwrite,
                self._source().check_readable,
            )
            return downloader.run(list_ahead(found, lambda count, size_bytes: None, stop))

    def presign(self, path: str, expires_in: timedelta) -> Link:
        """Return a URL that reads a file without credentials until it expires.

        It expires with the credentials that sign it, if these end earlier. No request is sent, so
        the file may not exist. Raises UsageError for what is not a timedelta.
        """
        seconds = _seconds(expires_in)
        key = artifact_key(self.id, path)
        links = self._source().links(seconds, inline=False)
        expiry = links.expiry([key])
        return Link(links.url(key), expiry.expires_at, not expiry.certain)

    def _source(self) -> BucketSource:
        return BucketSource(self._store, self._clock())
