"""Read the objects of one bucket: head, get, range and list."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

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
from orchestrator_cli.core.rest import RestAnswer, XmlElement
from orchestrator_cli.core.retry import RetryPolicy
from orchestrator_cli.core.s3errors import translate

if TYPE_CHECKING:
    from orchestrator_cli.core.s3 import S3Clients

# Up to here importing and starting urllib3 takes longer than it saves.
_OBSTORE_RANGE_BYTES = 1024 * 1024
_METADATA_HEADER = "x-amz-meta-"
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
        what = f"look-up of {printable(key)}"

        def request() -> RestAnswer:
            with self._explained(key):
                return self.clients.rest.send(
                    "HEAD", key, what, headers={"x-amz-checksum-mode": "ENABLED"}
                )

        answer = self.retry.call(request, what)
        restore = answer.header("x-amz-restore")
        return ObjectHead(
            key=key,
            size_bytes=int(answer.header("Content-Length", "0")),
            etag=answer.header("ETag").strip('"'),
            content_type=answer.header("Content-Type", "application/octet-stream"),
            last_modified=_http_date(answer.header("Last-Modified")),
            metadata=_user_metadata(answer.headers),
            checksum=parse_s3_checksum(answer.header("x-amz-checksum-sha256")),
            storage_class=answer.header("x-amz-storage-class", "STANDARD"),
            restore=restore or None,
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

    def get_verified(self, key: str) -> memoryview | None:
        """Return a small object whose bytes match the SHA-256 recorded with it.

        None where none is recorded, or it is of other bytes, and a closer look has to tell.
        Raises NotFoundError.
        """
        import obstore

        def request() -> memoryview | None:
            answer = obstore.get(self.clients.objects, key)
            content = memoryview(answer.bytes())
            attributes = {name.lower(): value for name, value in answer.attributes.items()}
            recorded = attributes.get(SHA256_METADATA)
            return content if recorded == sha256(content).hex() else None

        return self.retry.call(request, f"read of {printable(key)}")

    def read_range(self, key: str, offset_bytes: int, size_bytes: int) -> memoryview:
        """Return a range of an object; shorter where the object ends.

        A large one goes over few system calls: obstore wakes a thread for every 16 KiB.
        """
        small = size_bytes <= _OBSTORE_RANGE_BYTES
        read = (
            self._range_with_obstore if small and self._partial_answers else self._range_over_rest
        )
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
        return self._range_over_rest(key, offset_bytes, size_bytes)

    def _range_over_rest(self, key: str, offset_bytes: int, size_bytes: int) -> memoryview:
        wanted = f"bytes={offset_bytes}-{offset_bytes + size_bytes - 1}"
        what = f"read of {printable(key)}"
        answer = self.clients.rest.send("GET", key, what, headers={"range": wanted})
        if not answer.header("Content-Range").startswith(f"bytes {offset_bytes}-"):
            raise OrchestratorError(f"{what}: the server ignores byte ranges")
        return memoryview(answer.body)

    def open_stored(self, key: str) -> ReadsAt:
        """Return a stored object as something that reads at an offset."""
        return _StoredObject(self, key)

    def list_objects(
        self, prefix: str, start_after: str = "", with_restore: bool = False
    ) -> Iterator[ListedObject]:
        """Yield the objects under a prefix in key order, foreign keys included.

        `with_restore` asks for the state of restores too, which only some servers list.
        """
        asked = {"x-amz-optional-object-attributes": "RestoreStatus"} if with_restore else {}
        for page in self._pages({"prefix": prefix, "start-after": start_after}, asked):
            decode = name_decoder(page)
            for item in page.children("Contents"):
                yield ListedObject(
                    key=decode(item.text("Key")),
                    size_bytes=int(item.text("Size", "0")),
                    etag=item.text("ETag").strip('"'),
                    last_modified=datetime.fromisoformat(item.text("LastModified")),
                    storage_class=item.text("StorageClass") or "STANDARD",
                    restore=_listed_restore(item.child("RestoreStatus")),
                )

    def list_prefixes(self, prefix: str, start_after: str = "") -> Iterator[str]:
        """Yield the prefixes one level down, in order; one request per thousand."""
        query = {"prefix": prefix, "start-after": start_after, "delimiter": "/"}
        for page in self._pages(query, {}):
            decode = name_decoder(page)
            for item in page.children("CommonPrefixes"):
                yield decode(item.text("Prefix"))

    def _pages(self, query: dict[str, str], headers: dict[str, str]) -> Iterator[XmlElement]:
        """Yield the pages of a listing, in which XML cannot spoil a key: they come encoded."""
        what = f"listing of s3://{self.bucket}/{printable(query['prefix'])}"
        asked = {name: text for name, text in query.items() if text}
        asked |= {"list-type": "2", "encoding-type": "url"}
        while True:
            page = self.retry.call(
                lambda: self.clients.rest.ask(
                    "GET", "", what, "ListBucket", query=asked, headers=headers
                ),
                what,
            )
            yield page
            if not page.flag("IsTruncated"):
                return
            token = page.text("NextContinuationToken")
            if token in ("", asked.get("continuation-token")):
                # It would be the same page for ever.
                raise OrchestratorError(f"{what}: the server does not say how it goes on")
            asked["continuation-token"] = token


def _http_date(text: str) -> datetime:
    from email.utils import parsedate_to_datetime

    return parsedate_to_datetime(text)


def name_decoder(page: XmlElement) -> Callable[[str], str]:
    """Return what decodes the names of a page; not every server encodes them when asked."""
    return unquote_plus if page.text("EncodingType").lower() == "url" else str


def _user_metadata(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the user metadata; servers differ in the case of its names, and HTTP has none."""
    named = {name.lower(): text for name, text in headers.items()}
    return {
        name.removeprefix(_METADATA_HEADER): text
        for name, text in named.items()
        if name.startswith(_METADATA_HEADER)
    }


def _listed_restore(status: XmlElement | None) -> RestoreState | None:
    if status is None:
        return None
    told = status.text("RestoreExpiryDate")
    ongoing = status.flag("IsRestoreInProgress")
    # Once a copy has expired, AWS may go on listing an empty state.
    if not ongoing and not told:
        return None
    return RestoreState(ongoing, datetime.fromisoformat(told) if told else None)


class _StoredObject:
    """A stored object that is read at offsets."""

    def __init__(self, store: ObjectReader, key: str) -> None:
        self._store = store
        self._key = key

    def read_at(self, offset_bytes: int, size_bytes: int) -> bytes:
        """Return up to `size_bytes` bytes from an offset."""
        return bytes(self._store.read_range(self._key, offset_bytes, size_bytes))
