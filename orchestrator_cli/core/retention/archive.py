"""Archived objects: whether one can be read now, and if not, how to restore it.

What only an archived object needs is imported when there is one, because every log passes here.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING

from orchestrator_cli.core.base.errors import ArchivedError, OrchestratorError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.keys import (
    METADATA_NAME,
    execution_prefix,
    parse_artifact_key,
)
from orchestrator_cli.core.executions.listings.executions import ListedFile
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.operations.object_head import parse_http_date
from orchestrator_cli.core.s3.operations.read import head_object
from orchestrator_cli.core.s3.operations.request import Operation
from orchestrator_cli.core.s3.storage_classes import ARCHIVE_CLASSES
from orchestrator_cli.core.s3.types import ObjectMetadata, ObjectSummary, RestoreState

if TYPE_CHECKING:
    from orchestrator_cli.core.retention.lifecycle.configuration import Configuration

RESTORE_DAYS = 7
_EXPIRY = r'expiry-date="([^"]+)"'


def is_archived(listed: ObjectSummary) -> bool:
    """Return True if an object lies in an archive class, restored or not."""
    return listed.storage_class in ARCHIVE_CLASSES


def is_readable(listed: ObjectSummary) -> bool:
    """Return True if an object can be read now, as far as its listing tells."""
    return not is_archived(listed) or (listed.restore is not None and not listed.restore.ongoing)


def as_listed(head: ObjectMetadata) -> ObjectSummary:
    """Return what a listing says of an object, by its head; the state of a restore included."""
    restore = _parse_restore(head.restore)
    return ObjectSummary(
        head.key, head.size_bytes, head.etag, head.last_modified, head.storage_class, restore
    )


def _parse_restore(header: str | None) -> RestoreState | None:
    """Parse `x-amz-restore` of an object's head."""
    if header is None:
        return None
    found = re.search(_EXPIRY, header)
    expires_at: datetime | None = None
    with contextlib.suppress(ValueError):
        expires_at = parse_http_date(found[1]) if found else None
    return RestoreState('ongoing-request="true"' in header, expires_at)


def list_with_restore_status(store: ArtifactStore, execution_id: str) -> Iterator[ListedFile]:
    """Yield (path, object) of an execution with the state of restores, metadata.json included."""
    return with_restore_status(store, _list(store, execution_id))


def _list(store: ArtifactStore, execution_id: str) -> Iterator[ListedFile]:
    prefix = execution_prefix(execution_id)
    for listed in store.list_objects(prefix, with_restore=True):
        parsed = parse_artifact_key(listed.key)
        if parsed is not None:
            yield parsed[1], listed
        elif listed.key == prefix + METADATA_NAME:
            yield METADATA_NAME, listed


def with_restore_status(store: ArtifactStore, files: Iterable[ListedFile]) -> Iterator[ListedFile]:
    """Yield the files with the state of restores, by a HEAD each where the listing lacks it.

    AWS lists it for every object that has one.
    """

    def unknown(file: ListedFile) -> bool:
        return is_archived(file[1]) and file[1].restore is None and not store.session.is_aws

    for asking, run in groupby(files, key=unknown):
        if asking:
            # The same files, with more told.
            run = store.map_operations(map(_ask_restore_status, run))  # noqa: PLW2901
        yield from run


def _ask_restore_status(file: ListedFile) -> Operation[ListedFile]:
    path, listed = file
    head = yield from head_object(listed.key)
    return path, listed._replace(restore=_parse_restore(head.restore))


@contextlib.contextmanager
def explain_archived_errors(store: ArtifactStore, key: str, now: datetime) -> Iterator[None]:
    """Turn an ArchivedError of a read into one that names class, date and the restore command."""
    try:
        yield
    except ArchivedError as error:
        raise ArchiveInspector(store, now).explain(key, error) from error


