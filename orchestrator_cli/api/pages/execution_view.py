"""The page of an execution: its record, the ends of its logs, its screenshots and files."""

from __future__ import annotations

import contextlib
import itertools
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode

from orchestrator_cli.api.logs.log_bytes import LogState
from orchestrator_cli.api.logs.log_service import LogService
from orchestrator_cli.api.pages.execution_list import (
    ExecutionRow,
    execution_row,
    record_with_liveness,
)
from orchestrator_cli.api.reads.read_service import ReadService
from orchestrator_cli.core.base.errors import (
    ArchivedError,
    NotFoundError,
    OrchestratorError,
    suppress_unless_fatal,
)
from orchestrator_cli.core.base.ordered_map import ordered_map
from orchestrator_cli.core.executions.content_type import content_type_of
from orchestrator_cli.core.executions.ids import parse_execution_id
from orchestrator_cli.core.executions.keys import METADATA_NAME, execution_prefix
from orchestrator_cli.core.executions.logs.ansi import ESCAPE
from orchestrator_cli.core.executions.logs.finding import LOGS_FOLDER, list_logs, log_name
from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata, Status
from orchestrator_cli.core.executions.record.repository import read_execution
from orchestrator_cli.core.live.state import read_state
from orchestrator_cli.core.retention.archive import (
    is_archived,
    is_readable,
    restore_terms,
    with_restore_status,
)
from orchestrator_cli.core.s3.bucket.reader import ObjectReader
from orchestrator_cli.core.s3.types import ObjectSummary

SCREENSHOTS_A_PAGE = 60
FILES_A_PAGE = 100
SCREENSHOTS_FOLDER = "artifacts/screenshots/"
_TAIL_BYTES = 4096
_TAIL_LINES = 8


@dataclass(frozen=True, slots=True)
class LogCard:
    """A log, its size and its last lines. `archived` says what a restore takes and costs."""

    name: str
    size_bytes: int
    tail: str
    archived: str | None = None
    state: str = "final"


@dataclass(frozen=True, slots=True)
class FileRow:
    """A stored file. `display` is how a browser shows it: `image`, `media`, `report` or "".

    `archived` says what a restore takes and costs. `readable_until` is when a restored copy ends.
    """

    path: str
    name: str
    size_bytes: int
    checksum: str | None
    display: str
    archived: str | None = None
    readable_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Folder:
    """A page of the entries of one folder.

    `crumbs` and `folders` are (name, path). `next_query` is the query of the next page.
    """

    path: str
    crumbs: list[tuple[str, str]]
    folders: list[tuple[str, str]]
    files: list[FileRow]
    next_query: str | None = None


@dataclass(frozen=True, slots=True)
class Gallery:
    """A page of screenshots."""

    shots: list[FileRow]
    is_first: bool
    next_query: str | None = None


@dataclass(frozen=True, slots=True)
class ExecutionView:
    """Everything that the page shows."""

    metadata: ExecutionMetadata
    row: ExecutionRow
    logs: list[LogCard]
    gallery: Gallery
    folder: Folder
    command: str | None
    host: str | None


@dataclass(frozen=True, slots=True)
class PageQuery:
    """Which part of an execution the page shows.

    `folder` is the open folder. Its files are listed after the path `after`, the screenshots after
    `shots_after`.
    """

    folder: str = ""
    after: str = ""
    shots_after: str = ""

    def encode(self, after: str = "", shots_after: str = "") -> str:
        """Return the query string of this page, or of the one after a file or screenshot."""
        fields = {
            "dir": self.folder,
            "after": after or self.after,
            "shots": shots_after or self.shots_after,
        }
        return urlencode({name: text for name, text in fields.items() if text})


