"""The service behind the read endpoints. It does not know HTTP."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from orchestrator_cli.api.logs.log_names import parse_log_name
from orchestrator_cli.api.reads.execution_pages import list_executions
from orchestrator_cli.api.reads.execution_query import ExecutionSelection
from orchestrator_cli.api.reads.manifest_cache import ManifestCache
from orchestrator_cli.api.reads.pagination import decode_cursor, encode_cursor
from orchestrator_cli.core.base.errors import NotFoundError, UsageError
from orchestrator_cli.core.executions.content_type import content_type_of
from orchestrator_cli.core.executions.ids import parse_execution_id
from orchestrator_cli.core.executions.keys import (
    EXECUTIONS_PREFIX,
    METADATA_NAME,
    artifact_key,
    execution_prefix,
    parse_artifact_key,
)
from orchestrator_cli.core.executions.listings.executions import no_such_execution
from orchestrator_cli.core.executions.logs.finding import LOGS_FOLDER, find_log
from orchestrator_cli.core.executions.record.repository import read_execution
from orchestrator_cli.core.executions.urls import sign_file_url
from orchestrator_cli.core.live.reading.liveness import find_liveness, with_liveness
from orchestrator_cli.core.retention.archive import (
    ArchiveInspector,
    as_listed,
    is_archived,
    with_restore_status,
)
from orchestrator_cli.core.s3.bucket.presign import UrlExpiry, effective_expiry
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.compare import SCHEDULE_METADATA, SHA256_METADATA
from orchestrator_cli.core.s3.types import ObjectMetadata, ObjectSummary
from orchestrator_cli.core.transfer.download.log_tail import read_last_lines

MAX_TAIL_BYTES = 4 * 1024 * 1024
# The most keys that are listed for one page; a pattern may match few of them.
_MAX_SCANNED_KEYS = 10_000
# The most keys that S3 returns in one listing.
_MAX_LISTED = 1000
_MAX_WINDOW_SECONDS = 300


@dataclass
class ReadService:
    """Reads executions and files of one bucket. Safe to share between threads."""

    store: ArtifactStore
    now: Callable[[], datetime]
    expires_in_seconds: int
    manifests: ManifestCache = field(init=False)

    def __post_init__(self) -> None:
        self.manifests = ManifestCache(self.store)

    # --- executions ----------------------------------------------------------------------

    def execution(self, text: str) -> dict[str, Any]:
        """Return the validated metadata of an execution, and its liveness."""
        metadata = read_execution(self.store, parse_execution_id(text)).metadata
        liveness = self.store.run(find_liveness(metadata))
        return with_liveness(metadata.to_dict(), liveness)

    def executions(self, selection: ExecutionSelection) -> dict[str, Any]:
        """Return a page of the executions of a time window that match a filter."""
        return list_executions(self.store, selection, self.now())

    # --- files ---------------------------------------------------------------------------

    def files(
        self, text: str, prefix: str, glob: str | None, limit: int, cursor: str | None
    ) -> dict[str, Any]:
        """Return a page of an execution's files, with presigned URLs."""
        execution_id = parse_execution_id(text)
        after = decode_cursor("files", cursor) if cursor else ""
        whole = execution_prefix(execution_id)
        # One more tells whether there is a next page.
        at_once = limit + 1 if glob is None and limit < _MAX_LISTED else None
        start_after = whole + after if after else ""
        listed = self.store.list_objects(whole + prefix, start_after, True, at_once)
        first = next(listed, None)
        if first is None:
            self._check_exists(execution_id, known=bool(after))
        objects = itertools.chain([first] if first else [], listed)
        page = _page(objects, glob, limit)
        expiry = self._expiry()
        types = (
            self.manifests.files(execution_id, page.record.etag if page.record else "")
            if page.chosen
            else {}
        )
        by = self.store.session.signing_key()

        def url(one: ObjectSummary) -> str | None:
            return None if is_archived(one) else sign_file_url(self.store, by, one.key, expiry)

        return {
            "execution_id": execution_id,
            "artifacts": [
                _file(path, one, types.get(path, (None, ""))[0], url(one))
                for path, one in with_restore_status(self.store, page.chosen)
            ],
            "record": _record(page.record),
            "expires_at": expiry.expires_at,
            "expiry_certain": expiry.certain,
            "next_cursor": encode_cursor("files", page.last) if page.more else None,
        }

    def file(self, text: str, path: str) -> dict[str, Any]:
        """Return one file, with what is needed to recompute its checksum. Raises NotFoundError."""
        execution_id, head = self._head(text, path)
        listed = as_listed(head)
        expiry = self._expiry()
        url = None
        if not is_archived(listed):
            url = sign_file_url(self.store, self.store.session.signing_key(), head.key, expiry)
        return _file(path, listed, str(head.checksum) if head.checksum else None, url) | {
            "execution_id": execution_id,
            "sha256": head.metadata.get(SHA256_METADATA),
            "part_schedule": head.metadata.get(SCHEDULE_METADATA),
            "expires_at": expiry.expires_at,
            "expiry_certain": expiry.certain,
        }

    def file_url(self, text: str, path: str, method: str = "GET") -> str:
        """Return a presigned GET or HEAD of one file. Raises NotFoundError, ArchivedError."""
        _, head = self._head(text, path)
        return self._url(head, path, method)

    def _head(self, text: str, path: str) -> tuple[str, ObjectMetadata]:
        execution_id = parse_execution_id(text)
        try:
            key = artifact_key(execution_id, path)
        except UsageError as error:
            # No file can be stored under such a path.
            raise NotFoundError(f"no such file in {execution_id}") from error
        try:
            return execution_id, self.store.head(key)
        except NotFoundError as error:
            self._check_exists(execution_id)
            raise NotFoundError(f"no such file in {execution_id}", code=error.code) from error

    def log_url(self, text: str, name: str, method: str = "GET") -> str:
        """Return a presigned GET or HEAD of a log, which a browser shows in place."""
        return self.file_url(text, _log_path(name), method)

    def log_tail(self, text: str, name: str, lines: int) -> bytes:
        """Return the last lines of a log, 4 MiB at most."""
        head = find_log(self.store, parse_execution_id(text), _log_path(name))
        floor_bytes = max(0, head.size_bytes - MAX_TAIL_BYTES)
        return b"".join(read_last_lines(self.store, head, lines, floor_bytes))

    def check_ready(self) -> None:
        """Raise an OrchestratorError if the bucket cannot be listed."""
        next(self.store.list_objects(EXECUTIONS_PREFIX, at_once=1), None)

    def _url(self, head: ObjectMetadata, path: str, method: str) -> str:
        ArchiveInspector(self.store, self.now()).check_readable(as_listed(head), path)
        by = self.store.session.signing_key()
        return sign_file_url(self.store, by, head.key, self._expiry(), method=method)

    def _expiry(self) -> UrlExpiry:
        """Return an expiry that counts from the last full window.

        All URLs signed within one window are the same, so responses can be cached.
        """
        now, seconds = self.now(), self.expires_in_seconds
        window = max(1, min(_MAX_WINDOW_SECONDS, seconds // 4))
        signed_at = now - timedelta(
            seconds=int(now.timestamp()) % window, microseconds=now.microsecond
        )
        return effective_expiry(seconds, self.store.session.credential_lifetime(), signed_at)

    def _check_exists(self, execution_id: str, known: bool = False) -> None:
        if known:
            return
        if next(self.store.list_objects(execution_prefix(execution_id), at_once=1), None) is None:
            raise no_such_execution(self.store, execution_id)


def _log_path(name: str) -> str:
    return f"{LOGS_FOLDER}{parse_log_name(name)}.log"


@dataclass(slots=True)
class _Page:
    """The files of a page, the last path that was listed, and whether more may follow.

    `record` is metadata.json, if the page contains it.
    """

    chosen: list[tuple[str, ObjectSummary]] = field(default_factory=list)
    last: str = ""
    more: bool = False
    record: ObjectSummary | None = None


def _file(
    path: str, listed: ObjectSummary, checksum: str | None, url: str | None
) -> dict[str, Any]:
    restore = listed.restore
    return {
        "path": path,
        "size_bytes": listed.size_bytes,
        "checksum": checksum,
        "content_type": content_type_of(path),
        "storage_class": listed.storage_class,
        "restore": restore and {"ongoing": restore.ongoing, "expires_at": restore.expires_at},
        "etag": listed.etag,
        "last_modified": listed.last_modified,
        "url": url,
    }


def _record(listed: ObjectSummary | None) -> dict[str, Any] | None:
    if listed is None:
        return None
    return {
        "size_bytes": listed.size_bytes,
        "etag": listed.etag,
        "last_modified": listed.last_modified,
    }


def _page(objects: Iterator[ObjectSummary], glob: str | None, limit: int) -> _Page:
    page = _Page()
    for number, one in enumerate(objects):
        parsed = parse_artifact_key(one.key)
        if (parsed and len(page.chosen) >= limit) or number >= _MAX_SCANNED_KEYS:
            page.more = True
            return page
        page.last = one.key.split("/", 2)[2]
        if parsed is not None and (glob is None or fnmatchcase(parsed[1], glob)):
            page.chosen.append((parsed[1], one))
        elif page.last == METADATA_NAME:
            page.record = one
    return page
