"""The operations of a server on the uploads of one execution."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from orchestrator_cli.core.base.errors import OrchestratorError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.logs.finding import log_name
from orchestrator_cli.core.gateway.client.connection import GatewayConnection
from orchestrator_cli.core.gateway.client.server_request import ServerRequest, ask, error_from_kind
from orchestrator_cli.core.gateway.messages import uploads as messages
from orchestrator_cli.core.s3.compare import SCHEDULE_METADATA, SHA256_METADATA
from orchestrator_cli.core.s3.operations.multipart_listing import StoredPart
from orchestrator_cli.core.s3.operations.request import Operation
from orchestrator_cli.core.s3.types import Checksum, ObjectMetadata, PutOutcome
from orchestrator_cli.core.transfer.upload.target import FoundUpload


class ExecutionUploads:
    """The uploads to one execution, as operations. Safe to share between threads."""

    def __init__(self, connection: GatewayConnection, execution_id: str) -> None:
        self.execution_id = execution_id
        self._connection = connection
        self._base = f"/executions/{execution_id}/uploads"

    @cached_property
    def terms(self) -> messages.UploadTerms:
        """The terms for uploads, requested once. Raises NotFoundError for no such execution."""
        request = ServerRequest(self._base, f"look-up of execution {self.execution_id}")
        return self._connection.run(ask(request, messages.UploadTerms.model_validate))

    def check_files(self, offers: list[dict[str, Any]], what: str) -> Operation[list[FileAnswer]]:
        """Offer files, at most `terms.max_files`; return an answer for each."""

        def parse(record: Any) -> list[FileAnswer]:
            decided = messages.OfferFilesResponse.model_validate(record).files
            answers = [FileAnswer.of(one) for one in decided]
            if len(answers) != len(offers):
                raise ValueError
            return answers

        return ask(ServerRequest(self._base, what, {"files": offers}), parse)

    def check_file(self, offer: dict[str, Any]) -> Operation[FileAnswer]:
        """Offer one file. Raises the error that is its answer."""
        (answer,) = yield from self.check_files([offer], f"offer of {printable(offer['path'])}")
        if answer.error is not None:
            raise answer.error
        return answer

    def resolve(self, path: str, version_id: str, receipt: str) -> Operation[bool]:
        """Return True if a version that was just written had to be taken back."""
        record = {"path": path, "version_id": version_id, "receipt": receipt}
        what = f"look at the versions of {printable(path)}"
        return ask(
            ServerRequest(f"{self._base}/resolve", what, record),
            lambda body: messages.ResolveResponse.model_validate(body).withdrawn,
        )

    def create_multipart(self, path: str, content_type: str, schedule: str) -> Operation[str]:
        """Begin a multipart upload and return its id."""
        record = {"path": path, "content_type": content_type, "part_schedule": schedule}
        what = f"start of the upload of {printable(path)}"
        return ask(
            ServerRequest(f"{self._base}/multipart", what, record),
            lambda body: messages.MultipartResponse.model_validate(body).upload_id,
        )

    def presign_part(
        self, path: str, upload_id: str, offer: dict[str, Any], what: str
    ) -> Operation[messages.SignedPut]:
        """Return a request for one part."""
        record = {"path": path, "upload_id": upload_id, "parts": [offer]}
        return ask(
            ServerRequest(f"{self._base}/multipart/parts", what, record),
            lambda body: messages.PartsResponse.model_validate(body).parts[0],
        )

    def complete(
        self, path: str, upload_id: str, size_bytes: int, checksums: Iterable[Checksum]
    ) -> Operation[None]:
        """Make the object from its parts. Raises ConflictError, NotFoundError."""
        record = {
            "path": path,
            "upload_id": upload_id,
            "size_bytes": size_bytes,
            "checksums": [str(one) for one in checksums],
        }
        what = f"completion of {printable(path)}"
        yield ServerRequest(f"{self._base}/multipart/complete", what, record)

    def put_index(self, path: str, index: bytes) -> Operation[None]:
        """Send the index of a log that is stored. A server of an older release takes none."""
        address = f"{self._base}/index/{log_name(path)}"
        yield ServerRequest(address, f"index of {printable(path)}", content=index)


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
