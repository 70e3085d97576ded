"""What the upload endpoints answer, computed by the library; nothing here knows HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orchestrator_cli.api import upload_schemas as models
from orchestrator_cli.api.auth import Token
from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.ids import parse_execution_id
from orchestrator_cli.core.executions.repository import (
    Execution,
    read_execution,
    record_upload_result,
)
from orchestrator_cli.core.gateway.upload_authorizer import (
    Answer,
    Offer,
    PartOffer,
    UploadAuthorizer,
)
from orchestrator_cli.core.s3.compare import SCHEDULE_METADATA, SHA256_METADATA
from orchestrator_cli.core.s3.part_plan import BASE_PART_BYTES
from orchestrator_cli.core.s3.types import Checksum, ObjectMetadata, PutOutcome
from orchestrator_cli.core.s3.writer import ArtifactStore

_MAX_RECORDED_CHARACTERS = 4096


class ForbiddenError(Exception):
    """The token is not for this execution."""


@dataclass
class UploadService:
    """The upload side of one bucket. Safe to share between threads."""

    store: ArtifactStore
    grants: UploadAuthorizer

    def terms(self, text: str, token: Token | None) -> dict[str, Any]:
        """Return what a client has to know before it begins."""
        metadata = self._read(text, token).metadata
        return {
            "execution_id": metadata.execution_id,
            "status": metadata.status,
            "failures": [{"path": one.path, "error": one.error} for one in metadata.failures],
            "content_md5": not self.store.verified_by_server,
            "base_part_bytes": BASE_PART_BYTES,
            "max_files": models.MAX_FILES,
            "max_parts": models.MAX_PART_OFFERS,
            "max_changes": models.MAX_CHANGES,
        }

    def look(self, text: str, token: Token | None, asked: models.LookRequest) -> dict[str, Any]:
        """Say of each file what is to be done."""
        execution_id = self._check(text, token)
        expiry = self.grants.expiry()
        offers = [_offer(one) for one in asked.files]
        return {
            "execution_id": execution_id,
            "expires_at": expiry.expires_at,
            "files": [_answer(one) for one in self.grants.look(execution_id, offers, expiry)],
        }

    def settle(self, text: str, token: Token | None, asked: models.SettleRequest) -> dict[str, Any]:
        """Say whether a version stays that was written where no condition is heeded."""
        execution_id = self._check(text, token)
        _check_text("version_id", asked.version_id)
        return {"withdrawn": self.grants.settle(execution_id, asked.path, asked.version_id)}

    def begin(self, text: str, token: Token | None, asked: models.BeginRequest) -> dict[str, Any]:
        """Begin a multipart upload."""
        execution_id = self._check(text, token)
        schedule = asked.part_schedule
        upload_id = self.grants.begin(execution_id, asked.path, schedule, asked.content_type)
        return {"upload_id": upload_id, "part_schedule": schedule}

    def parts(self, text: str, token: Token | None, asked: models.PartsRequest) -> dict[str, Any]:
        """Return a signed request for each part."""
        execution_id = self._check(text, token)
        expiry = self.grants.expiry()
        offers = [
            PartOffer(one.number, one.size_bytes, bytes.fromhex(one.sha256), _binary(one.md5))
            for one in asked.parts
        ]
        _check_text("upload_id", asked.upload_id)
        signed = self.grants.sign_parts(execution_id, asked.path, asked.upload_id, offers, expiry)
        return {
            "expires_at": expiry.expires_at,
            "parts": [{"url": one.url, "headers": one.headers} for one in signed],
        }

    def complete(
        self, text: str, token: Token | None, asked: models.CompleteRequest
    ) -> dict[str, Any]:
        """Make the object from its parts."""
        execution_id = self._check(text, token)
        _check_text("upload_id", asked.upload_id)
        checksums = [_checksum(one) for one in asked.checksums]
        stored = self.grants.complete(
            execution_id, asked.path, asked.upload_id, asked.size_bytes, checksums
        )
        return {"outcome": PutOutcome.CREATED, "checksum": str(stored) if stored else None}

    def record(self, text: str, token: Token | None, asked: models.RecordRequest) -> dict[str, Any]:
        """Note what failed and what is mended; of a finished execution extend the manifest."""
        execution_id = self._check(text, token)
        failed = {_recorded(path): printable(error) for path, error in asked.failed.items()}
        mended = {_recorded(path) for path in asked.mended}
        metadata = record_upload_result(self.store, execution_id, failed, mended - failed.keys())
        return {
            "artifact_status": metadata.artifact_status,
            "failure_count": len(metadata.failures),
        }

    def _check(self, text: str, token: Token | None) -> str:
        return self._read(text, token).metadata.execution_id

    def _read(self, text: str, token: Token | None) -> Execution:
        execution = read_execution(self.store, parse_execution_id(text))
        if token is not None and token.bench_id not in (None, execution.metadata.bench_id):
            raise ForbiddenError
        return execution


def _offer(one: models.FileOffer) -> Offer:
    digest = _binary(one.sha256)
    small = one.size_bytes is not None and one.size_bytes <= BASE_PART_BYTES
    if small and digest is None:
        message = f"{printable(one.path)}: a file of up to {BASE_PART_BYTES:,} bytes"
        raise UsageError(f"{message} is offered with its sha256")
    return Offer(one.path, one.size_bytes, digest, _binary(one.md5), one.content_type)


def _answer(one: Answer) -> dict[str, Any]:
    unfinished = one.unfinished and [
        {
            "upload_id": found.upload.upload_id,
            "initiated_at": found.upload.initiated_at,
            "takes_sha256": found.upload.takes_sha256,
            "parts": [
                {
                    "number": part.number,
                    "size_bytes": part.size_bytes,
                    "etag": part.etag,
                    "sha256": part.sha256,
                }
                for part in found.parts
            ],
        }
        for found in one.unfinished
    ]
    return {
        "path": one.path,
        "outcome": one.outcome,
        "stored": _stored(one.stored) if one.stored else None,
        "put": {"url": one.put.url, "headers": one.put.headers} if one.put else None,
        "unfinished": None if unfinished is None else list(unfinished),
    }


def _stored(head: ObjectMetadata) -> dict[str, Any]:
    return {
        "size_bytes": head.size_bytes,
        "etag": head.etag,
        "content_type": head.content_type,
        "last_modified": head.last_modified,
        "sha256": head.metadata.get(SHA256_METADATA),
        "part_schedule": head.metadata.get(SCHEDULE_METADATA),
        "checksum": str(head.checksum) if head.checksum else None,
    }


def _binary(text: str | None) -> bytes | None:
    return bytes.fromhex(text) if text is not None else None


def _checksum(text: str) -> Checksum:
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
    if not 1 <= len(path) <= _MAX_RECORDED_CHARACTERS:
        raise UsageError(f"a path has 1 to {_MAX_RECORDED_CHARACTERS:,} characters")
    if any(ord(character) < 0x20 for character in path):
        raise UsageError("a path has control characters")
    return path
