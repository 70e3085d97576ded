"""ArtifactStore: create-only put and compare-and-swap, over the reading of `objects`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from orchestrator_cli.core.base.errors import ConflictError, IntegrityError
from orchestrator_cli.core.base.rate_limiter import RateLimiter, ThrottledReader
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.s3.checksum import (
    BytesReader,
    RandomAccessReader,
    md5,
    parse_etag,
    sha256,
    to_base64,
)
from orchestrator_cli.core.s3.compare import SHA256_METADATA, StoredChecksum, content_equals
from orchestrator_cli.core.s3.reader import ObjectReader
from orchestrator_cli.core.s3.request import S3Response, SignedBody, require_etag
from orchestrator_cli.core.s3.types import Checksum, PutOutcome
from orchestrator_cli.core.s3.versions import delete_if_not_oldest_version

if TYPE_CHECKING:
    from orchestrator_cli.core.s3.session import S3Session

# Sending so little is cheaper than asking AWS first whether it has it.
_SMALL_BODY_BYTES = 64 * 1024
# The MD5 of so little takes less than a look-up. An ETag that is none decides nothing.
MD5_PAYS_BYTES = 64 * 1024
_CREATE_ATTEMPTS = 5


class ArtifactStore(ObjectReader):
    """The objects of one bucket. Safe to share between threads.

    Every method raises the library's exceptions; requests that can pass are sent again.
    """

    def __init__(self, clients: S3Session, pace: RateLimiter | None = None) -> None:
        super().__init__(clients)
        self.pace = pace
        # Whether the server verifies x-amz-checksum-sha256; None until an answer has told.
        self._checks_sha256: bool | None = None
        # Whether an update can be made to depend on the ETag that was read.
        self.swaps_atomically = True

    def create(
        self, key: str, data: bytes, content_type: str, listed_etag: str | None = None
    ) -> tuple[PutOutcome, Checksum]:
        """Write an object only if the key is free, in one PutObject.

        Returns the outcome, never raises ConflictError for it, and the whole-object SHA-256.
        `listed_etag` is what a listing said of the key: empty where it is free, None where nobody
        looked.
        """
        digest = sha256(data)
        checksum = Checksum("sha256", digest.hex())
        if listed_etag and len(data) <= MD5_PAYS_BYTES and listed_etag == md5(data).hex():
            return PutOutcome.IDENTICAL, checksum
        if self._looks_first(listed_etag, len(data)):
            existing = self.compare(key, BytesReader(data), len(data), StoredChecksum(checksum))
            if existing is not None:
                return existing, checksum
        return self._create(key, data, content_type, digest), checksum

    def _looks_first(self, listed_etag: str | None, size_bytes: int) -> bool:
        """Say whether to look before writing: where a body would be sent for nothing.

        And on servers that may ignore `If-None-Match`, unless a listing has just told.
        """
        if listed_etag is not None:
            return bool(listed_etag)
        return not self.clients.is_aws or size_bytes > _SMALL_BODY_BYTES

    def _create(self, key: str, data: bytes, content_type: str, digest: bytes) -> PutOutcome:
        checksum = StoredChecksum(Checksum("sha256", digest.hex()))
        for _ in range(_CREATE_ATTEMPTS):
            try:
                self._put_new(key, data, content_type, digest)
                return PutOutcome.CREATED
            except ConflictError:
                # Either somebody was first, or it is our own write whose answer was lost.
                outcome = self.compare(key, BytesReader(data), len(data), checksum)
                if outcome is not None:
                    return outcome
        raise ConflictError(f"upload of {printable(key)}: the key appears and disappears")

    def compare(
        self,
        key: str,
        source: RandomAccessReader,
        size_bytes: int,
        known: StoredChecksum | None = None,
    ) -> PutOutcome | None:
        """Compare local bytes with a stored object; None where there is no object."""
        head = self.head_with_checksum(key)
        if head is None:
            return None
        same = content_equals(source, size_bytes, head, lambda: self.open_stored(key), known)
        return PutOutcome.IDENTICAL if same else PutOutcome.CONFLICT

    def replace(self, key: str, data: bytes, etag: str, content_type: str) -> None:
        """Replace an object only if it still has this ETag. Raises ConflictError.

        Where the server refuses every condition, the object is looked at right before instead, and
        `swaps_atomically` is False from then on.
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
            put = partial(self._put, key, data, content_type, digest, condition)
            try:
                self.retry.call(put, what)
            except ConflictError as error:
                # Only a refusal, of an object that has not changed, tells that the condition was
                # the reason; another write under way does not.
                if self.clients.is_aws or error.retryable or self.get(key).etag != etag:
                    raise
            else:
                self.swaps_atomically = self.swaps_atomically and bool(condition)
                return
        raise ConflictError(f"{what}: the server refuses it whatever the object is")

    def _put_new(self, key: str, data: bytes, content_type: str, digest: bytes) -> None:
        put = partial(self._put, key, data, content_type, digest, {"if-none-match": "*"})
        answer = self.retry.call(put, f"upload of {printable(key)}")
        echoed = answer.header("x-amz-checksum-sha256") == to_base64(digest)
        self.learn_checksum_support(echoed)
        if not echoed and not self.clients.is_aws:
            self._check_unverified(key, data, answer)

    def _check_unverified(self, key: str, data: bytes, answer: S3Response) -> None:
        """Find out what a server did that said nothing of our checksum."""
        what = f"upload of {printable(key)}"
        # Sending it again would only meet what was stored.
        verify_etag(answer.header("etag").strip('"'), md5(data), what, False)
        version_id = answer.header("x-amz-version-id", "null")
        if version_id != "null" and delete_if_not_oldest_version(self.clients, key, version_id):
            raise ConflictError(f"{what}: somebody else was first")

    @property
    def verified_by_server(self) -> bool:
        """Whether the server is known to verify SHA-256 on arrival; else Content-MD5 goes along."""
        return self.clients.is_aws or self._checks_sha256 is True

    def learn_checksum_support(self, echoed: bool) -> None:
        """Note whether an answer repeated our SHA-256: a server that does has computed it."""
        self._checks_sha256 = echoed

    def _put(
        self,
        key: str,
        data: bytes,
        content_type: str,
        digest: bytes,
        condition: Mapping[str, str],
    ) -> S3Response:
        headers = {
            **condition,
            "content-type": content_type,
            "x-amz-checksum-sha256": to_base64(digest),
            f"x-amz-meta-{SHA256_METADATA}": digest.hex(),
        }
        if not self.verified_by_server:
            # Verified by every server known, also by those that ignore the SHA-256.
            headers["content-md5"] = to_base64(md5(data))
        body = ThrottledReader(data, self.pace) if self.pace else data
        payload = SignedBody(body, len(data), digest.hex())
        what = f"upload of {printable(key)}"
        answer = self.clients.rest.send("PUT", key, what, headers=headers, payload=payload)
        require_etag(answer, what)
        return answer


def verify_etag(etag: str, digest: bytes | None, what: str, retryable: bool) -> None:
    """Raise IntegrityError where an answer's ETag is the MD5 of other bytes than were sent.

    For servers that verify no checksum on arrival. An ETag that is no MD5 says nothing.
    """
    arrived = parse_etag(etag)
    if digest is None or arrived is None or arrived.part_count is not None:
        return
    if arrived.hex_digest != digest.hex():
        raise IntegrityError(
            f"{what}: the bytes that arrived do not match their checksum", retryable=retryable
        )
