"""The operations that read objects of a bucket: head, get, ranges."""

from __future__ import annotations

import re
from typing import NamedTuple

from orchestrator_cli.core.base.errors import (
    AccessError,
    IntegrityError,
    NotFoundError,
    OrchestratorError,
)
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.http.transport import Response
from orchestrator_cli.core.s3.checksum import create_hash, sha256
from orchestrator_cli.core.s3.compare import SHA256_METADATA
from orchestrator_cli.core.s3.error_codes import INVALID_RANGE, unexpected_response
from orchestrator_cli.core.s3.operations.byte_range import ByteRange, range_request
from orchestrator_cli.core.s3.operations.object_head import (
    SHA256_HEADER,
    parse_age_seconds,
    parse_object_head,
)
from orchestrator_cli.core.s3.operations.request import (
    SMALL_RESPONSE_SECONDS,
    Operation,
    S3Request,
    fetch,
    require_etag,
    timeout_for,
)
from orchestrator_cli.core.s3.types import ObjectMetadata

_SIZE = re.compile(r"[0-9]{1,18}")
# A response without a body has no error code, only its status.
_UNEXPLAINED_CODES = frozenset({"", "400", "403"})
# An object that is read whole is a record, or a file of at most one part.
_MAX_WHOLE_BYTES = 64 * 1024 * 1024
_READ_BACK_BYTES = 4 * 1024 * 1024


class ObjectContent(NamedTuple):
    """The content of an object with the ETag it had, quotes included as S3 sent them.

    `age_seconds` is how old it was when S3 answered, by S3's clock; None where it did not say.
    """

    content: bytes
    etag: str
    age_seconds: float | None = None


def head_object(key: str, *, with_checksum: bool = False) -> Operation[ObjectMetadata]:
    """Look an object up; with S3's own checksum where that is asked for. Raises NotFoundError."""
    what = f"look-up of {printable(key)}"
    headers = {"x-amz-checksum-mode": "ENABLED"} if with_checksum else {}

    def parse(response: Response) -> ObjectMetadata:
        require_etag(response, what)
        size = response.header("content-length")
        if _SIZE.fullmatch(size) is None:
            raise unexpected_response(what)
        return parse_object_head(key, response, int(size))

    request = S3Request(
        "HEAD", key, what, headers=headers, total_timeout_seconds=SMALL_RESPONSE_SECONDS
    )
    try:
        return (yield from fetch(request, parse))
    except AccessError as refused:
        if refused.code not in _UNEXPLAINED_CODES:
            raise
    yield from _explain_refusal(key, what)
    # The read succeeds, since expired credentials have been renewed meanwhile.
    return (yield from fetch(request, parse))


def _explain_refusal(key: str, what: str) -> Operation[None]:
    """Raise the reason for a refused HEAD, by a GET: only that response has a body."""
    try:
        yield range_request(key, what, 0, 1)
    except OrchestratorError as error:
        if error.code != INVALID_RANGE:
            raise


def head_for_compare(key: str) -> Operation[ObjectMetadata | None]:
    """Look up what is needed to recompute an object's checksum; None where there is no object.

    An object of one PutObject carries its SHA-256 in its user metadata; S3's own checksums come
    only where they are asked for.
    """
    try:
        head = yield from head_object(key)
        if SHA256_METADATA not in head.metadata:
            head = yield from head_object(key, with_checksum=True)
    except NotFoundError:
        return None
    return head


def get_object(key: str, max_bytes: int | None = None) -> Operation[ObjectContent]:
    """Read a small object whole. Raises NotFoundError, IntegrityError.

    An object of more than `max_bytes` is not read further, and is an IntegrityError.
    """
    what = f"read of {printable(key)}"
    request = _whole_request(key, what)
    if max_bytes is not None:
        request = range_request(key, what, 0, max_bytes + 1)

    def parse(response: Response) -> ObjectContent:
        if max_bytes is not None and len(response.body) > max_bytes:
            raise IntegrityError(f"{what}: it is larger than {max_bytes:,} bytes")
        # The content may be changed and written back.
        _check_content(response, what)
        age = parse_age_seconds(response)
        return ObjectContent(response.body, response.header("etag"), age)

    try:
        return (yield from fetch(request, parse))
    except OrchestratorError as error:
        if max_bytes is None or error.code != INVALID_RANGE:
            raise
    return (yield from get_object(key))


