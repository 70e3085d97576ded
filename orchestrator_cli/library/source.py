"""Reach executions in the bucket itself, or through a server that has the credentials."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator_cli.core.base.errors import OrchestratorError
from orchestrator_cli.core.executions.ids import is_execution_id
from orchestrator_cli.core.executions.listings.executions import (
    ListedFile,
    list_all_files,
    list_execution_ids,
)
from orchestrator_cli.core.retention.archive import (
    ArchiveInspector,
    explain_archived_errors,
    with_restore_status,
)
from orchestrator_cli.core.s3.bucket.reader import ObjectReader
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.types import ObjectSummary

if TYPE_CHECKING:
    from orchestrator_cli.core.executions.filters import ExecutionWindow, FoundExecution
    from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata
    from orchestrator_cli.core.gateway.client.logs.live_logs import ServedLiveLogs
    from orchestrator_cli.core.live.reading.heartbeat import GiveUpPolicy, OnNotice
    from orchestrator_cli.core.live.reading.live_logs import BucketLiveLogs
    from orchestrator_cli.core.live.store import LiveStore
    from orchestrator_cli.core.s3.bucket.presign import UrlExpiry
    from orchestrator_cli.core.transfer.upload.on_record.session import UploadSession


class Links(Protocol):
    """Makes URLs of objects that work without credentials until they expire."""

    def expiry(self, keys: Iterable[str]) -> UrlExpiry:
        """Return when the first of the URLs of these objects ends."""
        ...

    def url(self, key: str) -> str:
        """Return the URL of one of these objects."""
        ...


class ExecutionSource(Protocol):
    """What commands ask of the executions of a bucket. Safe to share between threads."""

    @property
    def objects(self) -> ObjectReader:
        """The files of all executions."""
        ...

    @property
    def console_bucket(self) -> str | None:
        """The bucket that AWS's console shows; None where there is no console for it."""
        ...

    def resolve(self, text: str, now: datetime) -> str:
        """Return the execution id that a selector stands for: a ULID, a prefix, @latest, a URL.

        Raises NotFoundError and UsageError.
        """
        ...

    def read_record(self, execution_id: str) -> dict[str, Any]:
        """Return the metadata as it is. Raises NotFoundError."""
        ...

    def read(self, execution_id: str) -> tuple[ExecutionMetadata, str | None]:
        """Return the validated metadata and the liveness. Raises NotFoundError, IntegrityError."""
        ...

    def select(
        self, window: ExecutionWindow, *, looks_up_liveness: bool
    ) -> Iterator[FoundExecution]:
        """Yield the executions that are wanted, the newest first, and errors of unreadable ones.

        With `looks_up_liveness`, the liveness of those that are running comes along.
        """
        ...

    def list_files(self, execution_id: str) -> Iterator[ListedFile]:
        """Yield (path, object) with the state of restores. Raises NotFoundError."""
        ...

    def check_readable(self, listed: ObjectSummary, path: str) -> None:
        """Raise ArchivedError for an object that has to be restored first, as far as is known."""
        ...

    def explain_archived(self, key: str) -> AbstractContextManager[None]:
        """Turn an ArchivedError of a read into one that names class, date and what to do."""
        ...

    def links(self, expires_in_seconds: int, *, inline: bool) -> Links:
        """Return what makes URLs. Raises UsageError for what cannot be signed."""
        ...

    def live_logs(
        self, execution_id: str, give_up: GiveUpPolicy, on_notice: OnNotice
    ) -> BucketLiveLogs | ServedLiveLogs:
        """Return the logs that are still being written."""
        ...

    def live_store(self, execution_id: str) -> LiveStore:
        """Return where a log is stored while it is written."""
        ...

    def open_upload(self, execution_id: str) -> UploadSession:
        """Return an upload to an execution."""
        ...


