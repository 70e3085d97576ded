"""Uploads into the bucket itself, with credentials."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from orchestrator_cli.core.base.errors import (
    ConflictError,
    NotFoundError,
    OrchestratorError,
    suppress_unless_fatal,
)
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.keys import (
    INDEX_TYPE,
    TAIL_TYPE,
    log_index_key,
    log_tail_key,
    parse_artifact_key,
)
from orchestrator_cli.core.executions.logs.finding import log_name
from orchestrator_cli.core.http.transport import Body, Sleep
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.checksum import RandomAccessReader
from orchestrator_cli.core.s3.compare import StoredChecksum
from orchestrator_cli.core.s3.operations.listing import ListPage, ListQuery, list_objects
from orchestrator_cli.core.s3.operations.multipart import (
    PartDigests,
    abort_multipart_upload,
    complete_multipart_upload,
    create_multipart_upload,
    upload_part,
)
from orchestrator_cli.core.s3.operations.multipart_listing import (
    IncompleteUpload,
    StoredPart,
    list_multipart_uploads,
    list_parts,
)
from orchestrator_cli.core.s3.operations.put import compare_object, put_if_absent
from orchestrator_cli.core.s3.operations.read import (
    hash_stored_range,
    head_for_compare,
    head_object,
)
from orchestrator_cli.core.s3.operations.request import Operation
from orchestrator_cli.core.s3.part_plan import Part
from orchestrator_cli.core.s3.types import Checksum, ObjectMetadata, PutOutcome
from orchestrator_cli.core.transfer.upload.stored_etags import StoredEtags
from orchestrator_cli.core.transfer.upload.target import FoundUpload

_LOOKS_AT_OTHERS = 16


class DirectTarget:
    """The bucket of a store as a target of uploads; see `UploadTarget`."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._server = store.server
        self._retried_creates: set[str] = set()
        # The ids of uploads before which none of the same key began.
        self._first: set[str] = set()

    @property
    def verifies_sha256(self) -> bool:
        """Whether the server is known to verify SHA-256 on arrival."""
        return self._server.verifies_sha256

    def listed_etags(self) -> StoredEtags:
        """Return the ETags of stored files, which are listed page by page as they are needed."""

        def list_page(prefix: str, start_after: str, token: str | None) -> Operation[ListPage]:
            return list_objects(ListQuery(prefix, start_after), token)

        return StoredEtags(list_page, self._store.run)

    def put_if_absent(
        self, key: str, data: bytes, content_type: str, listed_etag: str | None = None
    ) -> Operation[tuple[PutOutcome, Checksum]]:
        """Write a small object only if the key is free."""
        return put_if_absent(self._server, key, data, content_type, listed_etag)

    def put_index(self, key: str, index: bytes, tail: bytes) -> list[Operation[object]]:
        """Return the operations that store a log's index and last bytes where there are none."""
        found = parse_artifact_key(key)
        if found is None:
            return []
        log = found[0], log_name(found[1])
        return [
            self.put_if_absent(log_index_key(*log), index, INDEX_TYPE),
            self.put_if_absent(log_tail_key(*log), tail, TAIL_TYPE),
        ]

    def head(self, key: str) -> Operation[ObjectMetadata]:
        """Look an object up, S3's own checksum included."""
        return head_object(key, with_checksum=True)

    def head_for_compare(self, key: str) -> Operation[ObjectMetadata | None]:
        """Look up what is needed to recompute a checksum; None where there is no object."""
        return head_for_compare(key)

    def compare(
        self,
        key: str,
        source: RandomAccessReader,
        size_bytes: int,
        known: StoredChecksum | None = None,
    ) -> Operation[PutOutcome | None]:
        """Compare local bytes with a stored object; None where there is no object."""
        return compare_object(key, source, size_bytes, known)

    def hash_stored_range(self, key: str, offset_bytes: int, size_bytes: int) -> Operation[bytes]:
        """Read a range of an object back and return its SHA-256."""
        return hash_stored_range(key, "sha256", offset_bytes, size_bytes)

    # --- multipart uploads ---------------------------------------------------------------

    def find_incomplete_uploads(self, key: str) -> Operation[list[FoundUpload]]:
        """Return a key's incomplete multipart uploads, the fullest first."""
        found: list[FoundUpload] = []
        uploads: list[IncompleteUpload] = []
        # Without the permission, or a server that lists, only resuming is lost.
        with suppress_unless_fatal(OrchestratorError):
            uploads = yield from self._list_uploads(key)
        for upload in uploads:
            # An upload that ends between the two calls is simply no candidate.
            with contextlib.suppress(NotFoundError):
                parts = (yield from _list_parts(upload)) if upload.accepts_sha256 else {}
                found.append((upload.upload_id, parts))
        return sorted(found, key=lambda item: len(item[1]), reverse=True)

    def create_multipart(self, key: str, content_type: str, schedule: str) -> Operation[str]:
        """Begin a multipart upload and return its upload id."""

        def before_retry(_: OrchestratorError) -> Operation[None]:
            # One may have begun whose id never reached us.
            self._retried_creates.add(key)
            yield from ()

        return create_multipart_upload(key, content_type, schedule, before_retry)

    def upload_part(
        self, key: str, upload_id: str, part: Part, body: Body, digests: PartDigests
    ) -> Operation[StoredPart]:
        """Send one part."""
        return upload_part(self._server, key, upload_id, part, body, digests)

    def look_for_earlier_uploads(self, key: str, upload_id: str) -> Operation[None]:
        """Note where no other upload of the key began earlier, where `complete` would look."""
        if not self._server.is_aws and (yield from self._is_first(key, upload_id)):
            self._first.add(upload_id)

    def complete(
        self, key: str, upload_id: str, parts: list[StoredPart], size_bytes: int
    ) -> Operation[None]:
        """Make the object from its parts, only if the key is free."""
        if not self._server.is_aws:
            # Not every server heeds If-None-Match on completion: look once more, right before.
            if upload_id not in self._first:
                yield from self._wait_for_earlier_uploads(key, upload_id)
            if (yield from head_for_compare(key)) is not None:
                message = f"upload of {printable(key)}: the key was taken meanwhile"
                raise ConflictError(message, code="PreconditionFailed")
        yield from complete_multipart_upload(self._server, key, upload_id, parts, size_bytes)

    def _wait_for_earlier_uploads(self, key: str, upload_id: str) -> Operation[None]:
        """Let the uploads of the same key that began earlier end first, for about two seconds.

        Where completing overwrites, several that look at the same moment would all find the key
        free. It is no lock: one that was interrupted does not end.
        """
        for _ in range(_LOOKS_AT_OTHERS):
            is_first = True
            with suppress_unless_fatal(OrchestratorError):
                is_first = yield from self._is_first(key, upload_id)
            if is_first:
                return
            yield Sleep(self._store.retry.jitter_seconds())

    def _is_first(self, key: str, upload_id: str) -> Operation[bool]:
        """Return True if no other incomplete upload of the key began earlier."""
        found = yield from self._list_uploads(key)
        found.sort(key=lambda one: (one.initiated_at, one.upload_id))
        return upload_id not in [one.upload_id for one in found[1:]]

    def abort(self, key: str, upload_id: str) -> Operation[None]:
        """Give up an upload that can no longer be completed.

        A lifecycle rule removes what stays, and a writer's policy may not allow aborting.
        """
        with contextlib.suppress(Exception):
            yield from abort_multipart_upload(key, upload_id)

    def abort_other_uploads(
        self, key: str, completed_id: str, found: Iterable[FoundUpload]
    ) -> Operation[None]:
        """Give up the other uploads of a key that is taken now: none can complete.

        Such as an interrupted one that had no part yet, or one of other content.
        """
        others = {upload_id for upload_id, _ in found}
        if key in self._retried_creates:
            with contextlib.suppress(OrchestratorError):
                others |= {one.upload_id for one in (yield from self._list_uploads(key))}
        for upload_id in others - {completed_id}:
            yield from self.abort(key, upload_id)

    def _list_uploads(self, key: str) -> Operation[list[IncompleteUpload]]:
        """Return the incomplete uploads of exactly this key."""
        found = yield from list_multipart_uploads(self._server, key)
        return [one for one in found if one.key == key]


def _list_parts(upload: IncompleteUpload) -> Operation[dict[int, StoredPart]]:
    """Return the stored parts; none where the server does not list them. Raises NotFoundError."""
    try:
        return (yield from list_parts(upload.key, upload.upload_id))
    except OrchestratorError as error:
        if error.is_fatal or isinstance(error, NotFoundError):
            raise
        return {}
