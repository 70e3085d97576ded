"""What a server says of a file that it was offered."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator_cli.core.base.errors import OrchestratorError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.gateway.client.server_request import error_from_kind
from orchestrator_cli.core.gateway.messages import uploads as messages
from orchestrator_cli.core.s3.checksum import RandomAccessReader
from orchestrator_cli.core.s3.compare import (
    SCHEDULE_METADATA,
    SHA256_METADATA,
    StoredChecksum,
    matches_stored,
)
from orchestrator_cli.core.s3.operations.multipart_listing import StoredPart
from orchestrator_cli.core.s3.types import Checksum, ObjectMetadata, PutOutcome
from orchestrator_cli.core.transfer.upload.target import FoundUpload


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """The server's answer about a file. `error`: the storage failed for this file alone."""

    outcome: PutOutcome | None
    stored: ObjectMetadata | None
    put: messages.SignedPut | None
    unfinished: tuple[FoundUpload, ...]
    error: OrchestratorError | None = None

    @classmethod
    def of(cls, decision: messages.FileDecision) -> FileAnswer:
        """Return it with the library's own types."""
        path = decision.path
        return cls(
            decision.outcome,
            _as_object(path, decision.stored) if decision.stored else None,
            decision.put,
            tuple(map(_as_upload, decision.unfinished or ())),
            _as_error(path, decision.error) if decision.error else None,
        )

    def checked(self) -> FileAnswer:
        """Return it. Raises the error that it is."""
        if self.error is not None:
            raise self.error
        return self

    def compare(
        self,
        key: str,
        source: RandomAccessReader,
        size_bytes: int,
        known: StoredChecksum | None = None,
    ) -> PutOutcome | None:
        """Compare local bytes with the stored object; None where there is no object."""
        if self.outcome is not None or self.stored is None:
            return self.outcome
        same = matches_stored(source, size_bytes, self.stored, known)
        if same is None:
            raise cannot_compare(key)
        return PutOutcome.IDENTICAL if same else PutOutcome.CONFLICT


def cannot_compare(key: str) -> OrchestratorError:
    """Return the error for a file that only reading it back could compare."""
    return OrchestratorError(
        f"{printable(key)}: another tool stored this file, without a checksum that can be compared",
        hint="upload it under another name",
    )


def _as_object(path: str, stored: messages.StoredFileMessage) -> ObjectMetadata:
    metadata = {SHA256_METADATA: stored.sha256, SCHEDULE_METADATA: stored.part_schedule}
    return ObjectMetadata(
        key=path,
        size_bytes=stored.size_bytes,
        etag=stored.etag,
        content_type=stored.content_type,
        last_modified=stored.last_modified,
        metadata={name: text for name, text in metadata.items() if text is not None},
        checksum=Checksum.parse(stored.checksum) if stored.checksum else None,
    )


def _as_upload(found: messages.IncompleteUploadMessage) -> FoundUpload:
    # The server tells no parts of one that cannot be taken over.
    return found.upload_id, {
        part.number: StoredPart(part.number, part.size_bytes, part.etag, part.sha256)
        for part in found.parts
    }


class UndecidedFileError(OrchestratorError):
    """The server could not look at this file, which says nothing of the others."""


def _as_error(path: str, found: messages.FileError) -> OrchestratorError:
    message = f"offer of {printable(path)}: {printable(found.detail)}"
    error = UndecidedFileError(message, code=found.code, request_id=found.request_id)
    error.exit_code = error_from_kind(found.kind, message).exit_code
    return error
