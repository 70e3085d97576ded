"""What a bucket demands of the requests to it: a KMS key, an owner, a storage class, tags, a payer.

Each is a header. Those about an object go with what makes one: PutObject, and the beginning of a
multipart upload, whose parts get them from there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.s3.storage_classes import ARCHIVE_CLASSES, STORAGE_CLASSES

# No archives: metadata.json is read by every command.
WRITABLE_CLASSES = tuple(name for name in STORAGE_CLASSES if name not in ARCHIVE_CLASSES)
_MOST_TAGS = 10
_OWNER = r"[0-9]{12}"
_KEY = r"(?a:[\w:/.@+=-]{1,2048})"
_TAG_TEXT = r"[\w\s:/.@+=-]*"
_LONGEST_TAG_KEY, _LONGEST_TAG_VALUE = 128, 256


class BucketDemands(NamedTuple):
    """What every request carries; nothing by default.

    `kms_key` is an id, an ARN or an alias; `bucket_key` says whether S3 may use a key of its own
    that KMS gave it for a while, which spares a request to KMS for each object.
    """

    kms_key: str | None = None
    bucket_key: bool = True
    expected_owner: str | None = None
    storage_class: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    requester_pays: bool = False

    def checked(self) -> BucketDemands:
        """Return these demands. Raises UsageError for what S3 would refuse of every object."""
        if self.kms_key is not None and not re.fullmatch(_KEY, self.kms_key):
            raise UsageError(f"{printable(self.kms_key)!r} is not a KMS key")
        if self.expected_owner is not None and not re.fullmatch(_OWNER, self.expected_owner):
            owner = printable(self.expected_owner)
            raise UsageError(f"expected bucket owner: {owner!r} is not an account of 12 digits")
        if self.storage_class is not None and self.storage_class not in WRITABLE_CLASSES:
            raise UsageError(
                f"{printable(self.storage_class)!r} is not a storage class that can be written"
            )
        if len(dict(self.tags)) < len(self.tags) or len(self.tags) > _MOST_TAGS:
            raise UsageError(f"an object has {_MOST_TAGS} tags at most, each with one value")
        for key, value in self.tags:
            _check_tag(key, value)
        return self

    def headers(self, method: str, key: str, query: Mapping[str, str]) -> dict[str, str]:
        """Return the headers of one request. An empty key is the bucket itself."""
        return _headers(self, _makes_object(method, key, query)).copy()

    def access_headers(self) -> dict[str, str]:
        """Return the headers of every request."""
        given = {
            "x-amz-expected-bucket-owner": self.expected_owner,
            "x-amz-request-payer": "requester" if self.requester_pays else None,
        }
        return {name: value for name, value in given.items() if value}

    def object_headers(self) -> dict[str, str]:
        """Return the headers of a request that makes an object or begins a multipart upload."""
        from urllib.parse import quote

        with_key = {
            "x-amz-server-side-encryption": "aws:kms",
            "x-amz-server-side-encryption-aws-kms-key-id": self.kms_key,
            "x-amz-server-side-encryption-bucket-key-enabled": str(self.bucket_key).lower(),
        }
        pairs = (f"{quote(key, safe='')}={quote(text, safe='')}" for key, text in self.tags)
        given = {
            **(with_key if self.kms_key else {}),
            "x-amz-storage-class": self.storage_class,
            "x-amz-tagging": "&".join(pairs),
        }
        return {name: value for name, value in given.items() if value}


NO_DEMANDS = BucketDemands()


# It is asked for every request.
@lru_cache(maxsize=8)
def _headers(demands: BucketDemands, makes_object: bool) -> dict[str, str]:
    return demands.access_headers() | (demands.object_headers() if makes_object else {})


def _makes_object(method: str, key: str, query: Mapping[str, str]) -> bool:
    if not key:
        return False
    return (method == "PUT" and not query) or (method == "POST" and "uploads" in query)


def _check_tag(key: str, value: str) -> None:
    if not 1 <= len(key) <= _LONGEST_TAG_KEY or not re.fullmatch(_TAG_TEXT, key):
        raise UsageError(f"{printable(key)!r} is not the key of a tag")
    if len(value) > _LONGEST_TAG_VALUE or not re.fullmatch(_TAG_TEXT, value):
        raise UsageError(f"{printable(value)!r} is not the value of a tag")
