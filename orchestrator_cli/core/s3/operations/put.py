"""The operations that write objects whole: create-only put and compare-and-swap."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol, TypeVar

from orchestrator_cli.core.base.errors import ConflictError, IntegrityError, UnsupportedError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.http.transport import Response
from orchestrator_cli.core.s3.checksum import (
    BytesReader,
    RandomAccessReader,
    hash_range,
    md5,
    parse_etag,
    sha256,
    to_base64,
)
from orchestrator_cli.core.s3.compare import SHA256_METADATA, StoredChecksum, matches_stored
from orchestrator_cli.core.s3.operations.listing import confirm_listed_size
from orchestrator_cli.core.s3.operations.read import get_object, hash_stored_range, head_for_compare
from orchestrator_cli.core.s3.operations.request import (
    Operation,
    S3Request,
    SignedBody,
    require_etag,
)
from orchestrator_cli.core.s3.operations.version_conflict import delete_if_not_oldest_version
from orchestrator_cli.core.s3.types import Checksum, ObjectMetadata, PutOutcome

T = TypeVar("T")

# Sending this little is cheaper than a look-up at AWS.
_SMALL_BODY_BYTES = 64 * 1024
# Computing the MD5 of this little is cheaper than a look-up. Other ETags decide nothing.
MD5_PAYS_BYTES = 64 * 1024
_CREATE_ATTEMPTS = 5


class _Endpoint(Protocol):
    @property
    def is_aws(self) -> bool:
        """Whether this is AWS itself, whose guarantees are known."""
        ...


class ServerTraits:
    """What is known about the server, and learnt from its responses.

    `checks_sha256`: whether it verifies a body's SHA-256 on arrival; None until a response has
    told. `swaps_atomically`: whether an update can be made to depend on the ETag that was read.
    `creates_atomically` and `completes_atomically`: whether it implements `If-None-Match` on
    PutObject and on CompleteMultipartUpload. Where it does not, the key is looked at right before.
    """

    def __init__(self, endpoint: _Endpoint) -> None:
        self.endpoint = endpoint
        self.checks_sha256: bool | None = None
        self.swaps_atomically = True
        self.creates_atomically = True
        self.completes_atomically = True

    @property
    def is_aws(self) -> bool:
        """Whether this is AWS itself, whose guarantees are known."""
        return self.endpoint.is_aws

    @property
    def verifies_sha256(self) -> bool:
        """Whether it is known to verify SHA-256 on arrival; else Content-MD5 goes along."""
        return self.is_aws or self.checks_sha256 is True


def put_if_absent(
    server: ServerTraits, key: str, data: bytes, content_type: str, listed_etag: str | None = None
) -> Operation[tuple[PutOutcome, Checksum]]:
    """Write an object only if the key is free, in one PutObject.

    Returns the outcome, never raises ConflictError for it, and the whole-object SHA-256.
    `listed_etag` is what a listing or a look-up said of the key: empty where it is free, None where
    nobody looked.
    """
    digest = sha256(data)
    checksum = Checksum("sha256", digest.hex())
    if listed_etag and len(data) <= MD5_PAYS_BYTES and listed_etag == md5(data).hex():
        return PutOutcome.IDENTICAL, checksum
    known = StoredChecksum(checksum)
    compare = partial(compare_object, key, BytesReader(data), len(data), known)
    if _should_head_first(server, listed_etag, len(data)):
        existing = yield from compare()
        if existing is not None:
            return existing, checksum

    def create() -> Operation[PutOutcome]:
        yield from put_object_if_absent(server, key, data, content_type, digest)
        return PutOutcome.CREATED

    outcome = yield from create_or_find(f"upload of {printable(key)}", create, compare)
    return outcome, checksum


def create_or_find(
    what: str, create: Callable[[], Operation[T]], find: Callable[[], Operation[T | None]]
) -> Operation[T]:
    """Create an object, or find the one that has its key; return what either does.

    `create` raises ConflictError where the key is taken; `find` returns None where it is free.
    """
    for _ in range(_CREATE_ATTEMPTS):
        try:
            return (yield from create())
        except ConflictError:
            # Either somebody was first, or it is our own write whose response was lost.
            found = yield from find()
        if found is not None:
            return found
    raise ConflictError(f"{what}: the key appears and disappears")


def _should_head_first(server: ServerTraits, listed_etag: str | None, size_bytes: int) -> bool:
    """Return True where a HEAD should come first, because it may save sending the body.

    It must come first on servers that may ignore `If-None-Match`, unless the key was just listed.
    """
    if not server.creates_atomically:
        return True
    if listed_etag is not None:
        return bool(listed_etag)
    return not server.is_aws or size_bytes > _SMALL_BODY_BYTES


def compare_object(
    key: str, source: RandomAccessReader, size_bytes: int, known: StoredChecksum | None = None
) -> Operation[PutOutcome | None]:
    """Compare local bytes with a stored object; None where there is no object.

    `known` is a checksum of the local bytes that is there already. Raises IntegrityError where the
    look-up and the listing disagree on the object's size.
    """
    head = yield from head_for_compare(key)
    if head is None:
        return None
    same = yield from has_content(head, source, size_bytes, known)
    if head.size_bytes != size_bytes:
        # Something on the way may have changed the length in the look-up.
        yield from confirm_listed_size(head)
    return PutOutcome.IDENTICAL if same else PutOutcome.CONFLICT


def has_content(
    head: ObjectMetadata,
    source: RandomAccessReader,
    size_bytes: int,
    known: StoredChecksum | None = None,
) -> Operation[bool]:
    """Return True if a stored object holds exactly these bytes.

    Where S3 holds no checksum that can be recomputed, the object is read back.
    """
    same = matches_stored(source, size_bytes, head, known)
    if same is None:
        local = hash_range(source, "sha256", 0, size_bytes)
        same = local == (
            yield from hash_stored_range(head.key, "sha256", 0, size_bytes, size_bytes)
        )
    return same


def put_object_if_absent(
    server: ServerTraits,
    key: str,
    data: bytes,
    content_type: str,
    digest: bytes,
    metadata: Mapping[str, str] | None = None,
) -> Operation[str]:
    """Send one create-only PutObject and return the ETag, quotes included.

    `metadata` is user metadata besides the SHA-256.
    Raises ConflictError where the key is taken, and where the server does not implement the
    condition, so that the key has to be looked at before it is sent again without.
    """
    condition = {"if-none-match": "*"} if server.creates_atomically else {}
    request = _put_request(server, key, data, content_type, digest, condition, metadata)
    try:
        response: Response = yield request
    except UnsupportedError as error:
        if not condition:
            raise
        server.creates_atomically = False
        raise ConflictError(f"{request.what}: only a look-up tells if the key is free") from error
    echoed = response.header("x-amz-checksum-sha256") == to_base64(digest)
    server.checks_sha256 = echoed
    etag = response.header("etag")
    if echoed or server.is_aws:
        return etag
    # Sending it again would only meet what was stored.
    verify_etag(etag.strip('"'), md5(data), request.what, retryable=False)
    version_id = response.header("x-amz-version-id", "null")
    if version_id != "null" and (yield from delete_if_not_oldest_version(key, version_id)):
        raise ConflictError(f"{request.what}: somebody else was first")
    return etag


def compare_and_swap(
    server: ServerTraits, key: str, data: bytes, etag: str, content_type: str
) -> Operation[str]:
    """Replace an object only if it still has this ETag; return its new one. Raises ConflictError.

    Where the server refuses every condition, the object is looked at right before instead, and
    `server.swaps_atomically` is False from then on.
    """
    what = f"update of {printable(key)}"
    digest = sha256(data)
    # Ceph compares the header with the bare ETag; in a versioned bucket with nothing, in vain.
    conditions: tuple[dict[str, str], ...] = (
        {"if-match": etag},
        {"if-match": etag.strip('"')},
        {},
    )
    for condition in conditions:
        try:
            response = yield _put_request(server, key, data, content_type, digest, condition)
        except (ConflictError, UnsupportedError) as error:
            if not condition:
                raise
            # Only a refusal, of an object that has not changed, tells that the condition was
            # the reason; another write under way does not.
            if server.is_aws or error.retryable or (yield from get_object(key)).etag != etag:
                raise
        else:
            server.swaps_atomically = server.swaps_atomically and bool(condition)
            if response.header("x-amz-checksum-sha256") == to_base64(digest):
                # The parts of large files, which are sent next, need no MD5 then.
                server.checks_sha256 = True
            return str(response.header("etag"))
    raise ConflictError(f"{what}: the server refuses it whatever the object is")


def _put_request(
    server: ServerTraits,
    key: str,
    data: bytes,
    content_type: str,
    digest: bytes,
    condition: Mapping[str, str],
    metadata: Mapping[str, str] | None = None,
) -> S3Request:
    what = f"{'upload' if 'if-none-match' in condition else 'update'} of {printable(key)}"
    headers = {
        **condition,
        **{f"x-amz-meta-{name}": text for name, text in (metadata or {}).items()},
        "content-type": content_type,
        "x-amz-checksum-sha256": to_base64(digest),
        f"x-amz-meta-{SHA256_METADATA}": digest.hex(),
    }
    if not server.verifies_sha256:
        # Verified by every server known, also by those that ignore the SHA-256.
        headers["content-md5"] = to_base64(md5(data))

    def check(response: Response) -> None:
        require_etag(response, what)

    body = SignedBody(data, len(data), digest.hex())
    return S3Request("PUT", key, what, headers=headers, body=body, check=check)


def verify_etag(etag: str, digest: bytes | None, what: str, *, retryable: bool) -> None:
    """Raise IntegrityError where a response's ETag is the MD5 of other bytes than were sent.

    For servers that verify no checksum on arrival. An ETag that is no MD5 says nothing.
    """
    arrived = parse_etag(etag)
    if digest is None or arrived is None or arrived.part_count is not None:
        return
    if arrived.hex_digest != digest.hex():
        raise IntegrityError(
            f"{what}: the bytes that arrived do not match their checksum", retryable=retryable
        )
