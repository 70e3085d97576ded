"""Multipart uploads: find, create, list parts, send a part, complete, abort.

boto3 does the control calls; a part goes through a presigned URL with its checksum in the signed
parameters, because boto3 sends a body in small reads at several times the CPU.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from orchestrator_cli.core.body import FilePartBody
from orchestrator_cli.core.compare import SCHEDULE_METADATA
from orchestrator_cli.core.digest import to_base64
from orchestrator_cli.core.errors import (
    NotFoundError,
    OrchestratorError,
    UnavailableError,
    printable,
)
from orchestrator_cli.core.pace import PacedBody
from orchestrator_cli.core.parts import Part
from orchestrator_cli.core.s3errors import from_answer, parse_error_body
from orchestrator_cli.core.store import ArtifactStore, check_etag

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

_URL_EXPIRES_IN_SECONDS = 3600

Body = bytes | bytearray | FilePartBody | PacedBody


@dataclass(frozen=True, slots=True)
class UnfinishedUpload:
    """A multipart upload that was neither completed nor aborted.

    `takes_sha256` is False where it was begun with another checksum, as other tools do: S3 then
    refuses the parts that we would send.
    """

    key: str
    upload_id: str
    initiated_at: datetime
    takes_sha256: bool


@dataclass(frozen=True, slots=True)
class PartDigests:
    """The binary digests of a part; MD5 only where the server may not verify SHA-256."""

    sha256: bytes
    md5: bytes | None = None


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part that S3 holds. `sha256` is base64 as S3 writes it, None where it keeps none."""

    number: int
    size_bytes: int
    etag: str
    sha256: str | None


