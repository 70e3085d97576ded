"""One execution's page: its record, its logs with their last lines, its screenshots and files."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlencode

from orchestrator_cli.api.logs.log_bytes import LogState
from orchestrator_cli.api.logs.log_service import LogService
from orchestrator_cli.api.pages.execution_list import Row, judged_record, row_of
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
from orchestrator_cli.core.executions.keys import execution_prefix
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
    """A log, its size, and how it ends; `archived` says what it takes to read it."""

    name: str
    size_bytes: int
    tail: str
    archived: str | None = None
    state: str = "final"


@dataclass(frozen=True, slots=True)
class FileRow:
    """A stored file. `opens` says how a browser may show it: image, report, or not."""

    path: str
    name: str
    size_bytes: int
    checksum: str | None
    opens: str
    archived: str | None = None
    readable_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Folder:
    """One level of the tree, a page of it."""

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
    row: Row
    logs: list[LogCard]
    gallery: Gallery
    folder: Folder
    command: str | None
    host: str | None
    duration: timedelta | None = field(default=None)


@dataclass(frozen=True, slots=True)
class Place:
    """What of the execution the address asks for: a folder, and where its pages begin."""

    folder: str = ""
    after: str = ""
    shots_after: str = ""


class ExecutionViewer:
    """Reads an execution for its page, in about ten requests whatever it holds.

    What does not depend on each other is asked for at once: the storage may be far away.
    """

    def __init__(self, reads: ReadService, logs: LogService) -> None:
        self._reads = reads
        self._store = reads.store
        self._logs = logs

    def view(self, text: str, place: Place) -> ExecutionView:
        """Return what the page shows. Raises NotFoundError, IntegrityError."""
        execution_id = parse_execution_id(text)
        metadata = read_execution(self._store, execution_id).metadata
        checksums = {one.path: one.checksum for one in metadata.artifacts or ()}
        run = metadata.run
        judged, logs, gallery, folder = at_once(
            lambda: judged_record(self._store, metadata),
            lambda: [*self._log_cards(metadata), *self._live_cards(metadata)],
            lambda: self._gallery(execution_id, place, checksums),
            lambda: self._folder(execution_id, place, checksums),
        )
        row = row_of(judged, self._reads.now())
        return ExecutionView(
            metadata,
            row,
            logs,
            gallery,
            folder,
            shlex.join(run.command) if run else None,
            run.host if run else None,
            row.duration,
        )

    def _log_cards(self, metadata: ExecutionMetadata) -> list[LogCard]:
        execution_id = metadata.execution_id
        stored = list_logs(self._store, execution_id, lambda _: metadata.to_dict()).logs
        # Empty ones come last: they are in nobody's way there.
        found = sorted(stored.items(), key=lambda one: one[1].size_bytes == 0)
        return at_once(*(partial(self._log_card, execution_id, name, log) for name, log in found))

    def _live_cards(self, metadata: ExecutionMetadata) -> list[LogCard]:
        cards = []
        for name in live_log_names(self._store, metadata):
            with contextlib.suppress(NotFoundError):
                tail = self._logs.open(metadata.execution_id, name).read(-_TAIL_BYTES, _TAIL_BYTES)
                state = str(tail.state)
                if state != LogState.FINAL:
                    shown = last_lines(bytes(tail.data))
                    cards.append(LogCard(name, tail.size_bytes, shown, state=state))
        return cards

    def _log_card(self, execution_id: str, name: str, log: ObjectSummary) -> LogCard:
        start = max(0, log.size_bytes - _TAIL_BYTES)
        try:
            tail = self._store.get_range(log.key, start, _TAIL_BYTES) if log.size_bytes else b""
        except ArchivedError:
            kept = self._logs.kept_tail(execution_id, name)[-_TAIL_BYTES:]
            return LogCard(name, log.size_bytes, last_lines(kept), self._terms(log))
        return LogCard(name, log.size_bytes, last_lines(bytes(tail)))

    def _gallery(self, execution_id: str, place: Place, checksums: dict[str, Any]) -> Gallery:
        prefix = execution_prefix(execution_id)
        after = prefix + place.shots_after if place.shots_after else ""
        listed = self._store.list_objects(
            prefix + SCREENSHOTS_FOLDER, after, at_once=SCREENSHOTS_A_PAGE + 1
        )
        found = [one for one, _ in zip(listed, range(SCREENSHOTS_A_PAGE + 1), strict=False)]
        shots = self._rows(prefix, found[:SCREENSHOTS_A_PAGE], checksums)
        more = len(found) > SCREENSHOTS_A_PAGE
        following = _query(place, shots_after=shots[-1].path) if more else None
        return Gallery(shots, not place.shots_after, following)

    def _folder(self, execution_id: str, place: Place, checksums: dict[str, Any]) -> Folder:
        prefix = execution_prefix(execution_id)
        base = prefix + place.folder
        after = prefix + place.after if place.after else ""
        page = self._store.list_folder(base, after, FILES_A_PAGE)
        if not page.names and place.folder:
            raise NotFoundError(f"no such folder in {execution_id}")
        files = [one for one in page.objects if one.key != f"{prefix}metadata.json"]
        folders = [one.removeprefix(prefix) for one in page.prefixes]
        last = max(page.names, default="").removeprefix(prefix)
        # Behind a folder is what sorts after all that is in it.
        last = last.removesuffix("/") + "0" if last.endswith("/") else last
        return Folder(
            place.folder,
            _crumbs(place.folder),
            [(one.removeprefix(place.folder), one) for one in folders],
            self._rows(prefix, files, checksums),
            _query(place, after=last) if page.next_token else None,
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
                opening(path),
                None if is_readable(one) else self._terms(one),
                one.restore.expires_at if is_archived(one) and one.restore else None,
            )
            for path, one in with_restore_status(self._store, files)
        ]

    def _terms(self, one: ObjectSummary) -> str:
        if one.restore is not None and one.restore.ongoing:
            return "its restore is under way"
        region = self._store.clients.region
        return f"to restore it takes {restore_terms(region, one.storage_class, 1, one.size_bytes)}"


def at_once(*reads: Callable[[], Any]) -> list[Any]:
    """Return what each returns, in order; each reads in a thread of its own."""
    return list(ordered_map(lambda read: read(), reads, len(reads) or 1, len(reads) or 1))


def live_log_names(store: ObjectReader, metadata: ExecutionMetadata) -> list[str]:
    """Return the names of logs that are being written, or were when their writer was lost."""
    if metadata.status is not Status.RUNNING:
        return []
    found = None
    with suppress_unless_fatal(OrchestratorError):
        found = store.run(read_state(metadata.execution_id))
    names = (log_name(f"{LOGS_FOLDER}{log}") for log in (found.state.logs if found else ()))
    return [name for name in names if name]


def opening(path: str) -> str:
    """Return how a browser may show a file in place: `image`, `report`, `text`, or "" for not."""
    kind = content_type_of(path)
    if kind.startswith("image/"):
        return "image"
    if kind.startswith(("video/", "audio/")) or kind == "application/pdf":
        return "media"
    if kind.startswith("text/html"):
        return "report"
    return "text" if kind.startswith(("text/", "application/json")) else ""


def last_lines(data: bytes, count: int = _TAIL_LINES) -> str:
    """Return the last lines of a log as text, without colours."""
    lines = ESCAPE.sub(b"", data).decode("utf-8", "replace").rstrip("\r\n").split("\n")[-count:]
    shown = [line.rstrip("\r").rpartition("\r")[2][:500] for line in lines]
    return "\n".join(
        "".join(one if one.isprintable() or one == "\t" else "\ufffd" for one in line)
        for line in shown
    )


def _crumbs(folder: str) -> list[tuple[str, str]]:
    parts = folder.strip("/").split("/") if folder else []
    return [(name, "/".join(parts[: at + 1]) + "/") for at, name in enumerate(parts)]


def _query(place: Place, after: str = "", shots_after: str = "") -> str:
    fields = {
        "dir": place.folder,
        "after": after or place.after,
        "shots": shots_after or place.shots_after,
    }
    return urlencode({name: text for name, text in fields.items() if text})
