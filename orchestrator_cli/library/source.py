"""Read executions from the bucket itself, or through a server that has the credentials."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator_cli.core.base.errors import NotFoundError, OrchestratorError
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
    from orchestrator_cli.core.s3.bucket.presign import UrlExpiry

# Reads executions in the order given, and looks up the liveness where the function returns True.
ReadExecutions = Callable[
    [ArtifactStore, Iterable[str], Callable[["ExecutionMetadata"], bool]],
    Iterator["FoundExecution"],
]


class Links(Protocol):
    """Makes URLs of files that work without credentials until they expire."""

    def expiry(self, files: list[ListedFile]) -> UrlExpiry:
        """Return when the URLs of these files end."""
        ...

    def url(self, listed: ObjectSummary) -> str:
        """Return the URL of one of these files."""
        ...


class ExecutionSource(Protocol):
    """The reads that commands need. Safe to share between threads."""

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


def read_without_liveness(
    store: ArtifactStore, ids: Iterable[str], _: Callable[[ExecutionMetadata], bool]
) -> Iterator[FoundExecution]:
    """Yield executions in the order given, without looking up their liveness."""
    from orchestrator_cli.core.executions.record.repository import read_executions

    for execution_id, item in read_executions(store, ids):
        yield execution_id, item, None


class BucketSource:
    """The bucket of a store; see `ExecutionSource`."""

    def __init__(
        self,
        store: ArtifactStore,
        now: datetime,
        read: ReadExecutions = read_without_liveness,
    ) -> None:
        self.objects: ObjectReader = store
        self._read = read
        self._store = store
        self._now = now
        self._archive = ArchiveInspector(store, now)

    @property
    def console_bucket(self) -> str | None:
        """The bucket, where it is one of AWS."""
        return self._store.bucket if self._store.session.is_aws else None

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
        for _, item, liveness in self._read(self._store, [execution_id], lambda metadata: True):
            if not isinstance(item, OrchestratorError):
                return item, liveness
            raise item
        raise NotFoundError(f"no execution {execution_id} in {self.objects.location}")

    def select(
        self, window: ExecutionWindow, *, looks_up_liveness: bool
    ) -> Iterator[FoundExecution]:
        """Yield the executions that are wanted, the newest first."""

        def wants_liveness(metadata: ExecutionMetadata) -> bool:
            return looks_up_liveness and window.wanted.matches(metadata)

        for found in self._read(self._store, self._ids(window), wants_liveness):
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


class _SignedLinks:
    """Signs URLs of files."""

    def __init__(self, store: ArtifactStore, expiry: UrlExpiry, inline: bool) -> None:
        from orchestrator_cli.core.executions.urls import sign_file_url
        from orchestrator_cli.core.s3.bucket.presign import Presigner

        self._sign = sign_file_url
        self._signer = Presigner(store)
        self._key = self._signer.signing_key()
        self._expiry = expiry
        self._inline = inline

    def expiry(self, files: list[ListedFile]) -> UrlExpiry:
        """Return when the URLs end."""
        return self._expiry

    def url(self, listed: ObjectSummary) -> str:
        """Return the URL of a file."""
        return self._sign(self._signer, self._key, listed.key, self._expiry, inline=self._inline)
