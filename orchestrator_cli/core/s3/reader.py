"""Read the objects of one bucket: head, get, range and list."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote_plus

from orchestrator_cli.core.base.ahead import map_in_order
from orchestrator_cli.core.base.errors import (
    AccessError,
    IntegrityError,
    NotFoundError,
    OrchestratorError,
)
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.s3.checksum import RandomAccessReader, sha256
from orchestrator_cli.core.s3.compare import SHA256_METADATA
from orchestrator_cli.core.s3.object_head import SHA256_HEADER, parse_head
from orchestrator_cli.core.s3.request import XmlElement, unexpected_response
from orchestrator_cli.core.s3.retry import RetryPolicy
from orchestrator_cli.core.s3.types import ObjectMetadata, ObjectSummary, RestoreState

if TYPE_CHECKING:
    from orchestrator_cli.core.s3.session import S3Session

Item = TypeVar("Item")
Found = TypeVar("Found")

_CONTENT_RANGE = re.compile(r"bytes 0-\d+/(\d+)")
# What is left of an error code where the answer has no body.
_UNEXPLAINED_CODES = frozenset({"", "400", "403"})


@dataclass(frozen=True, slots=True)
class ObjectContent:
    """The content of an object with the ETag it had, quotes included as S3 sent them."""

    content: bytes
    etag: str


class ObjectReader:
    """The objects of one bucket, for reading. Safe to share between threads.

    Every method raises the library's exceptions; requests that can pass are sent again.
    """

    def __init__(self, clients: S3Session) -> None:
        self.clients = clients
        self.bucket = clients.bucket
        self.retry: RetryPolicy = clients.retry

    def map_in_order(self, work: Callable[[Item], Found], items: Iterable[Item]) -> Iterator[Found]:
        """Yield the answers of work on items in order; as many ahead as help."""
        most = self.clients.settings.concurrency
        return map_in_order(work, items, most, answer_seconds=self.answer_seconds)

    def answer_seconds(self) -> float | None:
        """Return how long the quickest answer has taken so far; None before the first."""
        return self.clients.http.answer_seconds

    def head(self, key: str) -> ObjectMetadata:
        """Return an object's head, S3's own checksum included. Raises NotFoundError."""
        return self._head(key, {"x-amz-checksum-mode": "ENABLED"})

    def head_with_checksum(self, key: str) -> ObjectMetadata | None:
        """Return a head that says how to recompute the checksum, or None where there is no object.

        An object of one PutObject carries its SHA-256 in its user metadata; S3's own checksums
        come only where they are asked for.
        """
        try:
            head = self.glance(key)
            return head if SHA256_METADATA in head.metadata else self.head(key)
        except NotFoundError:
            return None

    def glance(self, key: str) -> ObjectMetadata:
        """Return a head without S3's own checksum. Raises NotFoundError."""
        return self._head(key, {})

    def size_of(self, key: str) -> int:
        """Return an object's size in bytes. Raises NotFoundError."""
        return self.glance(key).size_bytes

    def exists(self, key: str) -> bool:
        """Say whether there is such an object."""
        try:
            self.glance(key)
        except NotFoundError:
            return False
        return True

    def _head(self, key: str, headers: Mapping[str, str]) -> ObjectMetadata:
        what = f"look-up of {printable(key)}"

        def request() -> ObjectMetadata:
            with self._explained(key):
                answer = self.clients.rest.send("HEAD", key, what, headers=headers)
            size = answer.header("content-length")
            if not size.isdecimal():
                raise unexpected_response(what)
            return parse_head(key, answer, int(size))

        return self.retry.call(request, what)

    def begin(self, key: str, size_bytes: int) -> tuple[ObjectMetadata, memoryview]:
        """Return an object's head and its first bytes, in one request. Raises NotFoundError."""
        what = f"read of {printable(key)}"
        wanted = {"range": f"bytes=0-{size_bytes - 1}"}
        try:
            answer = self.retry.call(
                lambda: self.clients.rest.send("GET", key, what, headers=wanted), what
            )
        except OrchestratorError as error:
            if error.code != "InvalidRange":
                raise
            # It is empty.
            return self.glance(key), memoryview(b"")
        total = _CONTENT_RANGE.fullmatch(answer.header("content-range"))
        if total is None:
            raise OrchestratorError(f"{what}: the server ignores byte ranges")
        return parse_head(key, answer, int(total[1])), memoryview(answer.body)

    @contextlib.contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        """Say why a look-up was refused: its answer has no body, that of a read has."""
        try:
            yield
        except AccessError as refused:
            if refused.code not in _UNEXPLAINED_CODES:
                raise
            what = f"look-up of {printable(key)}"
            try:
                self.clients.rest.send("GET", key, what, headers={"range": "bytes=0-0"})
            except OrchestratorError as error:
                # Of an empty object there is no such range.
                if error.code != "InvalidRange":
                    raise
            # It may be read: another thread has refreshed what had expired.
            refused.retryable = True
            raise

    def get(self, key: str) -> ObjectContent:
        """Return a small object whole. Raises NotFoundError, IntegrityError."""
        what = f"read of {printable(key)}"

        def request() -> ObjectContent:
            answer = self.clients.rest.send("GET", key, what)
            recorded = answer.headers.get(SHA256_HEADER)
            # What is read here may be changed and written back.
            if recorded is not None and recorded != sha256(answer.body).hex():
                message = f"{what}: the bytes received do not match their checksum"
                raise IntegrityError(message, retryable=True)
            return ObjectContent(bytes(answer.body), answer.header("etag"))

        return self.retry.call(request, what)

    def get_verified(self, key: str) -> memoryview | None:
        """Return a small object whose bytes match the SHA-256 recorded with it.

        None where none is recorded, or it is of other bytes, and a closer look has to tell.
        Raises NotFoundError.
        """
        what = f"read of {printable(key)}"
        answer = self.retry.call(lambda: self.clients.rest.send("GET", key, what), what)
        recorded = answer.headers.get(SHA256_HEADER)
        return memoryview(answer.body) if recorded == sha256(answer.body).hex() else None

    def read_range(
        self, key: str, offset_bytes: int, size_bytes: int, into: bytearray | None = None
    ) -> memoryview:
        """Return a range of an object, maybe as a view of `into`; shorter where the object ends."""
        what = f"read of {printable(key)}"
        wanted = {"range": f"bytes={offset_bytes}-{offset_bytes + size_bytes - 1}"}
        answer = self.retry.call(
            lambda: self.clients.rest.send("GET", key, what, headers=wanted, into=into), what
        )
        # Some servers send the range with status 200.
        if not answer.header("content-range").startswith(f"bytes {offset_bytes}-"):
            raise OrchestratorError(f"{what}: the server ignores byte ranges")
        return memoryview(answer.body)

    def open_stored(self, key: str) -> RandomAccessReader:
        """Return a stored object as something that reads at an offset."""
        return _StoredObject(self, key)

    def list_objects(
        self,
        prefix: str,
        start_after: str = "",
        with_restore: bool = False,
        at_once: int | None = None,
    ) -> Iterator[ObjectSummary]:
        """Yield the objects under a prefix in key order, foreign keys included.

        `with_restore` asks for the state of restores too, which only some servers list. `at_once`
        is how many one request asks for, where who takes them may need no more; else 1,000.
        """
        asked = {"x-amz-optional-object-attributes": "RestoreStatus"} if with_restore else {}
        query = {"prefix": prefix, "start-after": start_after}
        query |= {"max-keys": str(at_once)} if at_once else {}
        for page in self._pages(query, asked):
            decode = name_decoder(page)
            for item in page.children("Contents"):
                told = item.texts()
                yield ObjectSummary(
                    key=decode(told["Key"]),
                    size_bytes=int(told.get("Size", "0")),
                    etag=told.get("ETag", "").strip('"'),
                    last_modified=datetime.fromisoformat(told["LastModified"]),
                    storage_class=told.get("StorageClass") or "STANDARD",
                    restore=_listed_restore(item) if "RestoreStatus" in told else None,
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


def name_decoder(page: XmlElement) -> Callable[[str], str]:
    """Return what decodes the names of a page; not every server encodes them when asked."""
    return unquote_plus if page.text("EncodingType").lower() == "url" else str


def _listed_restore(item: XmlElement) -> RestoreState | None:
    status = item.child("RestoreStatus")
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
