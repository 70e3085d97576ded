"""Read the objects of one bucket: head, get, range and list."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator_cli.core.compare import SHA256_METADATA
from orchestrator_cli.core.digest import ReadsAt, parse_s3_checksum, sha256
from orchestrator_cli.core.errors import (
    AccessError,
    IntegrityError,
    NotFoundError,
    OrchestratorError,
    printable,
)
from orchestrator_cli.core.models import ListedObject, ObjectHead, RestoreState
from orchestrator_cli.core.retry import RetryPolicy
from orchestrator_cli.core.s3errors import translate

if TYPE_CHECKING:
    from orchestrator_cli.core.s3 import S3Clients

# What is left of an error code where the answer has no body.
_UNEXPLAINED_CODES = frozenset({"", "400", "403"})


@dataclass(frozen=True, slots=True)
class StoredBytes:
    """The content of an object with the ETag it had, quotes included as S3 sent them."""

    content: bytes
    etag: str


class ObjectReader:
    """The objects of one bucket, for reading. Safe to share between threads.

    Every method raises the library's exceptions; requests that can pass are sent again.
    """

    def __init__(self, clients: S3Clients) -> None:
        self.clients = clients
        self.bucket = clients.bucket
        self.retry: RetryPolicy = clients.retry
        self._partial_answers = True

    def head(self, key: str) -> ObjectHead:
        """Return an object's head. Raises NotFoundError."""

        def request() -> Any:
            with self._explained(key):
                return self.clients.boto.head_object(
                    Bucket=self.bucket, Key=key, ChecksumMode="ENABLED"
                )

        answer = self.retry.call(request, f"look-up of {printable(key)}")
        return ObjectHead(
            key=key,
            size_bytes=answer["ContentLength"],
            etag=answer["ETag"].strip('"'),
            content_type=answer.get("ContentType", "application/octet-stream"),
            last_modified=answer["LastModified"],
            # Servers differ in the case of user metadata keys; HTTP has none.
            metadata={name.lower(): value for name, value in answer["Metadata"].items()},
            checksum=parse_s3_checksum(answer.get("ChecksumSHA256")),
            storage_class=answer.get("StorageClass", "STANDARD"),
            restore=answer.get("Restore"),
        )

    def head_with_checksum(self, key: str) -> ObjectHead | None:
        """Return a head that says how to recompute the checksum, or None where there is no object.

        An object of one PutObject carries its SHA-256 in its user metadata, which obstore reads
        at a sixth of boto3's cost; S3's own checksums only boto3 asks for.
        """
        try:
            head = self._quick_head(key)
            return head if SHA256_METADATA in head.metadata else self.head(key)
        except NotFoundError:
            return None

    def glance(self, key: str) -> ObjectHead:
        """Return a head without S3's own checksum, which needs no boto3. Raises NotFoundError."""
        return self._quick_head(key)

    def size_of(self, key: str) -> int:
        """Return an object's size in bytes. Raises NotFoundError."""
        return self._quick_head(key).size_bytes

    def exists(self, key: str) -> bool:
        """Say whether there is such an object."""
        try:
            self._quick_head(key)
        except NotFoundError:
            return False
        return True

    def _quick_head(self, key: str) -> ObjectHead:
        import obstore

        def request() -> Any:
            with self._explained(key):
                return obstore.get(self.clients.objects, key, options={"head": True})

        answer = self.retry.call(request, f"look-up of {printable(key)}")
        attributes = {name.lower(): value for name, value in answer.attributes.items()}
        return ObjectHead(
            key=key,
            size_bytes=answer.meta["size"],
            etag=(answer.meta["e_tag"] or "").strip('"'),
            content_type=attributes.get("content-type", "application/octet-stream"),
            last_modified=answer.meta["last_modified"],
            metadata=attributes,
        )

    @contextlib.contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        """Say why a look-up was refused: its answer has no body, that of a read has."""
        import obstore

        try:
            yield
        except Exception as error:
            refused = translate(error, f"look-up of {printable(key)}")
            if not isinstance(refused, AccessError) or refused.code not in _UNEXPLAINED_CODES:
                raise
            try:
                obstore.get_range(self.clients.objects, key, start=0, length=1)
            except Exception as reason:
                if isinstance(translate(reason, "look-up"), AccessError):
                    raise
            # It may be read: another thread has refreshed what had expired.
            refused.retryable = True
            raise refused from error

    def get(self, key: str) -> StoredBytes:
        """Return a small object whole. Raises NotFoundError, IntegrityError."""
        import obstore

        what = f"read of {printable(key)}"

        def request() -> StoredBytes:
            answer = obstore.get(self.clients.objects, key)
            content = bytes(answer.bytes())
            attributes = {name.lower(): value for name, value in answer.attributes.items()}
            recorded = attributes.get(SHA256_METADATA)
            # What is read here may be changed and written back.
            if recorded is not None and recorded != sha256(content).hex():
                message = f"{what}: the bytes received do not match their checksum"
                raise IntegrityError(message, retryable=True)
            return StoredBytes(content, answer.meta["e_tag"] or "")

        return self.retry.call(request, what)

    def read_range(self, key: str, offset_bytes: int, size_bytes: int) -> memoryview:
        """Return a range of an object; shorter where the object ends."""
        read = self._range_with_obstore if self._partial_answers else self._range_with_boto
        return self.retry.call(
            lambda: read(key, offset_bytes, size_bytes), f"read of {printable(key)}"
        )

    def _range_with_obstore(self, key: str, offset_bytes: int, size_bytes: int) -> memoryview:
        import obstore

        try:
            return memoryview(
                obstore.get_range(self.clients.objects, key, start=offset_bytes, length=size_bytes)
            )
        except obstore.exceptions.GenericError as error:
            # Some servers send the range with status 200, which obstore does not take.
            if "non-partial response" not in str(error):
                raise
        self._partial_answers = False
        return self._range_with_boto(key, offset_bytes, size_bytes)

    def _range_with_boto(self, key: str, offset_bytes: int, size_bytes: int) -> memoryview:
        wanted = f"bytes={offset_bytes}-{offset_bytes + size_bytes - 1}"
        answer = self.clients.boto.get_object(Bucket=self.bucket, Key=key, Range=wanted)
        if not answer.get("ContentRange", "").startswith(f"bytes {offset_bytes}-"):
            raise OrchestratorError(f"read of {printable(key)}: the server ignores byte ranges")
        return memoryview(answer["Body"].read())

    def open_stored(self, key: str) -> ReadsAt:
        """Return a stored object as something that reads at an offset."""
        return _StoredObject(self, key)

    def list_objects(
        self, prefix: str, start_after: str = "", with_restore: bool = False
    ) -> Iterator[ListedObject]:
        """Yield the objects under a prefix in key order, foreign keys included.

        `with_restore` asks for the state of restores too, which only some servers list.
        """
        query: dict[str, Any] = {"Prefix": prefix, "StartAfter": start_after}
        if with_restore:
            query["OptionalObjectAttributes"] = ["RestoreStatus"]
        for page in self._pages(**query):
            for item in page.get("Contents", []):
                yield ListedObject(
                    key=item["Key"],
                    size_bytes=item["Size"],
                    etag=item["ETag"].strip('"'),
                    last_modified=item["LastModified"],
                    storage_class=item.get("StorageClass", "STANDARD"),
                    restore=_listed_restore(item.get("RestoreStatus")),
                )

    def list_prefixes(self, prefix: str, start_after: str = "") -> Iterator[str]:
        """Yield the prefixes one level down, in order; one request per thousand."""
        for page in self._pages(Prefix=prefix, StartAfter=start_after, Delimiter="/"):
            for item in page.get("CommonPrefixes", []):
                yield item["Prefix"]

    def _pages(self, **query: Any) -> Iterator[Any]:
        token: dict[str, str] = {}
        while True:
            page = self.retry.call(
                lambda token=token: self.clients.boto.list_objects_v2(  # type: ignore[misc]
                    Bucket=self.bucket, **query, **token
                ),
                f"listing of s3://{self.bucket}/{printable(query['Prefix'])}",
            )
            yield page
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}


def _listed_restore(status: dict[str, Any] | None) -> RestoreState | None:
    if not status:
        return None
    expires_at = status.get("RestoreExpiryDate")
    ongoing = bool(status.get("IsRestoreInProgress"))
    # Once a copy has expired, AWS may go on listing an empty state.
    return RestoreState(ongoing, expires_at) if ongoing or expires_at else None


class _StoredObject:
    """A stored object that is read at offsets."""

    def __init__(self, store: ObjectReader, key: str) -> None:
        self._store = store
        self._key = key

    def read_at(self, offset_bytes: int, size_bytes: int) -> bytes:
        """Return up to `size_bytes` bytes from an offset."""
        return bytes(self._store.read_range(self._key, offset_bytes, size_bytes))