class MultipartUploads:
    """The multipart calls of one bucket. Safe to share between threads."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._boto = store.clients.boto
        self._begun_again: set[str] = set()

    def list_uploads(self, prefix: str) -> Iterator[UnfinishedUpload]:
        """Yield the unfinished uploads under a key prefix."""
        marker: dict[str, Any] = {}
        while True:
            page = self._call(
                lambda marker=marker: self._boto.list_multipart_uploads(
                    Bucket=self._store.bucket,
                    Prefix=prefix,
                    **marker,
                ),
                f"look for unfinished uploads of {printable(prefix)}",
            )
            for item in page.get("Uploads", []):
                # Of servers that keep no checksums, none says which.
                unsaid = None if self._store.clients.is_aws else "SHA256"
                takes = item.get("ChecksumAlgorithm", unsaid) == "SHA256"
                yield UnfinishedUpload(item["Key"], item["UploadId"], item["Initiated"], takes)
            if not page.get("IsTruncated"):
                return
            marker = {
                "KeyMarker": page["NextKeyMarker"],
                "UploadIdMarker": page["NextUploadIdMarker"],
            }

    def create(self, key: str, content_type: str, schedule: str) -> str:
        """Begin a multipart upload and return its upload id."""
        attempts = itertools.count()

        def request() -> Any:
            if next(attempts):
                self._begun_again.add(key)
            return self._boto.create_multipart_upload(
                Bucket=self._store.bucket,
                Key=key,
                ContentType=content_type,
                ChecksumAlgorithm="SHA256",
                Metadata={SCHEDULE_METADATA: schedule},
            )

        answer = self._call(request, f"start of the upload of {printable(key)}")
        return str(answer["UploadId"])

    def may_have_lost_one(self, key: str) -> bool:
        """Say whether an upload may have begun whose id never reached us."""
        return key in self._begun_again

    def list_parts(self, key: str, upload_id: str) -> dict[int, StoredPart]:
        """Return the parts that S3 has, by number. Raises NotFoundError for one that ended."""
        parts: dict[int, StoredPart] = {}
        marker = 0
        while True:
            page = self._call(
                lambda marker=marker: self._boto.list_parts(
                    Bucket=self._store.bucket,
                    Key=key,
                    UploadId=upload_id,
                    PartNumberMarker=marker,
                ),
                f"list of the stored parts of {printable(key)}",
            )
            for item in page.get("Parts", []):
                parts[item["PartNumber"]] = StoredPart(
                    number=item["PartNumber"],
                    size_bytes=item["Size"],
                    etag=item["ETag"].strip('"'),
                    sha256=item.get("ChecksumSHA256"),
                )
            if not page.get("IsTruncated"):
                return parts
            marker = int(page["NextPartNumberMarker"])

    def upload_part(
        self, key: str, upload_id: str, part: Part, body: Body, digests: PartDigests
    ) -> StoredPart:
        """Send one part; a file-like body must be seekable. Raises NotFoundError."""

        def request() -> StoredPart:
            try:
                return self._send_part(key, upload_id, part, body, digests)
            except UnavailableError as error:
                # Some servers answer 500 for an upload that is gone: asking is cheaper than
                # sending the part five times more.
                if error.code is not None:
                    self._check_alive(key, upload_id)
                raise

        return self._store.retry.call(request, f"upload of {printable(key)}, part {part.number}")

    def complete(self, key: str, upload_id: str, parts: list[StoredPart], size_bytes: int) -> None:
        """Make the object from its parts, only if the key is free.

        Raises ConflictError (the key is taken), NotFoundError (the upload ended otherwise).
        """
        chosen = [_completed_part(part) for part in sorted(parts, key=lambda part: part.number)]
        self._call(
            lambda: self._boto.complete_multipart_upload(
                Bucket=self._store.bucket,
                Key=key,
                UploadId=upload_id,
                MultipartUpload={"Parts": chosen},
                IfNoneMatch="*",
                MpuObjectSize=size_bytes,
            ),
            f"completion of {printable(key)}",
        )

    def abort_quietly(self, key: str, upload_id: str) -> None:
        """Give up an upload that can no longer be completed; failing to is not an error.

        A lifecycle rule removes what stays, and a writer's policy may not allow aborting.
        """
        with contextlib.suppress(Exception):
            self._boto.abort_multipart_upload(
                Bucket=self._store.bucket, Key=key, UploadId=upload_id
            )

    def _call(self, request: Any, what: str) -> Any:
        return self._store.retry.call(request, what)

    def _check_alive(self, key: str, upload_id: str) -> None:
        try:
            self._boto.list_parts(
                Bucket=self._store.bucket, Key=key, UploadId=upload_id, MaxParts=1
            )
        except self._boto.exceptions.NoSuchUpload as error:
            raise NotFoundError("the upload was ended", code="NoSuchUpload") from error
        except Exception:  # noqa: BLE001 - the failure of the part itself is the one to report
            return

    def _send_part(
        self, key: str, upload_id: str, part: Part, body: Body, digests: PartDigests
    ) -> StoredPart:
        sha256 = to_base64(digests.sha256)
        url = self._boto.generate_presigned_url(
            "upload_part",
            Params={
                "Bucket": self._store.bucket,
                "Key": key,
                "UploadId": upload_id,
                "PartNumber": part.number,
                "ChecksumSHA256": sha256,
            },
            ExpiresIn=_URL_EXPIRES_IN_SECONDS,
        )
        headers = {"x-amz-checksum-sha256": sha256, "Content-Length": str(part.size_bytes)}
        if digests.md5 is not None:
            headers["Content-MD5"] = to_base64(digests.md5)
        answer = self._store.clients.http.request(
            "PUT", url, body=cast("Any", self._rewound(body)), headers=headers
        )
        if answer.status >= 300:
            raise _part_error(answer, f"upload of {printable(key)}, part {part.number}")
        echoed = answer.headers.get("x-amz-checksum-sha256") == sha256
        self._store.learn_checksum_support(echoed)
        etag = answer.headers.get("ETag", "").strip('"')
        if not echoed:
            check_etag(etag, digests.md5, f"upload of {printable(key)}, part {part.number}", True)
        return StoredPart(part.number, part.size_bytes, etag, sha256)

    def _rewound(self, body: Body) -> Body:
        if isinstance(body, bytes | bytearray):
            return PacedBody(body, self._store.pace) if self._store.pace else body
        body.seek(0)
        return body


def _part_error(answer: BaseHTTPResponse, what: str) -> OrchestratorError:
    told = parse_error_body(answer.status, answer.data.decode("utf-8", "replace"))
    # What stands between, such as a load balancer, answers something else than XML.
    request_id = told.request_id or answer.headers.get("x-amz-request-id")
    return from_answer(replace(told, request_id=request_id), what)


def _completed_part(part: StoredPart) -> Any:
    named: dict[str, Any] = {"PartNumber": part.number, "ETag": f'"{part.etag}"'}
    # Where the server lists no checksum of a part, it must not be sent one either.
    return named | ({"ChecksumSHA256": part.sha256} if part.sha256 else {})
