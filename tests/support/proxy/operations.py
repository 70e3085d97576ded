"""Name the S3 operation of an HTTP request, from its method, path, query and headers alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

_OBJECT_OPERATIONS = {
    "PUT": "PutObject",
    "GET": "GetObject",
    "HEAD": "HeadObject",
    "DELETE": "DeleteObject",
}
_BUCKET_OPERATIONS = {
    "PUT": "CreateBucket",
    "GET": "ListObjects",
    "HEAD": "HeadBucket",
    "DELETE": "DeleteBucket",
}
_UPLOAD_OPERATIONS = {
    "PUT": "UploadPart",
    "GET": "ListParts",
    "POST": "CompleteMultipartUpload",
    "DELETE": "AbortMultipartUpload",
}
_SUBRESOURCES = {
    "acl": "Acl",
    "encryption": "BucketEncryption",
    "lifecycle": "BucketLifecycleConfiguration",
    "location": "BucketLocation",
    "object-lock": "ObjectLockConfiguration",
    "policy": "BucketPolicy",
    "requestPayment": "BucketRequestPayment",
    "retention": "ObjectRetention",
    "versioning": "BucketVersioning",
}
_VERBS = {"PUT": "Put", "GET": "Get", "DELETE": "Delete", "HEAD": "Head", "POST": "Post"}


@dataclass(frozen=True)
class Request:
    """The head of a request, taken apart; the key is decoded, the query has blank values too."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    bucket: str
    key: str
    operation: str

    @property
    def part_number(self) -> int | None:
        number = self.query.get("partNumber")
        return int(number) if number else None


def parse_request(method: str, target: str, headers: Mapping[str, str]) -> Request:
    """Take apart a path-style request; header names come out in lower case."""
    url = urlsplit(target)
    bucket, _, key = url.path.lstrip("/").partition("/")
    query = dict(parse_qsl(url.query, keep_blank_values=True))
    lowered = {name.lower(): value for name, value in headers.items()}
    operation = name_operation(method, unquote(key), query, lowered)
    return Request(method, url.path, query, lowered, unquote(bucket), unquote(key), operation)


def name_operation(
    method: str, key: str, query: Mapping[str, str], headers: Mapping[str, str]
) -> str:
    """Return S3's name of the operation, or the method where it is none that we know."""
    if not key:
        return _name_bucket_operation(method, query)
    if "uploadId" in query:
        return _UPLOAD_OPERATIONS.get(method, method)
    if method == "POST":
        return _name_object_post(query)
    if "tagging" in query:
        return f"{_VERBS[method]}ObjectTagging"
    if "attributes" in query:
        return "GetObjectAttributes"
    if method == "PUT" and "x-amz-copy-source" in headers:
        return "CopyObject"
    return _name_subresource(method, query) or _OBJECT_OPERATIONS.get(method, method)


def _name_bucket_operation(method: str, query: Mapping[str, str]) -> str:
    if method == "POST":
        return "DeleteObjects" if "delete" in query else method
    if method == "GET" and "uploads" in query:
        return "ListMultipartUploads"
    if method == "GET" and "versions" in query:
        return "ListObjectVersions"
    if method == "GET" and query.get("list-type") == "2":
        return "ListObjectsV2"
    return _name_subresource(method, query) or _BUCKET_OPERATIONS.get(method, method)


def _name_object_post(query: Mapping[str, str]) -> str:
    if "uploads" in query:
        return "CreateMultipartUpload"
    return "RestoreObject" if "restore" in query else "POST"


def _name_subresource(method: str, query: Mapping[str, str]) -> str | None:
    found = next((name for name in _SUBRESOURCES if name in query), None)
    return _VERBS.get(method, method) + _SUBRESOURCES[found] if found else None
