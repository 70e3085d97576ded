"""The operations that write by a multipart upload: create, send a part, complete, abort."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from orchestrator_cli.core.base.errors import (
    ConflictError,
    NotFoundError,
    OrchestratorError,
    UnavailableError,
    UnsupportedError,
)
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.http.transport import Body, Response
from orchestrator_cli.core.s3.checksum import to_base64
from orchestrator_cli.core.s3.compare import SCHEDULE_METADATA
from orchestrator_cli.core.s3.error_codes import ended_upload_error, is_ended_upload
from orchestrator_cli.core.s3.operations.listing import document_request
from orchestrator_cli.core.s3.operations.multipart_listing import StoredPart
from orchestrator_cli.core.s3.operations.put import ServerTraits, verify_etag
from orchestrator_cli.core.s3.operations.read import head_for_compare
from orchestrator_cli.core.s3.operations.request import (
    COMPLETION_SECONDS,
    SMALL_RESPONSE_SECONDS,
    BeforeRetry,
    Operation,
    S3Request,
    SignedBody,
    fetch,
    require_etag,
)
from orchestrator_cli.core.s3.operations.xml_document import fetch_document
from orchestrator_cli.core.s3.part_plan import Part

_COMPLETE = (
    '<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{}'
    "</CompleteMultipartUpload>"
)


class PartDigests(NamedTuple):
    """The binary digests of a part; MD5 only where the server may not verify SHA-256."""

    sha256: bytes
    md5: bytes | None = None


def create_multipart_upload(
    key: str, content_type: str, schedule: str, before_retry: BeforeRetry | None = None
) -> Operation[str]:
    """Begin a multipart upload and return its upload id.

    Where the request is sent again, it may have begun an upload whose id never came back.
    """
    request = S3Request(
        "POST",
        key,
        f"start of the upload of {printable(key)}",
        query={"uploads": ""},
        headers={
            "content-type": content_type,
            "x-amz-checksum-algorithm": "SHA256",
            f"x-amz-meta-{SCHEDULE_METADATA}": schedule,
        },
        total_timeout_seconds=SMALL_RESPONSE_SECONDS,
        before_retry=before_retry,
    )
    return fetch_document(
        request, "InitiateMultipartUpload", lambda document: document.required("UploadId")
    )


def upload_part(
    server: ServerTraits, key: str, upload_id: str, part: Part, body: Body, digests: PartDigests
) -> Operation[StoredPart]:
    """Send one part. Raises NotFoundError where the upload has ended."""
    what = f"upload of {printable(key)}, part {part.number}"
    checksum = to_base64(digests.sha256)
    headers = {"x-amz-checksum-sha256": checksum}
    if digests.md5 is not None:
        headers["content-md5"] = to_base64(digests.md5)

    def parse(response: Response) -> StoredPart:
        echoed = response.header("x-amz-checksum-sha256") == checksum
        server.checks_sha256 = echoed
        etag = require_etag(response, what)
        if not echoed:
            verify_etag(etag, digests.md5, what, retryable=True)
        # A server that gives no checksum of a part takes none when the upload is completed.
        return StoredPart(part.number, part.size_bytes, etag, checksum if echoed else None)

    request = S3Request(
        "PUT",
        key,
        what,
        query={"partNumber": str(part.number), "uploadId": upload_id},
        headers=headers,
        body=SignedBody(body, part.size_bytes, digests.sha256.hex()),
        before_retry=look_before_retry(lambda: _check_in_progress(key, upload_id)),
    )
    return (yield from fetch(request, parse))


def look_before_retry(check: Callable[[], Operation[None]]) -> BeforeRetry:
    """Return what runs before a part is sent again: a check that its upload has not ended.

    Some servers answer 500 for an upload that is gone, and asking is cheaper than sending the part
    five times more. A server that asks for fewer requests has said why.
    """

    def before_retry(error: OrchestratorError) -> Operation[None]:
        answered = isinstance(error, UnavailableError) and error.code is not None
        if answered and not error.is_throttled:
            yield from check()

    return before_retry


def _check_in_progress(key: str, upload_id: str) -> Operation[None]:
    """Raise NotFoundError for an upload that has ended."""
    query = {"uploadId": upload_id, "max-parts": "1"}
    request = document_request(key, "look-up of an upload", query)
    request.is_retried = False
    try:
        yield request
    except NotFoundError as error:
        if is_ended_upload(error):
            raise ended_upload_error() from error
    except OrchestratorError as error:
        # The failure of the part itself is the one to report.
        if error.is_fatal:
            raise


def complete_multipart_upload(
    server: ServerTraits, key: str, upload_id: str, parts: list[StoredPart], size_bytes: int
) -> Operation[None]:
    """Make the object from its parts, only if the key is free.

    Raises ConflictError (the key is taken), NotFoundError (the upload ended otherwise).
    """
    if server.completes_atomically:
        condition = {"if-none-match": "*"}
        try:
            yield from _complete(key, upload_id, parts, size_bytes, condition)
        except UnsupportedError:
            server.completes_atomically = False
        else:
            return
    if (yield from head_for_compare(key)) is not None:
        raise ConflictError(f"completion of {printable(key)}: the key is taken")
    yield from _complete(key, upload_id, parts, size_bytes, {})


def _complete(
    key: str,
    upload_id: str,
    parts: list[StoredPart],
    size_bytes: int,
    condition: dict[str, str],
) -> Operation[None]:
    ordered = sorted(parts, key=lambda part: part.number)
    request = S3Request(
        "POST",
        key,
        f"completion of {printable(key)}",
        query={"uploadId": upload_id},
        headers={**condition, "x-amz-mp-object-size": str(size_bytes)},
        body=SignedBody.of(_COMPLETE.format("".join(map(_completed_part, ordered))).encode()),
        response_timeout_seconds=COMPLETION_SECONDS,
    )
    return fetch_document(request, "CompleteMultipartUpload", lambda document: None)


def _completed_part(part: StoredPart) -> str:
    # It brings a table of all entities, and most uploads have no parts.
    from html import escape

    checksum = f"<ChecksumSHA256>{part.sha256}</ChecksumSHA256>" if part.sha256 else ""
    etag = escape(f'"{part.etag}"')
    return f"<Part><PartNumber>{part.number}</PartNumber><ETag>{etag}</ETag>{checksum}</Part>"


def abort_multipart_upload(key: str, upload_id: str) -> Operation[None]:
    """Give up an upload that can no longer be completed. It is asked for once."""
    what = f"end of the upload of {printable(key)}"
    yield S3Request("DELETE", key, what, query={"uploadId": upload_id}, is_retried=False)
