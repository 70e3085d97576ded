"""The service behind the upload endpoints, by the library; nothing here knows HTTP."""

from __future__ import annotations

from collections.abc import Collection
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
from orchestrator_cli.core.gateway import limits, messages, record_messages
from orchestrator_cli.core.gateway.server.multipart_authorizer import MultipartAuthorizer
from orchestrator_cli.core.gateway.server.put_signer import PutSigner
from orchestrator_cli.core.gateway.server.upload_authorizer import UploadAuthorizer
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.operations.read import head_for_compare
from orchestrator_cli.core.s3.part_plan import BASE_PART_BYTES
from orchestrator_cli.core.s3.types import Checksum, PutOutcome
from orchestrator_cli.core.transfer.upload.direct_target import DirectTarget

# Whoever stores a log sends its index right behind it.
_INDEXED_WITHIN = timedelta(days=1)


class ForbiddenError(Exception):
    """The token is not for this execution."""


@dataclass
class UploadService:
    """The upload side of one bucket. Safe to share between threads.

    Each method takes an execution id as it was asked for, and the token that asks, or None.
    """

    store: ArtifactStore
    puts: PutSigner

    def __post_init__(self) -> None:
        self._files = UploadAuthorizer(self.store, self.puts)
        self._multipart = MultipartAuthorizer(self.store, self.puts)

    def terms(self, text: str, token: Token | None) -> messages.UploadTerms:
        """Return what a client has to know before it begins."""
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
        self, text: str, token: Token | None, asked: messages.OfferFilesRequest
    ) -> messages.OfferFilesResponse:
        """Say of each file what is to be done."""
        execution_id = self.check(text, token)
        expiry = self.puts.expiry()
        return messages.OfferFilesResponse(
            execution_id=execution_id,
            expires_at=expiry.expires_at,
            files=self._files.check_files(execution_id, asked.files, expiry),
        )

    def resolve(
        self, text: str, token: Token | None, asked: messages.ResolveRequest
    ) -> messages.ResolveResponse:
        """Say whether a version stays that was written where no condition is heeded."""
        execution_id = self.check(text, token)
        _check_text("version_id", asked.version_id)
        withdrawn = self._files.resolve_version_conflict(
            execution_id, asked.path, asked.version_id, asked.receipt
        )
        return messages.ResolveResponse(withdrawn=withdrawn)

    def create_multipart(
        self, text: str, token: Token | None, asked: messages.MultipartRequest
    ) -> messages.MultipartResponse:
        """Begin a multipart upload."""
        execution_id = self.check(text, token)
        schedule = asked.part_schedule
        upload_id = self._multipart.create_multipart(
            execution_id, asked.path, schedule, asked.content_type
        )
        return messages.MultipartResponse(upload_id=upload_id, part_schedule=schedule)

    def presign_parts(
        self, text: str, token: Token | None, asked: messages.PartsRequest
    ) -> messages.PartsResponse:
        """Return a signed request for each part."""
        execution_id = self.check(text, token)
        _check_text("upload_id", asked.upload_id)
        expiry = self.puts.expiry()
        signed = self._multipart.presign_parts(
            execution_id, asked.path, asked.upload_id, asked.parts, expiry
        )
        return messages.PartsResponse(expires_at=expiry.expires_at, parts=signed)

    def complete(
        self, text: str, token: Token | None, asked: messages.CompleteRequest
    ) -> messages.CompleteResponse:
        """Make the object from its parts."""
        execution_id = self.check(text, token)
        _check_text("upload_id", asked.upload_id)
        checksums = [_composite(one) for one in asked.checksums]
        stored = self._multipart.complete(
            execution_id, asked.path, asked.upload_id, asked.size_bytes, checksums
        )
        checksum = str(stored) if stored else None
        return messages.CompleteResponse(outcome=PutOutcome.CREATED, checksum=checksum)

    def put_index(
        self, text: str, token: Token | None, name: str, content: bytes
    ) -> messages.IndexResponse:
        """Keep the index of a log that is stored, unless there is one.

        Nobody can tell from it alone whether it is right. So it is of this log only, whoever has
        not just stored that has no part in it, and what is there stays. Raises NotFoundError.
        """
        log = find_log(self.store, self.check(text, token), log_name(f"logs/{name}.log") or name)
        if self.puts.now() - log.last_modified > _INDEXED_WITHIN:
            raise UsageError(
                "the log was stored over a day ago", hint="`orchestrator index` makes its index"
            )
        index = parse_index(content, log.size_bytes, log.etag.strip('"'))
        if index is None:
            raise UsageError("this is not the index of the log as it is stored")
        start = max(0, log.size_bytes - TAIL_BYTES)
        tail = self.store.get_range(log.key, start, TAIL_BYTES) if log.size_bytes else b""
        target = DirectTarget(self.store)
        for put in target.put_index(log.key, index.to_bytes(), bytes(tail)):
            self.store.run(put)
        return messages.IndexResponse(line_count=index.line_count)

    def begin(
        self, text: str, token: Token | None, asked: record_messages.BegunUpload
    ) -> record_messages.BegunResponse:
        """Record that an upload begins."""
        execution_id = self.check(text, token)
        mark = UploadMark.of(asked.model_dump(mode="json")).shortened()
        record_upload_begun(self.store, execution_id, mark)
        return record_messages.BegunResponse(upload_id=mark.upload_id)

    def record(
        self, text: str, token: Token | None, asked: record_messages.ResultsRequest
    ) -> record_messages.ResultsResponse:
        """Record failures and resolved paths; extend the manifest of a finished execution.

        A file counts as resolved once it is stored, whatever the client says.
        """
        known = self._read(text, token).metadata
        execution_id = known.execution_id
        failed = {_recorded(path): printable(error) for path, error in asked.failed.items()}
        failing = {one.path for one in known.failures}
        resolved = {
            path
            for path in map(_recorded, asked.resolved)
            if path in failing and not self._is_missing(execution_id, path)
        }
        told = failing | failed.keys()
        ended = [
            one.upload_id
            for one in known.unfinished_uploads
            if one.upload_id in asked.ended and not self._lacks(execution_id, one.paths, told)
        ]
        metadata = record_upload_result(
            self.store, execution_id, failed, resolved - failed.keys(), ended=ended
        )
        return record_messages.ResultsResponse(
            artifact_status=metadata.artifact_status, failure_count=len(metadata.failures)
        )

    def _lacks(self, execution_id: str, paths: list[str], told: Collection[str]) -> bool:
        """Say whether one of these files is not stored, and nobody was told so."""
        keys = [execution_prefix(execution_id) + path for path in paths if path not in told]
        if not all(map(parse_artifact_key, keys)):
            return True
        return None in list(self.store.map_operations(map(head_for_compare, keys)))

    def _is_missing(self, execution_id: str, path: str) -> bool:
        """Return True if it is a file's path where nothing is stored; paths as typed are none."""
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
        raise UsageError(f"{name}: it has characters that none has")


def _recorded(path: str) -> str:
    """Return the path of a failure. A file that cannot be stored may have any name, escaped."""
    if not 1 <= len(path) <= limits.MAX_FAILED_PATH_CHARACTERS:
        raise UsageError(f"a path has 1 to {limits.MAX_FAILED_PATH_CHARACTERS:,} characters")
    if any(ord(character) < 0x20 for character in path):
        raise UsageError("a path has control characters")
    return path
