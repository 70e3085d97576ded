"""List multipart uploads that have not ended, and the parts that S3 has of one."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from orchestrator_cli.core.base.errors import NotFoundError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.s3.error_codes import NO_SUCH_UPLOAD
from orchestrator_cli.core.s3.operations.listing import (
    document_request,
    endless_listing,
    name_decoder,
)
from orchestrator_cli.core.s3.operations.put import ServerTraits
from orchestrator_cli.core.s3.operations.request import Operation
from orchestrator_cli.core.s3.operations.xml_document import XmlElement, fetch_document


class IncompleteUpload(NamedTuple):
    """A multipart upload that was neither completed nor aborted.

    `accepts_sha256` is False where it was begun with another checksum, as other tools do: S3 then
    refuses the parts that we would send.
    """

    key: str
    upload_id: str
    initiated_at: datetime
    accepts_sha256: bool


class StoredPart(NamedTuple):
    """A part that S3 holds. `sha256` is base64 as S3 writes it, None where it keeps none."""

    number: int
    size_bytes: int
    etag: str
    sha256: str | None


def list_multipart_uploads(server: ServerTraits, prefix: str) -> Operation[list[IncompleteUpload]]:
    """List the incomplete uploads under a key prefix."""
    what = f"look for unfinished uploads of {printable(prefix)}"
    uploads: list[IncompleteUpload] = []
    markers: dict[str, str] = {}
    while True:
        query = {"uploads": "", "prefix": prefix, "encoding-type": "url", **markers}
        request = document_request("", what, query)
        try:
            found, following = yield from fetch_document(
                request, "ListMultipartUploads", lambda page: _parse_uploads(page, server.is_aws)
            )
        except NotFoundError as error:
            # What rclone answers where there is none.
            if error.code != NO_SUCH_UPLOAD:
                raise
            return uploads
        uploads += found
        if following is None:
            return uploads
        if following == markers or following["key-marker"] < markers.get("key-marker", ""):
            raise endless_listing(what)
        markers = following


def _parse_uploads(
    page: XmlElement, is_aws: bool
) -> tuple[list[IncompleteUpload], dict[str, str] | None]:
    """Return the uploads of a page, and the markers that ask for the next one."""
    decode = name_decoder(page)
    # Servers that keep no checksums do not name the algorithm.
    unsaid = "" if is_aws else "SHA256"
    uploads = [
        IncompleteUpload(
            decode(item.required("Key")),
            item.required("UploadId"),
            item.instant(item.text("Initiated")),
            (item.text("ChecksumAlgorithm") or unsaid) == "SHA256",
        )
        for item in page.children("Upload")
    ]
    if not page.flag("IsTruncated"):
        return uploads, None
    return uploads, {
        "key-marker": decode(page.text("NextKeyMarker")),
        "upload-id-marker": page.text("NextUploadIdMarker"),
    }


def list_parts(key: str, upload_id: str) -> Operation[dict[int, StoredPart]]:
    """List the parts that S3 has, by number. Raises NotFoundError for an upload that ended."""
    what = f"list of the stored parts of {printable(key)}"
    parts: dict[int, StoredPart] = {}
    marker = 0
    while True:
        query = {"uploadId": upload_id, **({"part-number-marker": str(marker)} if marker else {})}
        request = document_request(key, what, query)
        found, following = yield from fetch_document(request, "ListParts", _parse_parts)
        parts |= {part.number: part for part in found}
        if following is None:
            return parts
        if following <= marker:
            raise endless_listing(what)
        marker = following


def _parse_parts(page: XmlElement) -> tuple[list[StoredPart], int | None]:
    parts = [
        StoredPart(
            number=item.number(item.text("PartNumber")),
            size_bytes=item.number(item.text("Size")),
            etag=item.text("ETag").strip('"'),
            sha256=item.text("ChecksumSHA256") or None,
        )
        for item in page.children("Part")
    ]
    if not page.flag("IsTruncated"):
        return parts, None
    return parts, page.number(page.text("NextPartNumberMarker"))
