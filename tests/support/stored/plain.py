"""S3 by plain HTTP, for what tests ask thousands of times: a client's own work is most of it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import html
import http.client
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# The tests' servers look whether there is a signature, and no further.
_SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=sandbox/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=none"
}
_NOTHING: dict[str, str] = {}
# XML makes a newline of it.
_ESCAPED = {"\r": "&#13;"}


class PlainS3:
    """One connection to the server that a client of boto3 goes to."""

    def __init__(self, s3: S3Client) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(s3.meta.endpoint_url).netloc)

    def ask(
        self,
        method: str,
        bucket: str,
        key: str = "",
        *,
        query: str = "",
        body: bytes = b"",
        headers: Mapping[str, str] = _NOTHING,
    ) -> bytes:
        """Return the body of an answer, which must be one of success."""
        target = f"/{bucket}/{quote(key)}{query}" if key else f"/{bucket}{query}"
        self._connection.request(method, target, body, {**headers, **_SIGNED})
        with self._connection.getresponse() as answer:
            content = answer.read()
            assert answer.status in (200, 204), (method, target, answer.status, content)
            return content

    def keys(self, bucket: str, prefix: str = "") -> Iterator[str]:
        """Yield the keys in S3's order."""
        first = f"?list-type=2&encoding-type=url&prefix={quote(prefix, safe='')}"
        query = first
        while query:
            page = self.ask("GET", bucket, query=query)
            for key in re.findall(rb"<Key>(.*?)</Key>", page, re.DOTALL):
                yield unquote(html.unescape(key.decode()))
            token = re.search(rb"<NextContinuationToken>(.*?)<", page)
            more = html.unescape(token[1].decode()) if token else ""
            query = f"{first}&continuation-token={quote(more, safe='')}" if more else ""

    def uploads(self, bucket: str) -> Iterator[tuple[str, str]]:
        """Yield the id and the key of each unfinished multipart upload."""
        page = self.ask("GET", bucket, query="?uploads&encoding-type=url").decode()
        for upload in re.findall(r"<Upload>(.*?)</Upload>", page, re.DOTALL):
            key, name = (re.search(f"<{tag}>(.*?)<", upload) for tag in ("Key", "UploadId"))
            assert key is not None
            assert name is not None
            yield html.unescape(name[1]), unquote(html.unescape(key[1]))

    def put_parts(self, bucket: str, key: str, parts: Sequence[bytes], schedule: str) -> None:
        """Store an object by parts, as the project does."""
        headers = {"x-amz-meta-part-schedule": schedule}
        begun = self.ask("POST", bucket, key, query="?uploads", headers=headers).decode()
        upload_id = begun.partition("<UploadId>")[2].partition("<")[0]
        listed = ""
        for number, part in enumerate(parts, 1):
            place = f"?partNumber={number}&uploadId={quote(upload_id)}"
            self.ask("PUT", bucket, key, query=place, body=part)
            etag = hashlib.md5(part, usedforsecurity=False).hexdigest()
            listed += f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
        whole = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        self.ask("POST", bucket, key, query=f"?uploadId={quote(upload_id)}", body=whole)

    def remove(self, bucket: str, keys: Sequence[str]) -> None:
        """Remove up to 1,000 objects by one request."""
        named = "".join(f"<Object><Key>{escape(key, _ESCAPED)}</Key></Object>" for key in keys)
        body = f"<Delete>{named}<Quiet>true</Quiet></Delete>".encode()
        digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        self.ask("POST", bucket, query="?delete", body=body, headers={"Content-MD5": digest})

    def close(self) -> None:
        self._connection.close()


def plain_s3(s3: S3Client) -> contextlib.closing[PlainS3]:
    """Connect to a client's server for a while."""
    return contextlib.closing(PlainS3(s3))
