"""A cache of manifests, which are read again and again to show executions."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict

from orchestrator_cli.core.base.errors import ArchivedError, IntegrityError, NotFoundError
from orchestrator_cli.core.executions.record.repository import read_execution
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore

# At some 400 bytes each.
MOST_LINES = 20_000
# Checksum and content type by path.
LineReader = dict[str, tuple[str | None, str]]


class Manifests:
    """What manifests say of files. Safe to share between threads.

    One is kept together with the ETag of its metadata.json, and serves again only where a listing
    made for the present answer has the same ETag: what is answered is never out of date.
    """

    def __init__(self, store: ArtifactStore, most_lines: int = MOST_LINES) -> None:
        self._store = store
        self._most_lines = most_lines
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[str, LineReader]] = OrderedDict()
        self._lines = 0

    def lines(self, execution_id: str, listed_etag: str) -> LineReader:
        """Return the lines, none where there is no valid manifest: the listing is the truth.

        `listed_etag` is bare, and empty where no listing has told it.
        """
        with self._lock:
            etag, lines = self._kept.get(execution_id, ("", {}))
            if etag and etag == listed_etag:
                self._kept.move_to_end(execution_id)
                return lines
        try:
            found = read_execution(self._store, execution_id)
        except (NotFoundError, IntegrityError, ArchivedError):
            return {}
        lines = {
            one.path: (one.checksum, sys.intern(one.content_type))
            for one in found.metadata.artifacts or ()
        }
        self._keep(execution_id, found.etag.strip('"'), lines)
        return lines

    def _keep(self, execution_id: str, etag: str, lines: LineReader) -> None:
        with self._lock:
            if execution_id in self._kept:
                self._forget(execution_id)
            self._kept[execution_id] = (etag, lines)
            self._lines += _cost(lines)
            while self._lines > self._most_lines:
                self._forget(next(iter(self._kept)))

    def _forget(self, execution_id: str) -> None:
        self._lines -= _cost(self._kept.pop(execution_id)[1])


def _cost(lines: LineReader) -> int:
    return 1 + len(lines)
