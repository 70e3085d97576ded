"""Multipart uploads: find, create, list parts, send a part, complete, abort."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any

from orchestrator_cli.core.base.errors import NotFoundError, UnavailableError
from orchestrator_cli.core.base.rate_limiter import ThrottledReader
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.http.request_body import Body
from orchestrator_cli.core.s3.checksum import sha256, to_base64
from orchestrator_cli.core.s3.compare import SCHEDULE_METADATA
from orchestrator_cli.core.s3.part_plan import Part
from orchestrator_cli.core.s3.reader import name_decoder
from orchestrator_cli.core.s3.request import SignedBody, XmlElement, require_etag
from orchestrator_cli.core.s3.writer import ArtifactStore, verify_etag

_COMPLETE = (
    '<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{}'
    "</CompleteMultipartUpload>"
)


@dataclass(frozen=True, slots=True)
class IncompleteUpload:
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
        self._rest = store.clients.rest
        self._begun_again: set[str] = set()

    def list_uploads(self, prefix: str) -> Iterator[IncompleteUpload]:
        """Yield the unfinished uploads under a key prefix."""
        what = f"look for unfinished uploads of {printable(prefix)}"
        asked = {"uploads": "", "prefix": prefix, "encoding-type": "url"}
        while True:
            try:
                page = self._ask("GET", "", what, "ListMultipartUploads", query=asked)
            except NotFoundError as error:
                # What rclone answers where there is none.
                if error.code != "NoSuchUpload":
                    raise
                return
            decode = name_decoder(page)
            for item in page.children("Upload"):
                # Of servers that keep no checksums, none says which.
                unsaid = "" if self._store.clients.is_aws else "SHA256"
                takes = (item.text("ChecksumAlgorithm") or unsaid) == "SHA256"
                begun = datetime.fromisoformat(item.text("Initiated"))
                yield IncompleteUpload(
                    decode(item.text("Key")), item.text("UploadId"), begun, takes
                )
            if not page.flag("IsTruncated"):
                return
            asked["key-marker"] = decode(page.text("NextKeyMarker"))
            asked["upload-id-marker"] = page.text("NextUploadIdMarker")

    def create(self, key: str, content_type: str, schedule: str) -> str:
        """Begin a multipart upload and return its upload id."""
        attempts = itertools.count()

        what = f"start of the upload of {printable(key)}"
        headers = {
            "content-type": content_type,
            "x-amz-checksum-algorithm": "SHA256",
            f"x-amz-meta-{SCHEDULE_METADATA}": schedule,
        }

        def request() -> XmlElement:
            if next(attempts):
                self._begun_again.add(key)
            return self._rest.ask(
                "POST",
                key,
                what,
                "InitiateMultipartUpload",
                query={"uploads": ""},
                headers=headers,
            )

        return self._store.retry.call(request, what).text("UploadId")

    def may_have_lost_one(self, key: str) -> bool:
        """Say whether an upload may have begun whose id never reached us."""
        return key in self._begun_again

    def list_parts(self, key: str, upload_id: str) -> dict[int, StoredPart]:
        """Return the parts that S3 has, by number. Raises NotFoundError for one that ended."""
        what = f"list of the stored parts of {printable(key)}"
        asked = {"uploadId": upload_id}
        parts: dict[int, StoredPart] = {}
        while True:
            page = self._ask("GET", key, what, "ListParts", query=asked)
            for item in page.children("Part"):
                number = int(item.text("PartNumber"))
                parts[number] = StoredPart(
                    number=number,
                    size_bytes=int(item.text("Size")),
                    etag=item.text("ETag").strip('"'),
                    sha256=item.text("ChecksumSHA256") or None,
                )
            if not page.flag("IsTruncated"):
                return parts
            asked["part-number-marker"] = page.text("NextPartNumberMarker")

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
        what = f"completion of {printable(key)}"
        ordered = sorted(parts, key=lambda part: part.number)
        body = _COMPLETE.format("".join(map(_completed_part, ordered))).encode()
        self._ask(
            "POST",
            key,
            what,
            "CompleteMultipartUpload",
            query={"uploadId": upload_id},
            headers={"if-none-match": "*", "x-amz-mp-object-size": str(size_bytes)},
            payload=SignedBody(body, len(body), sha256(body).hex()),
        )

    def abort_best_effort(self, key: str, upload_id: str) -> None:
        """Give up an upload that can no longer be completed; failing to is not an error.

        A lifecycle rule removes what stays, and a writer's policy may not allow aborting.
        """
        what = f"end of the upload of {printable(key)}"
        with contextlib.suppress(Exception):
            self._rest.send("DELETE", key, what, query={"uploadId": upload_id})

    def _ask(self, method: str, key: str, what: str, root: str, **request: Any) -> XmlElement:
        return self._store.retry.call(
            lambda: self._rest.ask(method, key, what, root, **request), what
        )

    def _check_alive(self, key: str, upload_id: str) -> None:
        query = {"uploadId": upload_id, "max-parts": "1"}
        try:
            self._rest.send("GET", key, "look-up of an upload", query=query)
        except NotFoundError as error:
            if error.code == "NoSuchUpload":
                raise NotFoundError("the upload was ended", code="NoSuchUpload") from error
        except Exception:  # noqa: BLE001 - the failure of the part itself is the one to report
            return

    def _send_part(
        self, key: str, upload_id: str, part: Part, body: Body, digests: PartDigests
    ) -> StoredPart:
        what = f"upload of {printable(key)}, part {part.number}"
        checksum = to_base64(digests.sha256)
        headers = {"x-amz-checksum-sha256": checksum}
        if digests.md5 is not None:
            headers["content-md5"] = to_base64(digests.md5)
        answer = self._rest.send(
            "PUT",
            key,
            what,
            query={"partNumber": str(part.number), "uploadId": upload_id},
            headers=headers,
            payload=SignedBody(self._paced(body), part.size_bytes, digests.sha256.hex()),
        )
        echoed = answer.header("x-amz-checksum-sha256") == checksum
        self._store.learn_checksum_support(echoed)
        etag = require_etag(answer, what)
        if not echoed:
            verify_etag(etag, digests.md5, what, True)
        return StoredPart(part.number, part.size_bytes, etag, checksum)

    def _paced(self, body: Body) -> Body:
        if self._store.pace is not None and isinstance(body, bytes | bytearray | memoryview):
            return ThrottledReader(body, self._store.pace)
        return body


def _completed_part(part: StoredPart) -> str:
    # Where the server lists no checksum of a part, it must not be sent one either.
    checksum = f"<ChecksumSHA256>{part.sha256}</ChecksumSHA256>" if part.sha256 else ""
    etag = escape(f'"{part.etag}"')
    return f"<Part><PartNumber>{part.number}</PartNumber><ETag>{etag}</ETag>{checksum}</Part>"
