"""The operations that list a bucket: objects, prefixes, versions."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple
from urllib.parse import unquote_plus

from orchestrator_cli.core.base.errors import AccessError, suppress_unless_fatal
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.s3.compare import check_listed_size
from orchestrator_cli.core.s3.error_codes import NotS3Error, unexpected_response
from orchestrator_cli.core.s3.operations.request import SMALL_RESPONSE_SECONDS, Operation, S3Request
from orchestrator_cli.core.s3.operations.xml_document import (
    MAX_DOCUMENT_BYTES,
    XmlElement,
    fetch_document,
)
from orchestrator_cli.core.s3.types import ObjectMetadata, ObjectSummary, RestoreState

# How many keys S3 lists in one response.
PAGE_KEYS = 1000
# S3 may return empty pages while it skips many deleted keys.
_MAX_EMPTY_PAGES = 100
_LISTING_HINT = "check the endpoint, and whether its server lists keys as S3 does"


class ListQuery(NamedTuple):
    """What to list. `location` is for messages only.

    `page_size` is how many keys one page has at most; None: 1,000. `with_restore` asks for the
    state of restores too, which only some servers list.
    """

    prefix: str
    start_after: str = ""
    delimiter: str = ""
    page_size: int | None = None
    with_restore: bool = False
    location: str = ""

    @property
    def what(self) -> str:
        """The name of the listing in errors."""
        origin = f"{self.location}/" if self.location else ""
        return f"listing of {origin}{printable(self.prefix)}"


class ListPage(NamedTuple):
    """One page of a listing, in key order. `next_token` is None on the last one."""

    objects: list[ObjectSummary]
    prefixes: list[str]
    next_token: str | None

    @property
    def names(self) -> list[str]:
        """The keys and the prefixes."""
        return [*(item.key for item in self.objects), *self.prefixes]


def list_objects(query: ListQuery, token: str | None = None) -> Operation[ListPage]:
    """List one page; `token` is where the page before it ended."""
    fields = {
        # XML cannot carry every key: they come encoded.
        "encoding-type": "url",
        "list-type": "2",
        "prefix": query.prefix,
        "start-after": query.start_after,
        "delimiter": query.delimiter,
        "max-keys": str(query.page_size) if query.page_size else "",
        "continuation-token": token or "",
    }
    asked = {"x-amz-optional-object-attributes": "RestoreStatus"} if query.with_restore else {}
    request = document_request("", query.what, {n: text for n, text in fields.items() if text})
    request.headers = asked
    return fetch_document(request, "ListBucket", lambda page: _parse_page(page, query, token))


def confirm_listed_size(head: ObjectMetadata) -> Operation[None]:
    """Raise IntegrityError where the listing has an object of another size than its look-up.

    Who may not list has to do without.
    """
    page = ListPage([], [], None)
    with suppress_unless_fatal(AccessError):
        page = yield from list_objects(ListQuery(head.key, page_size=1))
    for listed in page.objects:
        if listed.key == head.key:
            check_listed_size(head, listed.size_bytes)


class ListingProgress:
    """Raises UnavailableError for pages that are no continuation of each other, as S3's are."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._last_name = ""
        self._empty_pages = 0

    def check(self, names: list[str]) -> None:
        """Take the names of the next page, which come after those of all pages before."""
        self._empty_pages = 0 if names else self._empty_pages + 1
        if self._empty_pages > _MAX_EMPTY_PAGES:
            raise unexpected_response(self._what)
        if names and min(names) <= self._last_name:
            raise unordered_listing(self._what)
        self._last_name = max(names, default=self._last_name)


def document_request(key: str, what: str, query: dict[str, str]) -> S3Request:
    """Return a request whose response is a document."""
    return S3Request(
        "GET",
        key,
        what,
        query=query,
        max_body_bytes=MAX_DOCUMENT_BYTES,
        total_timeout_seconds=SMALL_RESPONSE_SECONDS,
    )


def name_decoder(page: XmlElement) -> Callable[[str], str]:
    """Return the decoder of a page's names; not every server encodes them on request."""
    return unquote_plus if page.text("EncodingType").lower() == "url" else str


def _parse_page(page: XmlElement, query: ListQuery, token: str | None) -> ListPage:
    decode = name_decoder(page)
    objects = [_parse_object(item, decode) for item in page.children("Contents")]
    prefixes = [decode(item.required("Prefix")) for item in page.children("CommonPrefixes")]
    following = page.text("NextContinuationToken") if page.flag("IsTruncated") else None
    listed = ListPage(objects, prefixes, following)
    if not all(name.startswith(query.prefix) for name in listed.names):
        raise page.unexpected()
    if not (_ascends([item.key for item in objects]) and _ascends(prefixes)):
        raise unordered_listing(query.what)
    if following is not None and following in ("", token):
        raise endless_listing(query.what)
    return listed


def _ascends(names: list[str]) -> bool:
    # Code points have the order of their bytes in UTF-8, which is S3's.
    return all(name < following for name, following in pairwise(names))


def unordered_listing(what: str) -> NotS3Error:
    """Return the error for a listing that repeats a key or has them in another order than S3.

    Files would be counted twice, or be missed where two listings are merged.
    """
    message = f"{what}: what answered is not S3: the keys are not in its order, or come twice"
    return NotS3Error(message, hint=_LISTING_HINT, retryable=True)


def endless_listing(what: str) -> NotS3Error:
    """Return the error for a listing whose next page would be the same one for ever."""
    message = f"{what}: what answered is not S3: the server does not say how the listing goes on"
    return NotS3Error(message, hint=_LISTING_HINT, retryable=True)


def _parse_object(item: XmlElement, decode: Callable[[str], str]) -> ObjectSummary:
    texts = item.texts()
    key = texts.get("Key")
    if not key:
        raise item.unexpected()
    return ObjectSummary(
        key=decode(key),
        size_bytes=item.number(texts.get("Size", "0")),
        etag=texts.get("ETag", "").strip('"'),
        last_modified=item.instant(texts.get("LastModified", "")),
        storage_class=texts.get("StorageClass") or "STANDARD",
        restore=_parse_restore(item) if "RestoreStatus" in texts else None,
    )


def _parse_restore(item: XmlElement) -> RestoreState | None:
    status = item.child("RestoreStatus")
    if status is None:
        return None
    expires_at = status.text("RestoreExpiryDate")
    ongoing = status.flag("IsRestoreInProgress")
    # Once a copy has expired, AWS may go on listing an empty state.
    if not ongoing and not expires_at:
        return None
    return RestoreState(ongoing, status.instant(expires_at) if expires_at else None)


def list_live_versions(key: str) -> Operation[list[str]]:
    """List the ids of a key's versions since it was last deleted, the newest first."""
    what = f"listing of the versions of {printable(key)}"
    query = {"versions": "", "prefix": key, "encoding-type": "url"}
    request = document_request("", what, query)
    return fetch_document(request, "ListVersions", lambda page: _parse_versions(page, key))


def _parse_versions(page: XmlElement, key: str) -> list[str]:
    decode = name_decoder(page)

    def of_key(name: str) -> list[XmlElement]:
        return [one for one in page.children(name) if decode(one.required("Key")) == key]

    deletions = [one.instant(one.text("LastModified")) for one in of_key("DeleteMarker")]
    return [
        one.required("VersionId")
        for one in of_key("Version")
        if not deletions or one.instant(one.text("LastModified")) > max(deletions)
    ]
