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
from orchestrator_cli.core.s3.operations.object_head import (
    SHA256_HEADER,
    parse_age_seconds,
    parse_object_head,
)
from orchestrator_cli.core.s3.operations.request import (
    SMALL_RESPONSE_SECONDS,
    Operation,
    S3Request,
    Sink,
    fetch,
    require_etag,
    timeout_for,
)
from orchestrator_cli.core.s3.types import ObjectMetadata

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")
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
        yield _range_request(key, what, 0, 1)
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
        request = _range_request(key, what, 0, max_bytes + 1)

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
    what = f"read of {printable(key)}"

    def parse(response: Response) -> tuple[ObjectMetadata, memoryview]:
        total = _check_range(response, what, 0, size_bytes, len(response.body))
        return parse_object_head(key, response, total), memoryview(response.body)

    return (yield from fetch(_range_request(key, what, 0, size_bytes), parse))


def get_range(
    key: str, offset_bytes: int, size_bytes: int, buffer: bytearray | None = None
) -> Operation[memoryview]:
    """Read a range of an object, as a view of `buffer` if given; shorter where the object ends."""
    what = f"read of {printable(key)}"
    view = memoryview(bytearray(size_bytes) if buffer is None else buffer)[:size_bytes]
    received = 0

    def open_sink() -> Sink:
        nonlocal received
        received = 0
        return take

    def take(data: bytes) -> None:
        # Called for each 16 KiB.
        nonlocal received
        begin = received
        received += len(data)
        if received > size_bytes:
            raise _ignores_ranges(what)
        view[begin:received] = data

    request = _range_request(key, what, offset_bytes, size_bytes)
    request.open_sink = open_sink
    request.check = lambda response: _check_range(
        response, what, offset_bytes, size_bytes, received
    )
    yield request
    return view[:received]


def hash_stored_range(
    key: str, algorithm: str, offset_bytes: int, size_bytes: int
) -> Operation[bytes]:
    """Read a range of an object back and return its binary digest."""
    digest = create_hash(algorithm)
    end = offset_bytes + size_bytes
    for offset in range(offset_bytes, end, _READ_BACK_BYTES):
        digest.update((yield from get_range(key, offset, min(_READ_BACK_BYTES, end - offset))))
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


def _range_request(key: str, what: str, offset_bytes: int, size_bytes: int) -> S3Request:
    return S3Request(
        "GET",
        key,
        what,
        headers={"range": f"bytes={offset_bytes}-{offset_bytes + size_bytes - 1}"},
        total_timeout_seconds=timeout_for(size_bytes),
    )


def _check_range(
    response: Response, what: str, offset_bytes: int, size_bytes: int, received_bytes: int
) -> int:
    """Return an object's size once a partial response is whole.

    Some servers and proxies send less than was asked for and say so in the headers only; a caller
    that took it for the end of the object would be wrong without notice.
    """
    require_etag(response, what)
    # Some servers send the range with status 200.
    match = _CONTENT_RANGE.fullmatch(response.header("content-range"))
    if match is None or int(match[1]) != offset_bytes:
        raise _ignores_ranges(what)
    total_bytes = int(match[3])
    wanted_bytes = min(offset_bytes + size_bytes, total_bytes) - offset_bytes
    if received_bytes != wanted_bytes or int(match[2]) != offset_bytes + wanted_bytes - 1:
        message = f"{what}: {received_bytes} bytes came where {wanted_bytes} were asked for"
        raise IntegrityError(message, hint="run the same command again", retryable=True)
    return total_bytes


def _ignores_ranges(what: str) -> OrchestratorError:
    return OrchestratorError(f"{what}: the server ignores byte ranges")
