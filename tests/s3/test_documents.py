"""What a hostile server, or none of S3, sends as a document is refused at once and in few words."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_cli.core.base.errors import ConflictError, OrchestratorError, UnavailableError
from orchestrator_cli.core.s3.operations.listing import (
    ListingProgress,
    ListPage,
    ListQuery,
    list_live_versions,
    list_objects,
)
from orchestrator_cli.core.s3.operations.multipart import complete_multipart_upload
from orchestrator_cli.core.s3.operations.multipart_listing import list_multipart_uploads, list_parts
from orchestrator_cli.core.s3.operations.put import ServerTraits
from orchestrator_cli.core.s3.operations.request import Operation
from tests.support.servers.canned import answer, canned

PREFIX = "executions/01J00000000000000000000000/"
CONTENT = {
    "Key": f"{PREFIX}logs/stdout.log",
    "LastModified": "2026-02-02T10:00:00.000Z",
    "Size": "5",
    "ETag": "&quot;e&quot;",
}


class Endpoint:
    is_aws = False


def elements(fields: dict[str, str]) -> str:
    return "".join(f"<{name}>{text}</{name}>" for name, text in fields.items())


def listing(contents: dict[str, str], rest: str = "") -> str:
    return f"<ListBucketResult><Contents>{elements(contents)}</Contents>{rest}</ListBucketResult>"


def ask(operation: Operation[Any], body: str | bytes) -> Any:
    return canned([answer(body)])[0].run(operation)


def page(body: str | bytes) -> ListPage:
    return ask(list_objects(ListQuery(PREFIX)), body)  # type: ignore[no-any-return]


def test_a_listing_is_understood() -> None:
    (item,) = page(listing(CONTENT)).objects
    assert (item.key, item.size_bytes, item.etag) == (CONTENT["Key"], 5, "e")
    assert item.last_modified == datetime(2026, 2, 2, 10, tzinfo=UTC)


def test_a_date_without_a_zone_is_utc() -> None:
    (item,) = page(listing(CONTENT | {"LastModified": "2026-02-02T10:00:00"})).objects
    assert item.last_modified.tzinfo is UTC


BAD_CONTENTS = {
    "no key": {"Key": ""},
    "another execution's key": {"Key": "executions/01J00000000000000000000009/logs/a"},
    "a size below zero": {"Size": "-1"},
    "a size of 5,000 digits": {"Size": "9" * 5000},
    "a size in other digits": {"Size": "²"},
    "a size that is none": {"Size": "many"},
    "a bad date": {"LastModified": "yesterday"},
    "a long date": {"LastModified": "2" * 100_000},
    "no date": {"LastModified": ""},
    "a year that is none": {"LastModified": "99999-01-01T00:00:00Z"},
}


@pytest.mark.parametrize("changed", BAD_CONTENTS.values(), ids=list(BAD_CONTENTS))
def test_a_listing_that_no_s3_sends_is_none(changed: dict[str, str]) -> None:
    with pytest.raises(UnavailableError, match="what answered is not S3"):
        page(listing(CONTENT | changed))


DEEP = 1_000_000
BAD_DOCUMENTS: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "a page": lambda: b"<html><body>Log in<br></body></html>",
    "another document": lambda: b"<ListPartsResult/>",
    "cut short": lambda: listing(CONTENT).encode()[:-5],
    "a million levels": lambda: b"<a>" * DEEP + b"</a>" * DEEP,
    "a million levels in place": lambda: (
        b"<ListBucketResult>" + b"<a>" * DEEP + b"</a>" * DEEP + b"</ListBucketResult>"
    ),
    "entities": lambda: (
        b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">'
        + b"".join(
            b'<!ENTITY %c "%s">' % (name, b"&%c;" % (name - 1) * 10) for name in b"bcdefghij"
        )
        + b"]><ListBucketResult><Name>&j;</Name></ListBucketResult>"
    ),
    "not UTF-8": lambda: b"<ListBucketResult><Name>\xff</Name></ListBucketResult>",
    "an encoding that is none": lambda: b"<?xml version='1.0' encoding='x-none'?><a/>",
}


@pytest.mark.parametrize("make", BAD_DOCUMENTS.values(), ids=list(BAD_DOCUMENTS))
def test_a_document_that_no_s3_sends_is_refused_in_no_time(make: Callable[[], bytes]) -> None:
    body = make()
    began = time.process_time()
    with pytest.raises(UnavailableError, match="what answered is not S3"):
        page(body)
    assert time.process_time() - began < 2


OPERATIONS: dict[str, Callable[[], Operation[Any]]] = {
    "objects": lambda: list_objects(ListQuery(PREFIX)),
    "versions": lambda: list_live_versions("k"),
    "uploads": lambda: list_multipart_uploads(ServerTraits(Endpoint()), PREFIX),
    "parts": lambda: list_parts("k", "u"),
}
ROOTS = [
    *("ListBucketResult", "ListVersionsResult", "ListMultipartUploadsResult"),
    *("ListPartsResult", "Error"),
]
NAMES = [
    *("Contents", "Key", "Size", "LastModified", "IsTruncated", "NextContinuationToken", "Part"),
    *("PartNumber", "NextPartNumberMarker", "Upload", "UploadId", "Initiated", "Version", "Code"),
    *("VersionId", "DeleteMarker", "NextKeyMarker", "EncodingType", "CommonPrefixes", "Prefix"),
]
TEXTS = st.sampled_from(["", "true", "url", "1", "-1", "9" * 30, "k", PREFIX, "%ff", "2026-01-01"])
TREES = st.recursive(
    TEXTS,
    lambda inner: st.lists(st.tuples(st.sampled_from(NAMES), inner), max_size=6).map(
        lambda children: "".join(f"<{name}>{text}</{name}>" for name, text in children)
    ),
    max_leaves=20,
)


@given(st.sampled_from(sorted(OPERATIONS)), st.sampled_from(ROOTS), TREES)
def test_whatever_a_document_holds_it_is_understood_or_an_error_of_ours(
    name: str, root: str, inner: str
) -> None:
    client, transport = canned([answer(f"<{root}>{inner}</{root}>")])
    with contextlib.suppress(OrchestratorError):
        client.run(OPERATIONS[name]())
    # A listing that goes on for ever is noticed.
    assert len(transport.requests) < 10


def test_a_listing_that_goes_on_where_it_was_is_refused() -> None:
    again = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
    client, _ = canned([answer(listing(CONTENT, again))])
    with pytest.raises(UnavailableError, match="does not say how the listing goes on"):
        client.run(list_objects(ListQuery(PREFIX), "t"))


# By code units, as some languages compare, the face would come first.
@pytest.mark.parametrize("names", [("b", "a"), ("a", "a"), ("\U0001f600", "\uffee")])
def test_names_that_do_not_ascend_are_no_listing(names: tuple[str, str]) -> None:
    """A file would be counted twice, or missed where two listings are merged."""
    objects = "".join(
        f"<Contents>{elements(CONTENT | {'Key': PREFIX + name})}</Contents>" for name in names
    )
    prefixes = "".join(
        f"<CommonPrefixes>{elements({'Prefix': f'{PREFIX}{name}/'})}</CommonPrefixes>"
        for name in names
    )
    for inner in (objects, prefixes):
        with pytest.raises(UnavailableError, match="the keys are not in its order, or come twice"):
            page(f"<ListBucketResult>{inner}</ListBucketResult>")
    progress = ListingProgress("listing of k")
    progress.check([names[0], f"{names[0]}/"])
    with pytest.raises(UnavailableError, match="the keys are not in its order, or come twice"):
        progress.check([names[1], "\U0010ffff"])


def test_pages_without_end_are_noticed() -> None:
    progress = ListingProgress("listing of k")
    progress.check(["a", "b"])
    for _ in range(100):
        progress.check([])
    progress.check(["c"])
    with pytest.raises(UnavailableError, match="what answered is not S3"):
        progress.check(["b", "c"])
    empty = ListingProgress("listing of k")
    for _ in range(100):
        empty.check([])
    with pytest.raises(UnavailableError, match="what answered is not S3"):
        empty.check([])


def test_an_error_in_place_of_a_document_is_raised() -> None:
    body = "<Error><Code>PreconditionFailed</Code></Error>"
    with pytest.raises(ConflictError):
        ask(complete_multipart_upload(ServerTraits(Endpoint()), "k", "u", [], 0), body)
