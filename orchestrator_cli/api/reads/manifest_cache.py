"""A cache of manifests, which each listing of an execution's files needs."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict

from orchestrator_cli.core.base.errors import UNREADABLE, suppress_unless_fatal
from orchestrator_cli.core.executions.record.repository import read_execution
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore

# Files in all cached manifests together, at about 400 bytes each.
_MAX_FILES = 20_000
# Checksum and content type by path.
ManifestFiles = dict[str, tuple[str | None, str]]


class ManifestCache:
    """Caches manifests by the ETag of their metadata.json. Safe to share between threads.

    A cached manifest is used only if a listing made for the same response has its ETag, so it is
    never out of date.
    """

    def __init__(self, store: ArtifactStore, max_files: int = _MAX_FILES) -> None:
        self._store = store
        self._max_files = max_files
        self._lock = threading.Lock()
        self._cached: OrderedDict[str, tuple[str, ManifestFiles]] = OrderedDict()
        self._size = 0

    def files(self, execution_id: str, listed_etag: str) -> ManifestFiles:
        """Return the files of a manifest; none if there is no valid manifest.

        `listed_etag` has no quotes, and is "" if no listing has told it.
        """
        with self._lock:
            etag, files = self._cached.get(execution_id, ("", {}))
            if etag and etag == listed_etag:
                self._cached.move_to_end(execution_id)
                return files
        with suppress_unless_fatal(*UNREADABLE):
            found = read_execution(self._store, execution_id)
            files = {
                one.path: (one.checksum, sys.intern(one.content_type))
                for one in found.metadata.artifacts or ()
            }
            self._add(execution_id, found.etag.strip('"'), files)
            return files
        return {}

    def _add(self, execution_id: str, etag: str, files: ManifestFiles) -> None:
        with self._lock:
            if execution_id in self._cached:
                self._evict(execution_id)
            self._cached[execution_id] = (etag, files)
            self._size += _cost(files)
            while self._size > self._max_files:
                self._evict(next(iter(self._cached)))

    def _evict(self, execution_id: str) -> None:
        self._size -= _cost(self._cached.pop(execution_id)[1])


def _cost(files: ManifestFiles) -> int:
    return 1 + len(files)
