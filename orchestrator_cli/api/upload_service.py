"""The service behind the upload endpoints. It does not know HTTP."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from orchestrator_cli.api.guard.auth import Token
from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.ids import parse_execution_id
from orchestrator_cli.core.executions.keys import execution_prefix, parse_artifact_key
from orchestrator_cli.core.executions.logs.finding import find_log, log_name
from orchestrator_cli.core.executions.logs.index import TAIL_BYTES, parse_index
from orchestrator_cli.core.executions.record.repository import (
    StoredRecord,
    read_execution,
    record_upload_begun,
    record_upload_result,
)
from orchestrator_cli.core.executions.record.upload_mark import UploadMark
from orchestrator_cli.core.gateway import limits
from orchestrator_cli.core.gateway.messages import record as record_messages
from orchestrator_cli.core.gateway.messages import uploads as messages
from orchestrator_cli.core.gateway.server.multipart_authorizer import MultipartAuthorizer
from orchestrator_cli.core.gateway.server.put_signer import PutSigner
from orchestrator_cli.core.gateway.server.upload_authorizer import UploadAuthorizer
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.operations.read import head_for_compare
from orchestrator_cli.core.s3.part_plan import BASE_PART_BYTES
from orchestrator_cli.core.s3.types import Checksum, PutOutcome
from orchestrator_cli.core.transfer.upload.direct_target import DirectTarget

# A client sends the index of a log right after the log. Later on, nobody may add one.
MAX_INDEX_DELAY = timedelta(days=1)


class ForbiddenError(Exception):
    """The token is not for this execution."""


@dataclass
class UploadService:
    """Authorizes and records uploads to one bucket. Safe to share between threads.

    Each method takes an execution id as the client wrote it, and the client's token or None.
    """

    store: ArtifactStore
    puts: PutSigner

    def __post_init__(self) -> None:
        self._files = UploadAuthorizer(self.store, self.puts)
        self._multipart = MultipartAuthorizer(self.store, self.puts)

    def terms(self, text: str, token: Token | None) -> messages.UploadTerms:
        """Return what a client needs to know before it uploads."""
        metadata = self._read(text, token).metadata
        return messages.UploadTerms(
            execution_id=metadata.execution_id,
            status=metadata.status,
            failures=[
                record_messages.RecordedFailure(path=one.path, error=one.error)
                for one in metadata.failures
            ],
            unfinished_uploads=metadata.unfinished_uploads,
            content_md5=not self.store.server.verifies_sha256,
            base_part_bytes=BASE_PART_BYTES,
            max_files=limits.MAX_FILES,
            max_parts=limits.MAX_PART_OFFERS,
            max_changes=limits.MAX_CHANGES,
        )

    def check_files(
        self, text: str, token: Token | None, message: messages.OfferFilesRequest
    ) -> messages.OfferFilesResponse:
        """Return for each file whether it is stored and, if not, how to upload it."""
        execution_id = self.check(text, token)
        expiry = self.puts.expiry()
        return messages.OfferFilesResponse(
            execution_id=execution_id,
            expires_at=expiry.expires_at,
            files=self._files.check_files(execution_id, message.files, expiry),
        )

    def resolve(
        self, text: str, token: Token | None, message: messages.ResolveRequest
    ) -> messages.ResolveResponse:
        """Delete a version of a file if an older one exists; return whether it was deleted.

        Needed for servers that ignore `If-None-Match` in versioned buckets.
        """
        execution_id = self.check(text, token)
        _check_text("version_id", message.version_id)
        withdrawn = self._files.resolve_version_conflict(
            execution_id, message.path, message.version_id, message.receipt
        )
        return messages.ResolveResponse(withdrawn=withdrawn)

    def create_multipart(
        self, text: str, token: Token | None, message: messages.MultipartRequest
    ) -> messages.MultipartResponse:
        """Begin a multipart upload."""
        execution_id = self.check(text, token)
        schedule = message.part_schedule
        upload_id = self._multipart.create_multipart(execution_id, message.path, schedule)
        return messages.MultipartResponse(upload_id=upload_id, part_schedule=schedule)

    def presign_parts(
        self, text: str, token: Token | None, message: messages.PartsRequest
    ) -> messages.PartsResponse:
        """Return a signed request for each part."""
        execution_id = self.check(text, token)
        _check_text("upload_id", message.upload_id)
        expiry = self.puts.expiry()
        signed = self._multipart.presign_parts(execution_id, message, expiry)
        return messages.PartsResponse(expires_at=expiry.expires_at, parts=signed)

    def complete(
        self, text: str, token: Token | None, message: messages.CompleteRequest
    ) -> messages.CompleteResponse:
        """Complete a multipart upload."""
        execution_id = self.check(text, token)
        _check_text("upload_id", message.upload_id)
        checksums = [_composite(one) for one in message.checksums]
        stored = self._multipart.complete(
            execution_id, message.path, message.upload_id, message.size_bytes, checksums
        )
        checksum = str(stored) if stored else None
        return messages.CompleteResponse(outcome=PutOutcome.CREATED, checksum=checksum)

    def put_index(
        self, text: str, token: Token | None, name: str, content: bytes
    ) -> messages.IndexResponse:
        """Store the index of a stored log, unless it has one. Raises NotFoundError.

        The content of an index cannot be verified without reading the log. So the index must name
        the size and ETag of the log, the log must be new, and a stored index is never replaced.
        """
        log = find_log(self.store, self.check(text, token), log_name(f"logs/{name}.log") or name)
        if self.puts.now() - log.last_modified > MAX_INDEX_DELAY:
            raise UsageError(
                "the log was stored over a day ago", hint="`orchestrator index` makes its index"
            )
        index = parse_index(content, log.size_bytes, log.etag.strip('"'))
        if index is None:
            raise UsageError("the body is not an index of the stored log")
        start = max(0, log.size_bytes - TAIL_BYTES)
        tail = (
            self.store.get_range(log.key, start, TAIL_BYTES, object_bytes=log.size_bytes)
            if log.size_bytes
            else b""
        )
        target = DirectTarget(self.store)
        for put in target.put_index(log.key, index.to_bytes(), bytes(tail)):
            self.store.run(put)
        return messages.IndexResponse(line_count=index.line_count)

    def begin(
        self, text: str, token: Token | None, message: record_messages.BegunRequest
    ) -> record_messages.BegunResponse:
        """Record that an upload begins."""
        execution_id = self.check(text, token)
        mark = UploadMark.of(message.model_dump(mode="json")).shortened()
        record_upload_begun(self.store, execution_id, mark)
        return record_messages.BegunResponse(upload_id=mark.upload_id)

    def record(
        self, text: str, token: Token | None, message: record_messages.ResultsRequest
    ) -> record_messages.ResultsResponse:
        """Record failed and resolved paths, and extend the manifest of a finished execution.

        What the client reports is verified: a path is resolved only if its file is stored, and an
        upload has ended only if each of its recorded paths is stored or recorded as a failure.
        """
        metadata = self._read(text, token).metadata
        execution_id = metadata.execution_id
        failed = {_valid_path(path): printable(error) for path, error in message.failed.items()}
        known_failures = {one.path for one in metadata.failures}
        resolved = {
            path
            for path in map(_valid_path, message.resolved)
            if path in known_failures and not self._is_missing(execution_id, path)
        }
        recorded = known_failures | failed.keys()
        ended = [
            one.upload_id
            for one in metadata.unfinished_uploads
            if one.upload_id in message.ended
            and self._are_stored(execution_id, (path for path in one.paths if path not in recorded))
        ]
        updated = record_upload_result(
            self.store, execution_id, failed, resolved - failed.keys(), ended=ended
        )
        return record_messages.ResultsResponse(
            artifact_status=updated.artifact_status, failure_count=len(updated.failures)
        )

    def _are_stored(self, execution_id: str, paths: Iterable[str]) -> bool:
        """Return True if all these paths are valid and their files are stored."""
        keys = [execution_prefix(execution_id) + path for path in paths]
        if not all(map(parse_artifact_key, keys)):
            return False
        return None not in list(self.store.map_operations(map(head_for_compare, keys)))

    def _is_missing(self, execution_id: str, path: str) -> bool:
        """Return True if nothing is stored at a path.

        A path that cannot be stored, such as one on the client's disk, is not missing.
        """
        key = execution_prefix(execution_id) + path
        return parse_artifact_key(key) is not None and not self.store.exists(key)

    def check(self, text: str, token: Token | None) -> str:
        """Return the id of an execution that the token may upload to.

        Raises UsageError, NotFoundError, ForbiddenError.
        """
        return self._read(text, token).metadata.execution_id

    def _read(self, text: str, token: Token | None) -> StoredRecord:
        execution = read_execution(self.store, parse_execution_id(text))
        if token is not None and token.bench_id not in (None, execution.metadata.bench_id):
            raise ForbiddenError
        return execution


def _composite(text: str) -> Checksum:
    try:
        checksum = Checksum.parse(text)
    except ValueError as error:
        raise UsageError(f"not a checksum: {printable(text)!r}") from error
    if checksum.part_count is None:
        raise UsageError(f"not a composite checksum: {text}", hint="it ends in -PARTS")
    return checksum


def _check_text(name: str, text: str) -> None:
    if not (text.isascii() and text.isprintable()):
        raise UsageError(f"{name}: it has characters that are not printable ASCII")


def _valid_path(path: str) -> str:
    """Return the path of a failure. It may be one that cannot be stored. Raises UsageError."""
    if not 1 <= len(path) <= limits.MAX_FAILED_PATH_CHARACTERS:
        raise UsageError(f"a path has 1 to {limits.MAX_FAILED_PATH_CHARACTERS:,} characters")
    if any(ord(character) < 0x20 for character in path):
        raise UsageError("a path has control characters")
    return path
