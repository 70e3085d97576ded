"""One execution: its record and its files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from orchestrator_cli.core.base.errors import NotFoundError, UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.keys import artifact_key
from orchestrator_cli.core.executions.listings.executions import list_files
from orchestrator_cli.core.executions.listings.selection import select_files
from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata, Result
from orchestrator_cli.core.executions.record.repository import finish_execution, read_execution
from orchestrator_cli.core.executions.urls import sign_file_url
from orchestrator_cli.core.files.path_filter import PathFilter
from orchestrator_cli.core.retention.archive import ArchiveInspector
from orchestrator_cli.core.s3.bucket.presign import Presigner, effective_expiry
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.types import UploadResult
from orchestrator_cli.core.transfer.download.destination import DownloadDirectory
from orchestrator_cli.core.transfer.download.downloader import Downloader, DownloadSummary
from orchestrator_cli.core.transfer.download.listing_ahead import list_ahead
from orchestrator_cli.core.transfer.download.range_reader import iter_object_verified
from orchestrator_cli.core.transfer.engine import TransferEngine
from orchestrator_cli.core.transfer.upload.on_record.begun_upload import (
    begin_upload,
    selection_text,
)
from orchestrator_cli.core.transfer.upload.on_record.recorder import (
    UploadRecorder,
    upload_on_record,
    upload_stream_on_record,
)
from orchestrator_cli.core.transfer.upload.on_record.session import DirectSession
from orchestrator_cli.core.transfer.upload.parts.stream_parts import BinaryStream
from orchestrator_cli.core.transfer.upload.plan import plan_stream, plan_upload
from orchestrator_cli.core.transfer.upload.uploader import UploadSummary

_RESULTS = ", ".join(Result)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of an execution. `path` is relative to the execution."""

    path: str
    size_bytes: int
    last_modified: datetime
    storage_class: str


@dataclass(frozen=True, slots=True)
class Link:
    """A presigned URL. It may end before `expires_at` where `may_end_earlier` is True."""

    url: str
    expires_at: datetime
    may_end_earlier: bool


class Execution:
    """One execution of a bucket, which `Bucket` makes. Safe to share between threads."""

    def __init__(self, store: ArtifactStore, execution_id: str) -> None:
        self.id = execution_id
        self._store = store

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
        """Store files and directories, as `orchestrator upload` does; repeated, it resumes.

        A file that cannot be stored is in `failures` of what is returned and in the execution's
        record; the others are stored. Raises what concerns all files, such as AccessError for
        missing credentials; that not all was tried is on record then too.
        """
        roots = [Path(path) for path in paths]
        session = DirectSession(self._store, self.id)
        names = tuple(map(str, roots))
        now = datetime.now(UTC)
        taken = selection_text(include, exclude, include_hidden=include_hidden)
        recorder = UploadRecorder(session, names, begin_upload(now, taken))
        plan = plan_upload(self.id, roots, PathFilter(include, exclude, include_hidden))
        return upload_on_record(
            TransferEngine(self._store.connection),
            recorder,
            plan,
            on_result,
            now,
        )

    def upload_stream(self, stream: BinaryStream, name: str) -> UploadResult:
        """Store a binary stream of any length, read to its end in bounded memory.

        `name` is a path as in a directory that is uploaded: `stdout.log` goes to `logs/`. A failure
        is `error` of what is returned, and on record.
        """
        item = plan_stream(self.id, name)
        session = DirectSession(self._store, self.id)
        now = datetime.now(UTC)
        recorder = UploadRecorder(session, (item.path,), begin_upload(now))
        return upload_stream_on_record(
            TransferEngine(self._store.connection),
            recorder,
            item,
            contextlib.nullcontext(stream),
            now,
        )

    def finish(self, result: str, *, tree_is_stored: bool = False) -> ExecutionMetadata:
        """Record how the test ended, `pass`, `fail` or `error`, and return the record.

        Repeating it changes nothing; another result than the recorded one is a ConflictError, an
        unknown one a UsageError. An on-prem execution stays pending until its EFS tree is
        stored, unless `tree_is_stored` says that it is.
        """
        if result not in list(Result):
            raise UsageError(f"not a result: {printable(result)!r}", hint=f"one of {_RESULTS}")
        return finish_execution(
            self._store, self.id, Result(result), datetime.now(UTC), tree_is_stored=tree_is_stored
        )

    def files(self) -> Iterator[StoredFile]:
        """Yield the stored files in the order of their paths' bytes."""
        for path, listed in list_files(self._store, self.id):
            yield StoredFile(path, listed.size_bytes, listed.last_modified, listed.storage_class)

    def read(self, path: str) -> Iterator[bytes]:
        """Yield a file's bytes in blocks, compared with its checksum at their end.

        Raises NotFoundError, ArchivedError, and IntegrityError after the last block where the bytes
        are not those that were stored.
        """
        head = self._store.head_for_compare(artifact_key(self.id, path))
        if head is None:
            raise NotFoundError(f"no such file in {self.id}: {path}")
        for block in iter_object_verified(self._store, head):
            yield bytes(block)

    def download(
        self, directory: str | os.PathLike[str], *patterns: str, overwrite: bool = False
    ) -> DownloadSummary:
        """Download files, or those that match, below a directory; verified, and resumed.

        A file that cannot be fetched is in `failures` of what is returned. A local file with other
        content is a conflict unless `overwrite`. Raises NotFoundError for a pattern that matches
        nothing, and what concerns all files.
        """
        stop = self._store.retry.stop.child()
        found = select_files(self._store, self.id, patterns)
        files = list_ahead(found, lambda count, size_bytes: None, stop)
        with TransferEngine(self._store.connection) as engine:
            downloader = Downloader(
                engine,
                self._store,
                DownloadDirectory(Path(directory)),
                lambda result: None,
                overwrite,
                ArchiveInspector(self._store, datetime.now(UTC)).check_readable,
            )
            return downloader.run(files)

    def presign(self, path: str, expires_in: timedelta) -> Link:
        """Return a URL that reads a file without credentials until it expires.

        It ends no later than the credentials that sign it. Nothing is sent: whether there is such
        a file shows when the URL is used.
        """
        lifetime = self._store.session.credential_lifetime()
        seconds = int(expires_in.total_seconds())
        expiry = effective_expiry(seconds, lifetime, datetime.now(UTC))
        signer = Presigner(self._store)
        key = artifact_key(self.id, path)
        url = sign_file_url(signer, signer.signing_key(), key, expiry, inline=False)
        return Link(url, expiry.expires_at, not expiry.certain)
