"""What a server is asked about one execution's uploads, and what it answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from orchestrator_cli.core.base.errors import OrchestratorError, UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.gateway import messages
from orchestrator_cli.core.gateway.client.connection import GatewayClient, error_from_kind
from orchestrator_cli.core.s3.bucket.multipart import IncompleteUpload, StoredPart
from orchestrator_cli.core.s3.compare import SCHEDULE_METADATA, SHA256_METADATA
from orchestrator_cli.core.s3.types import Checksum, ObjectMetadata, PutOutcome

# An unfinished upload, and the parts that S3 has of it by number.
FoundParts = tuple[IncompleteUpload, dict[int, StoredPart]]
_MAX_ERROR_CHARACTERS = 1000


class RemoteExecution:
    """One execution as its server lets it be uploaded to. Safe to share between threads."""

    def __init__(self, client: GatewayClient, execution_id: str) -> None:
        self.client = client
        self.execution_id = execution_id
        self._base = f"/executions/{execution_id}/uploads"

    @cached_property
    def terms(self) -> messages.UploadTerms:
        """What to know before; asked for once. Raises NotFoundError for no such execution."""
        told = self.client.get(self._base, f"look-up of execution {self.execution_id}")
        with _Understood():
            return messages.UploadTerms.model_validate(told)

    def check_files(self, offers: list[dict[str, Any]], what: str) -> list[FileAnswer]:
        """Offer files, at most `terms.max_files`; return an answer for each."""
        told = self.client.post(self._base, {"files": offers}, what)
        with _Understood():
            decided = messages.OfferFilesResponse.model_validate(told).files
            answers = [FileAnswer.of(one) for one in decided]
            if len(answers) != len(offers):
                raise ValueError
            return answers

    def resolve(self, path: str, version_id: str, receipt: str) -> bool:
        """Say whether a version that was just written had to be taken back."""
        record = {"path": path, "version_id": version_id, "receipt": receipt}
        what = f"look at the versions of {printable(path)}"
        told = self.client.post(f"{self._base}/resolve", record, what)
        with _Understood():
            return messages.ResolveResponse.model_validate(told).withdrawn

    def create_multipart(self, path: str, content_type: str, schedule: str) -> str:
        """Begin a multipart upload and return its id."""
        record = {"path": path, "content_type": content_type, "part_schedule": schedule}
        what = f"start of the upload of {printable(path)}"
        told = self.client.post(f"{self._base}/multipart", record, what)
        with _Understood():
            return messages.MultipartResponse.model_validate(told).upload_id

    def presign_part(
        self, path: str, upload_id: str, offer: dict[str, Any], what: str
    ) -> messages.SignedPut:
        """Return a request for one part. Asks once."""
        record = {"path": path, "upload_id": upload_id, "parts": [offer]}
        told = self.client.post_once(f"{self._base}/multipart/parts", record, what)
        with _Understood():
            return messages.PartsResponse.model_validate(told).parts[0]

    def complete(
        self, path: str, upload_id: str, size_bytes: int, checksums: Iterable[Checksum]
    ) -> None:
        """Make the object from its parts. Raises ConflictError, NotFoundError."""
        record = {
            "path": path,
            "upload_id": upload_id,
            "size_bytes": size_bytes,
            "checksums": [str(one) for one in checksums],
        }
        what = f"completion of {printable(path)}"
        self.client.post(f"{self._base}/multipart/complete", record, what)

    def record(self, failed: Mapping[str, str], resolved: Iterable[str]) -> None:
        """Record failures and what is resolved, in as many requests as it takes."""
        most = self.terms.max_changes
        failures, paths = list(failed.items()), sorted(resolved)
        for start in range(0, max(len(failures), len(paths), 1), most):
            some = failures[start : start + most]
            record = {
                "failed": {path: error[:_MAX_ERROR_CHARACTERS] for path, error in some},
                "resolved": paths[start : start + most],
            }
            self.client.post(f"{self._base}/results", record, "record of the upload")


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """What the server says of a file. `error`: the storage could not be asked about this file."""

    outcome: PutOutcome | None
    stored: ObjectMetadata | None
    put: messages.SignedPut | None
    unfinished: tuple[FoundParts, ...]
    error: OrchestratorError | None = None

    @classmethod
    def of(cls, decision: messages.FileDecision) -> FileAnswer:
        """Return it with the library's own types."""
        path = decision.path
        return cls(
            decision.outcome,
            _as_object(path, decision.stored) if decision.stored else None,
            decision.put,
            tuple(_as_upload(path, one) for one in decision.unfinished or ()),
            _as_error(path, decision.error) if decision.error else None,
        )


def _as_object(path: str, stored: messages.StoredFile) -> ObjectMetadata:
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


def _as_upload(path: str, found: messages.IncompleteUpload) -> FoundParts:
    upload = IncompleteUpload(path, found.upload_id, found.initiated_at, found.accepts_sha256)
    return upload, {
        part.number: StoredPart(part.number, part.size_bytes, part.etag, part.sha256)
        for part in found.parts
    }


class UndecidedFileError(OrchestratorError):
    """The server could not look at this file, which says nothing of the others."""


def _as_error(path: str, told: messages.FileError) -> OrchestratorError:
    message = f"offer of {printable(path)}: {printable(told.detail)}"
    error = UndecidedFileError(message, code=told.code, request_id=told.request_id)
    error.exit_code = error_from_kind(told.kind, message).exit_code
    return error


class _Understood:
    """Makes an error of what a server answers that is no `orchestrator serve` of this kind."""

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, LookupError | TypeError | ValueError):
            raise incompatible_server()


def incompatible_server() -> OrchestratorError:
    """Return the error for an answer that cannot be read."""
    return UsageError(
        "what answered is no `orchestrator serve` that this release understands",
        hint="check --via, and whether the server is as new as this command",
    )