class ArchiveInspector:
    """Explains why archived objects cannot be read now, and what to do."""

    def __init__(self, store: ArtifactStore, now: datetime) -> None:
        self._store = store
        self._now = now
        # Downloads ask from several threads; the rules are read once.
        self._lock = threading.Lock()

    def check_readable(self, listed: ObjectSummary, path: str) -> None:
        """Raise ArchivedError for an object in an archive class that is not restored now."""
        if is_readable(listed):
            return
        state = _parse_restore(self._store.head(listed.key).restore)
        if not is_readable(listed._replace(restore=state)) and not self._is_served(listed):
            raise self._error(listed._replace(restore=state), path)

    def _is_served(self, listed: ObjectSummary) -> bool:
        """Return True if an object is read as any other, whatever its storage class is called.

        So it is on Ceph, which knows no restoring.
        """
        if self._store.session.is_aws or listed.size_bytes == 0:
            return False
        try:
            self._store.get_range(listed.key, 0, 1)
        except ArchivedError:
            return False
        return True

    def explain(self, key: str, error: ArchivedError) -> ArchivedError:
        """Return an error with class, date and what to do, else the same error."""
        parsed = parse_artifact_key(key)
        if parsed is None:
            return error
        listed = as_listed(self._store.head(key))
        return self._error(listed, parsed[1]) if is_archived(listed) else error

    def _error(self, listed: ObjectSummary, path: str) -> ArchivedError:
        import shlex

        execution_id = (parse_artifact_key(listed.key) or ("", ""))[0]
        command = shlex.join(["orchestrator", "restore", execution_id, path])
        what = f"{printable(path)} is archived in {listed.storage_class} {self._since(listed)}"
        if listed.restore is not None and listed.restore.ongoing:
            return ArchivedError(
                f"{what}; its restore is under way", hint=f"`{printable(command)} --wait` waits"
            )
        terms = restore_terms(self._store.session.region, listed.storage_class, listed.size_bytes)
        return ArchivedError(
            f"{what}; to restore it takes {terms}",
            hint=f"`{printable(command)}`; without a path it restores all that is archived",
        )

    def _since(self, listed: ObjectSummary) -> str:
        from orchestrator_cli.core.retention.lifecycle.configuration import archive_days

        with self._lock:
            rules = self._rules
        days = archive_days(rules, listed.key, listed.size_bytes, listed.storage_class)
        if days is not None:
            # S3 counts from the midnight after.
            moved = listed.last_modified.astimezone(UTC) + timedelta(days=days + 1)
            if moved <= self._now + timedelta(days=1):
                return f"since {moved:%Y-%m-%d}"
        return f"(stored {listed.last_modified.astimezone(UTC):%Y-%m-%d})"

    @cached_property
    def _rules(self) -> Configuration:
        from orchestrator_cli.core.retention.lifecycle.bucket_rules import BucketLifecycle
        from orchestrator_cli.core.retention.lifecycle.configuration import Configuration

        try:
            return BucketLifecycle(self._store).read()
        except OrchestratorError:
            # Who may read objects need not be allowed to read rules.
            return Configuration()


def restore_terms(own_region: str, storage_class: str, size_bytes: int) -> str:
    """Say how long it takes to restore an object of a storage class, and what it costs."""
    from orchestrator_cli.core.retention.prices import price_retrieval, retrieval_prices

    region, prices = retrieval_prices(own_region)
    return ", ".join(
        f"up to {prices.retrieval[storage_class, tier].within_hours} h and "
        + format_estimate(price_retrieval(prices, storage_class, tier, 1, size_bytes, RESTORE_DAYS))
        + f" ({tier})"
        for tier in ("bulk", "standard")
    ) + ("" if own_region == region else f" at the prices of {region}")


def format_estimate(dollars: float) -> str:
    """Write an estimate as “about $1.20”, or as less than a cent."""
    return f"about ${dollars:,.2f}" if dollars >= 0.01 else "less than $0.01"