class BucketSource:
    """The bucket of a store; see `ExecutionSource`."""

    def __init__(self, store: ArtifactStore, now: datetime) -> None:
        self.objects: ObjectReader = store
        self._store = store
        self._now = now
        self._archive = ArchiveInspector(store, now)

    @property
    def console_bucket(self) -> str | None:
        """The bucket, where it is one of AWS."""
        return self._store.bucket if self._store.session.is_aws else None

    # --- executions ----------------------------------------------------------------------

    def resolve(self, text: str, now: datetime) -> str:
        """Return the execution id that a selector stands for."""
        if is_execution_id(text.upper()):
            # The common case imports nothing more.
            return text.upper()
        from orchestrator_cli.core.executions.selector import resolve_selector

        return resolve_selector(self._store, text, now)

    def read_record(self, execution_id: str) -> dict[str, Any]:
        """Return the metadata as it is. Raises NotFoundError, IntegrityError."""
        from orchestrator_cli.core.executions.record.status_probe import read_raw_record

        return read_raw_record(self._store, execution_id)

    def read(self, execution_id: str) -> tuple[ExecutionMetadata, str | None]:
        """Return the validated metadata and the liveness."""
        from orchestrator_cli.core.live.reading.liveness import read_with_liveness

        ((_, item, liveness),) = read_with_liveness(self._store, [execution_id])
        if isinstance(item, OrchestratorError):
            raise item
        return item, liveness

    def select(
        self, window: ExecutionWindow, *, looks_up_liveness: bool
    ) -> Iterator[FoundExecution]:
        """Yield the executions that are wanted, the newest first."""
        from orchestrator_cli.core.live.reading.liveness import read_with_liveness

        def wants_liveness(metadata: ExecutionMetadata) -> bool:
            return looks_up_liveness and window.wanted.matches(metadata)

        for found in read_with_liveness(self._store, self._ids(window), wants_liveness):
            if isinstance(found[1], OrchestratorError) or window.wanted.matches(found[1]):
                yield found

    def _ids(self, window: ExecutionWindow) -> Iterator[str]:
        span = (self._store, window.since, window.until, window.now)
        if not window.limit:
            # All of them are wanted, and listed forwards they cost the fewest requests.
            return reversed(list(list_execution_ids(*span)))
        from orchestrator_cli.core.executions.listings.newest import NewestIds

        ids = iter(NewestIds(*span))
        # Nothing is read ahead that will not be shown; one that cannot be read counts too.
        return itertools.islice(ids, window.limit) if window.wanted.takes_everything else ids

    # --- files ---------------------------------------------------------------------------

    def list_files(self, execution_id: str) -> Iterator[ListedFile]:
        """Yield (path, object) with the state of restores."""
        files = list_all_files(self._store, execution_id, with_restore=True)
        return with_restore_status(self._store, files)

    def check_readable(self, listed: ObjectSummary, path: str) -> None:
        """Raise ArchivedError for an object in an archive class that is not restored now."""
        self._archive.check_readable(listed, path)

    def explain_archived(self, key: str) -> AbstractContextManager[None]:
        """Turn an ArchivedError of a read into one that names class, date and what to do."""
        return explain_archived_errors(self._store, key, self._now)

    def links(self, expires_in_seconds: int, *, inline: bool) -> Links:
        """Return what signs URLs with the credentials of this moment."""
        from orchestrator_cli.core.s3.bucket.presign import effective_expiry

        lifetime = self._store.session.credential_lifetime()
        expiry = effective_expiry(expires_in_seconds, lifetime, self._now)
        return _SignedLinks(self._store, expiry, inline)

    # --- logs and uploads ------------------------------------------------------------------

    def live_logs(
        self, execution_id: str, give_up: GiveUpPolicy, on_notice: OnNotice
    ) -> BucketLiveLogs:
        """Return the logs that are still being written, as they are in `live/`."""
        from orchestrator_cli.core.live.reading.live_logs import BucketLiveLogs

        return BucketLiveLogs(self._store, execution_id, self._now, give_up, on_notice)

    def live_store(self, execution_id: str) -> LiveStore:
        """Return where a log is stored while it is written."""
        from orchestrator_cli.core.live.store import S3LiveStore

        return S3LiveStore(self._store, execution_id)

    def open_upload(self, execution_id: str) -> UploadSession:
        """Return an upload to an execution."""
        from orchestrator_cli.core.transfer.upload.on_record.session import DirectSession

        return DirectSession(self._store, execution_id)


class _SignedLinks:
    """Signs URLs of objects."""

    def __init__(self, store: ArtifactStore, expiry: UrlExpiry, inline: bool) -> None:
        from orchestrator_cli.core.executions.urls import sign_file_url

        self._sign = sign_file_url
        self._store = store
        self._key = store.session.signing_key()
        self._expiry = expiry
        self._inline = inline

    def expiry(self, keys: Iterable[str]) -> UrlExpiry:
        """Return when the URLs end."""
        return self._expiry

    def url(self, key: str) -> str:
        """Return the URL of an object."""
        return self._sign(self._store, self._key, key, self._expiry, inline=self._inline)