class ExecutionViewer:
    """Reads what the page of an execution shows, in about ten requests.

    Independent requests are sent at the same time, because the storage may be far away.
    """

    def __init__(self, reads: ReadService, logs: LogService) -> None:
        self._reads = reads
        self._store = reads.store
        self._logs = logs

    def view(self, text: str, query: PageQuery) -> ExecutionView:
        """Return what the page shows. Raises NotFoundError, IntegrityError."""
        execution_id = parse_execution_id(text)
        metadata = read_execution(self._store, execution_id).metadata
        checksums = {one.path: one.checksum for one in metadata.artifacts or ()}
        run = metadata.run
        record, logs, gallery, folder = read_concurrently(
            lambda: record_with_liveness(self._store, metadata),
            lambda: [*self._log_cards(metadata), *self._live_cards(metadata)],
            lambda: self._gallery(execution_id, query, checksums),
            lambda: self._folder(execution_id, query, checksums),
        )
        return ExecutionView(
            metadata,
            execution_row(record, self._reads.now()),
            logs,
            gallery,
            folder,
            shlex.join(run.command) if run else None,
            run.host if run else None,
        )

    def _log_cards(self, metadata: ExecutionMetadata) -> list[LogCard]:
        execution_id = metadata.execution_id
        stored = list_logs(self._store, execution_id, lambda _: metadata.to_dict()).logs
        # Empty logs come last.
        found = sorted(stored.items(), key=lambda one: one[1].size_bytes == 0)
        return read_concurrently(
            *(partial(self._log_card, execution_id, name, log) for name, log in found)
        )

    def _live_cards(self, metadata: ExecutionMetadata) -> list[LogCard]:
        cards = []
        for name in live_log_names(self._store, metadata):
            with contextlib.suppress(NotFoundError):
                tail = self._logs.open(metadata.execution_id, name).read(-_TAIL_BYTES, _TAIL_BYTES)
                if tail.state is not LogState.FINAL:
                    lines = last_lines(bytes(tail.data))
                    cards.append(LogCard(name, tail.size_bytes, lines, state=tail.state))
        return cards

    def _log_card(self, execution_id: str, name: str, log: ObjectSummary) -> LogCard:
        start = max(0, log.size_bytes - _TAIL_BYTES)
        try:
            tail = self._store.get_range(log.key, start, _TAIL_BYTES) if log.size_bytes else b""
        except ArchivedError:
            stored = self._logs.stored_tail(execution_id, name)[-_TAIL_BYTES:]
            return LogCard(name, log.size_bytes, last_lines(stored), self._restore_note(log))
        return LogCard(name, log.size_bytes, last_lines(bytes(tail)))

    def _gallery(self, execution_id: str, query: PageQuery, checksums: dict[str, Any]) -> Gallery:
        prefix = execution_prefix(execution_id)
        after = prefix + query.shots_after if query.shots_after else ""
        listed = self._store.list_objects(
            prefix + SCREENSHOTS_FOLDER, after, at_once=SCREENSHOTS_A_PAGE + 1
        )
        found = list(itertools.islice(listed, SCREENSHOTS_A_PAGE + 1))
        shots = self._rows(prefix, found[:SCREENSHOTS_A_PAGE], checksums)
        has_more = len(found) > SCREENSHOTS_A_PAGE
        next_query = query.encode(shots_after=shots[-1].path) if has_more else None
        return Gallery(shots, not query.shots_after, next_query)

    def _folder(self, execution_id: str, query: PageQuery, checksums: dict[str, Any]) -> Folder:
        prefix = execution_prefix(execution_id)
        after = prefix + query.after if query.after else ""
        page = self._store.list_folder(prefix + query.folder, after, FILES_A_PAGE)
        if not page.names and query.folder:
            raise NotFoundError(f"no such folder in {execution_id}")
        files = [one for one in page.objects if one.key != prefix + METADATA_NAME]
        folders = [one.removeprefix(prefix) for one in page.prefixes]
        last = max(page.names, default="").removeprefix(prefix)
        # "0" is the character after "/": this sorts after everything in the folder.
        last = last.removesuffix("/") + "0" if last.endswith("/") else last
        return Folder(
            query.folder,
            _crumbs(query.folder),
            [(one.removeprefix(query.folder), one) for one in folders],
            self._rows(prefix, files, checksums),
            query.encode(after=last) if page.next_token else None,
        )

    def _rows(
        self, prefix: str, listed: list[ObjectSummary], checksums: dict[str, Any]
    ) -> list[FileRow]:
        files = [(one.key.removeprefix(prefix), one) for one in listed]
        return [
            FileRow(
                path,
                path.rpartition("/")[2],
                one.size_bytes,
                checksums.get(path),
                display_kind(path),
                None if is_readable(one) else self._restore_note(one),
                one.restore.expires_at if is_archived(one) and one.restore else None,
            )
            for path, one in with_restore_status(self._store, files)
        ]

    def _restore_note(self, one: ObjectSummary) -> str:
        if one.restore is not None and one.restore.ongoing:
            return "it is being restored"
        region = self._store.session.region
        return f"restoring it takes {restore_terms(region, one.storage_class, one.size_bytes)}"


def read_concurrently(*reads: Callable[[], Any]) -> list[Any]:
    """Call each function in a thread of its own, and return their results in order."""
    return list(ordered_map(lambda read: read(), reads, len(reads) or 1, len(reads) or 1))


def live_log_names(store: ObjectReader, metadata: ExecutionMetadata) -> list[str]:
    """Return the names of the live logs of a running execution, whether or not it is lost."""
    if metadata.status is not Status.RUNNING:
        return []
    found = None
    with suppress_unless_fatal(OrchestratorError):
        found = store.run(read_state(metadata.execution_id))
    names = (log_name(f"{LOGS_FOLDER}{log}") for log in (found.state.logs if found else ()))
    return [name for name in names if name]


def display_kind(path: str) -> str:
    """Return how a browser shows a file: `image`, `media`, `report`, or "" if it cannot."""
    media_type = content_type_of(path)
    if media_type.startswith("image/"):
        return "image"
    if media_type.startswith(("video/", "audio/")) or media_type == "application/pdf":
        return "media"
    return "report" if media_type.startswith("text/html") else ""


def last_lines(data: bytes, count: int = _TAIL_LINES) -> str:
    """Return the last lines of a log as text, without escape sequences and control characters."""
    lines = ESCAPE.sub(b"", data).decode("utf-8", "replace").rstrip("\r\n").split("\n")[-count:]
    shown = [line.rstrip("\r").rpartition("\r")[2][:500] for line in lines]
    return "\n".join(
        "".join(one if one.isprintable() or one == "\t" else "\ufffd" for one in line)
        for line in shown
    )


def _crumbs(folder: str) -> list[tuple[str, str]]:
    parts = folder.strip("/").split("/") if folder else []
    return [(name, "/".join(parts[: at + 1]) + "/") for at, name in enumerate(parts)]
