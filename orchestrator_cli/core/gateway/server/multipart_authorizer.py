"""Multipart uploads for clients without credentials, who send the parts by presigned PUTs.

Nothing is remembered here: S3 binds an upload id to its key and keeps the parts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator_cli.core.base.errors import ConflictError, OrchestratorError, UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.content_type import content_type_of
from orchestrator_cli.core.gateway.messages.uploads import PartsRequest, SignedPut
from orchestrator_cli.core.gateway.server.put_signer import PutSigner, body_headers, storage_place
from orchestrator_cli.core.s3.bucket.presign import UrlExpiry
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.compare import StoredChecksum
from orchestrator_cli.core.s3.operations.multipart import create_multipart_upload
from orchestrator_cli.core.s3.operations.multipart_listing import StoredPart, list_parts
from orchestrator_cli.core.s3.part_plan import is_valid_part_plan, part_plan_for, plan_parts
from orchestrator_cli.core.s3.types import Checksum
from orchestrator_cli.core.transfer.upload.direct_target import DirectTarget
from orchestrator_cli.core.transfer.upload.parts.part_checksums import (
    composite_from_parts,
    verify_completed_object,
)


@dataclass
class MultipartAuthorizer:
    """Makes large objects for others. Safe to share between threads."""

    store: ArtifactStore
    puts: PutSigner

    def create_multipart(self, execution_id: str, path: str, schedule: str) -> str:
        """Begin a multipart upload and return its id."""
        path, key = storage_place(execution_id, path)
        if not is_valid_part_plan(schedule):
            raise UsageError(f"not a part schedule: {printable(schedule)!r}")
        return self.store.run(create_multipart_upload(key, content_type_of(path), schedule))

    def presign_parts(
        self, execution_id: str, message: PartsRequest, expiry: UrlExpiry
    ) -> list[SignedPut]:
        """Return a request for each part.

        Whether there is such an upload of this key S3 says when the part arrives, and whether the
        parts make up the file `complete` does.
        """
        _, key = storage_place(execution_id, message.path)
        signed = []
        for part in message.parts:
            query = {"partNumber": str(part.number), "uploadId": message.upload_id}
            headers = body_headers(part.size_bytes, part.sha256, part.md5)
            signed.append(self.puts.sign(key, expiry, headers, query))
        return signed

    def complete(
        self,
        execution_id: str,
        path: str,
        upload_id: str,
        size_bytes: int,
        checksums: Iterable[Checksum],
    ) -> Checksum | None:
        """Make the object from its parts, only if the key is free; return its checksum as stored.

        `checksums` are composite ones of the whole as its owner knows it, one for each algorithm;
        S3's list of parts must agree with one. Raises ConflictError where the key is taken or
        the parts are others, NotFoundError where the upload has ended; the owner then looks again.
        """
        path, key = storage_place(execution_id, path)
        stored = self.store.run(list_parts(key, upload_id))
        parts = _select_parts(path, size_bytes, stored)
        _verify_composite(path, parts, checksums)
        target = DirectTarget(self.store)
        try:
            self.store.run(target.complete(key, upload_id, parts, size_bytes))
        except ConflictError as error:
            if not error.retryable:
                self.store.run(target.abort(key, upload_id))
            raise

        def own(stored: StoredChecksum) -> Checksum | None:
            # Only who has the file can compare one over the whole, and does.
            if stored.schedule is None:
                return None
            return composite_from_parts(stored.checksum.algorithm, parts)

        checksum = verify_completed_object(self.store.head(key), size_bytes, own)
        # A rule of the bucket removes the others that are left; the file is stored.
        with contextlib.suppress(OrchestratorError):
            others = self.store.run(target.find_incomplete_uploads(key))
            self.store.run(target.abort_other_uploads(key, upload_id, others))
        return checksum


def _select_parts(path: str, size_bytes: int, stored: dict[int, StoredPart]) -> list[StoredPart]:
    """Return the stored parts that make up a file. Raises ConflictError where one is missing."""
    selected = []
    for part in plan_parts(size_bytes, part_plan_for(size_bytes)):
        found = stored.get(part.number)
        if found is None or found.size_bytes != part.size_bytes:
            message = f"upload of {printable(path)}: part {part.number} is not stored"
            raise ConflictError(message, code="InvalidPart")
        selected.append(found)
    return selected


def _verify_composite(path: str, parts: list[StoredPart], checksums: Iterable[Checksum]) -> None:
    """Raise ConflictError unless the parts have the checksum that their owner names."""
    named = {one.algorithm: one for one in checksums}
    # MD5 counts only where the server lists nothing better.
    for algorithm in ("sha256", "md5"):
        stored = composite_from_parts(algorithm, parts)
        if stored is not None and algorithm in named:
            if stored == named[algorithm]:
                return
            break
    message = f"upload of {printable(path)}: the stored parts are of other content"
    raise ConflictError(message, code="InvalidPart")