def get_object_if_checksum_matches(key: str) -> Operation[memoryview | None]:
    """Read a small object whole; None where its bytes do not match the SHA-256 in its metadata.

    None also where none is recorded, and a closer look has to tell. Raises NotFoundError.
    """
    what = f"read of {printable(key)}"
    request = _whole_request(key, what)
    request.check = lambda response: require_etag(response, what)
    response = yield request
    recorded = response.headers.get(SHA256_HEADER)
    return memoryview(response.body) if recorded == sha256(response.body).hex() else None


def get_object_with_head(key: str, max_bytes: int) -> Operation[tuple[ObjectMetadata, bytes]]:
    """Read an object whole together with its head, in one request.

    Its bytes are compared with the SHA-256 in its metadata, where there is one. Raises
    NotFoundError, and IntegrityError for an object of more than `max_bytes`.
    """
    what = f"read of {printable(key)}"

    def parse(response: Response) -> tuple[ObjectMetadata, bytes]:
        _check_content(response, what)
        return parse_object_head(key, response, len(response.body)), response.body

    return (yield from fetch(_whole_request(key, what, max_bytes), parse))


def get_prefix(key: str, size_bytes: int) -> Operation[tuple[ObjectMetadata, memoryview]]:
    """Look an object up and read its first bytes, in one request. Raises NotFoundError.

    Of an empty object it raises an error of the code INVALID_RANGE.
    """
    begin = ByteRange(key, 0, size_bytes)

    def parse(response: Response) -> ObjectMetadata:
        return parse_object_head(key, response, begin.check(response))

    head = yield from fetch(begin.request(), parse)
    return head, begin.received()


def get_range(
    key: str,
    offset_bytes: int,
    size_bytes: int,
    buffer: bytearray | None = None,
    object_bytes: int | None = None,
) -> Operation[memoryview]:
    """Read a range of an object, as a view of `buffer` if given; shorter where the object ends.

    `object_bytes` is the size of the object as it was looked up or listed: a response that says
    another one is an IntegrityError.
    """
    wanted = ByteRange(key, offset_bytes, size_bytes, buffer, object_bytes)
    yield wanted.request()
    return wanted.received()


def hash_stored_range(
    key: str,
    algorithm: str,
    offset_bytes: int,
    size_bytes: int,
    object_bytes: int | None = None,
) -> Operation[bytes]:
    """Read a range of an object back and return its binary digest; see `get_range`."""
    digest = create_hash(algorithm)
    end = offset_bytes + size_bytes
    for offset in range(offset_bytes, end, _READ_BACK_BYTES):
        wanted_bytes = min(_READ_BACK_BYTES, end - offset)
        part = yield from get_range(key, offset, wanted_bytes, object_bytes=object_bytes)
        digest.update(part)
    return digest.digest()


def _whole_request(key: str, what: str, max_bytes: int = _MAX_WHOLE_BYTES) -> S3Request:
    return S3Request(
        "GET", key, what, max_body_bytes=max_bytes, total_timeout_seconds=timeout_for(max_bytes)
    )


def _check_content(response: Response, what: str) -> None:
    """Raise IntegrityError where the bytes do not match the SHA-256 in their metadata, if any."""
    require_etag(response, what)
    recorded = response.headers.get(SHA256_HEADER)
    if recorded is not None and recorded != sha256(response.body).hex():
        message = f"{what}: the bytes received do not match their checksum"
        raise IntegrityError(message, retryable=True)
