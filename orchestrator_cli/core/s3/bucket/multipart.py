"""MultipartUploads: the operations of multipart uploads as blocking calls."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from orchestrator_cli.core.http.transport import Body
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.operations.multipart import (
    IncompleteUpload,
    PartDigests,
    StoredPart,
    abort_multipart_upload,
    complete_multipart_upload,
    create_multipart_upload,
    list_multipart_uploads,
    list_parts,
    upload_part,
)
from orchestrator_cli.core.s3.part_plan import Part

__all__ = ["IncompleteUpload", "MultipartUploads", "PartDigests", "StoredPart"]


class MultipartUploads:
    """The multipart calls of one bucket. Safe to share between threads."""

    def __init__(self, store: ArtifactStore) -> None:
        self._server = store.server
        self._run = store.clients.run

    def list_uploads(self, prefix: str) -> Iterator[IncompleteUpload]:
        """Yield the incomplete uploads under a key prefix."""
        markers: dict[str, str] | None = {}
        while markers is not None:
            page = self._run(list_multipart_uploads(self._server, prefix, markers))
            yield from page.uploads
            markers = page.next_markers

    def create(self, key: str, content_type: str, schedule: str) -> str:
        """Begin a multipart upload and return its upload id."""
        return self._run(create_multipart_upload(key, content_type, schedule))

    def list_parts(self, key: str, upload_id: str) -> dict[int, StoredPart]:
        """Return the parts that S3 has, by number. Raises NotFoundError for one that ended."""
        return self._run(list_parts(key, upload_id))

    def upload_part(
        self, key: str, upload_id: str, part: Part, body: Body, digests: PartDigests
    ) -> StoredPart:
        """Send one part. Raises NotFoundError."""
        return self._run(upload_part(self._server, key, upload_id, part, body, digests))

    def complete(self, key: str, upload_id: str, parts: list[StoredPart], size_bytes: int) -> None:
        """Make the object from its parts, only if the key is free.

        Raises ConflictError (the key is taken), NotFoundError (the upload ended otherwise).
        """
        self._run(complete_multipart_upload(self._server, key, upload_id, parts, size_bytes))

    def abort_best_effort(self, key: str, upload_id: str) -> None:
        """Give up an upload that can no longer be completed; failing to is not an error.

        A lifecycle rule removes what stays, and a writer's policy may not allow aborting.
        """
        with contextlib.suppress(Exception):
            self._run(abort_multipart_upload(key, upload_id))
