"""Multipart uploads as S3 keeps them, without the bytes: what a resumed upload builds on."""

from __future__ import annotations

import base64
import hashlib
import itertools
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from tests.bench.counted.counting import Answer, Call
from tests.bench.counted.documents import describe, document, http_now, refuse

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Part:
    """A part that has arrived whole; `sha256` is base64, as it was claimed."""

    size_bytes: int
    etag: str
    sha256: str | None


@dataclass
class Upload:
    """An upload that was begun, with the headers that it was begun with."""

    key: str
    headers: Mapping[str, str]
    initiated: str
    parts: dict[int, Part] = field(default_factory=dict)


class UnfinishedUploads:
    """Answers multipart calls, and reads of what was there or was completed."""

    def __init__(self, there: Mapping[str, bytes]) -> None:
        """Take the content of the objects that are there, by key."""
        self.uploads: dict[str, Upload] = {}
        self.completed: dict[str, Answer] = {}
        self._there = {key: describe(content) for key, content in there.items()}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def answer(self, call: Call) -> Answer:
        """Answer one request; what is not known is answered with 501."""
        answers = {
            "AbortMultipartUpload": self._abort,
            "CompleteMultipartUpload": self._complete,
            "CreateMultipartUpload": self._create,
            "GetObject": self._read,
            "HeadObject": self._read,
            "ListMultipartUploads": self._list_uploads,
            "ListParts": self._list_parts,
            "UploadPart": self._take,
        }
        known = answers.get(call.request.operation)
        with self._lock:
            return known(call) if known else refuse(501, "NotImplemented")

    def forget(self) -> None:
        """Drop all uploads, and what was completed."""
        with self._lock:
            self.uploads.clear()
            self.completed.clear()

    def _create(self, call: Call) -> Answer:
        upload_id = f"upload-{next(self._numbers)}"
        key = call.request.key
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        self.uploads[upload_id] = Upload(key, call.request.headers, now)
        inner = f"<Bucket>bench</Bucket><Key>{escape(key)}</Key><UploadId>{upload_id}</UploadId>"
        return document("InitiateMultipartUploadResult", inner)

    def _take(self, call: Call) -> Answer:
        upload = self._find(call)
        number = call.request.part_number
        if upload is None or number is None:
            return refuse(404, "NoSuchUpload")
        headers = call.request.headers
        size = int(headers.get("x-amz-decoded-content-length", call.received_bytes))
        part = Part(size, f"{next(self._numbers):032x}", headers.get("x-amz-checksum-sha256"))
        upload.parts[number] = part
        told = {"ETag": f'"{part.etag}"'}
        if part.sha256:
            told["x-amz-checksum-sha256"] = part.sha256
        return Answer(200, headers=told)

    def _list_uploads(self, call: Call) -> Answer:
        prefix = call.request.query.get("prefix", "")
        found = "".join(
            f"<Upload><Key>{escape(one.key)}</Key><UploadId>{upload_id}</UploadId>"
            f"<Initiated>{one.initiated}</Initiated>"
            f"<ChecksumAlgorithm>{one.headers.get('x-amz-checksum-algorithm', '')}"
            "</ChecksumAlgorithm></Upload>"
            for upload_id, one in self.uploads.items()
            if one.key.startswith(prefix)
        )
        inner = f"<Bucket>bench</Bucket><IsTruncated>false</IsTruncated>{found}"
        return document("ListMultipartUploadsResult", inner)

    def _list_parts(self, call: Call) -> Answer:
        upload = self._find(call)
        if upload is None:
            return refuse(404, "NoSuchUpload")
        after = int(call.request.query.get("part-number-marker", 0))
        left = sorted(number for number in upload.parts if number > after)
        inner = f"<IsTruncated>{str(len(left) > _PAGE).lower()}</IsTruncated>"
        if len(left) > _PAGE:
            inner += f"<NextPartNumberMarker>{left[_PAGE - 1]}</NextPartNumberMarker>"
        for number in left[:_PAGE]:
            part = upload.parts[number]
            sha256 = f"<ChecksumSHA256>{part.sha256}</ChecksumSHA256>" if part.sha256 else ""
            inner += (
                f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{part.etag}&quot;</ETag>"
                f"<Size>{part.size_bytes}</Size>{sha256}</Part>"
            )
        return document("ListPartsResult", inner)

    def _complete(self, call: Call) -> Answer:
        upload = self._find(call)
        if upload is None:
            return refuse(404, "NoSuchUpload")
        if upload.key in self.completed and call.request.headers.get("if-none-match") == "*":
            return refuse(412, "PreconditionFailed")
        numbers = [
            int(one.text or "") for one in ET.fromstring(call.body).iter() if _is_number(one)
        ]
        if any(number not in upload.parts for number in numbers):
            return refuse(400, "InvalidPart")
        completed = _compose([upload.parts[number] for number in numbers], upload.headers)
        self.completed[upload.key] = completed
        self._abort(call)
        etag = escape(completed.headers["ETag"], {'"': "&quot;"})
        inner = f"<Bucket>bench</Bucket><Key>{escape(upload.key)}</Key><ETag>{etag}</ETag>"
        return document("CompleteMultipartUploadResult", inner)

    def _abort(self, call: Call) -> Answer:
        gone = self.uploads.pop(call.request.query["uploadId"], None)
        return Answer(204) if gone else refuse(404, "NoSuchUpload")

    def _read(self, call: Call) -> Answer:
        key = call.request.key
        return self.completed.get(key) or self._there.get(key) or refuse(404, "NoSuchKey")

    def _find(self, call: Call) -> Upload | None:
        upload = self.uploads.get(call.request.query["uploadId"])
        return upload if upload and upload.key == call.request.key else None


def _is_number(element: ET.Element) -> bool:
    return element.tag.rpartition("}")[2] == "PartNumber"


def _compose(parts: list[Part], begun_with: Mapping[str, str]) -> Answer:
    """Return what is said of a completed object, whose bytes are nowhere."""
    headers = {name: text for name, text in begun_with.items() if name.startswith("x-amz-meta-")}
    headers["Content-Length"] = str(sum(part.size_bytes for part in parts))
    headers["Last-Modified"] = http_now()
    headers["ETag"] = f'"{"0" * 32}-{len(parts)}"'
    digests = [base64.b64decode(part.sha256) for part in parts if part.sha256]
    if len(digests) == len(parts):
        whole = base64.b64encode(hashlib.sha256(b"".join(digests)).digest()).decode()
        headers["x-amz-checksum-sha256"] = f"{whole}-{len(parts)}"
        headers["x-amz-checksum-type"] = "COMPOSITE"
    return Answer(200, b"", headers)
