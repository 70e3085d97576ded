"""Settings of a bucket, such as its lifecycle rules, through boto3's client."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from orchestrator_cli.core.base.errors import UnsupportedError
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore

_ELEMENT = re.compile(rb"<(?:\w+:)?([A-Za-z]\w*)")


class BucketSetting(NamedTuple):
    """boto3's parsed response, and the names of all XML elements, of which boto3 may drop some."""

    response: dict[str, Any]
    elements: frozenset[str]


def call_boto(store: ArtifactStore, operation: str, what: str = "", **parameters: Any) -> Any:
    """Send a request of boto3's client about the bucket, by the retry policy.

    Raises the library's exceptions.
    """
    request = getattr(store.session.boto, operation)
    return store.retry.call(
        lambda: request(Bucket=store.bucket, **parameters), what or operation.replace("_", " ")
    )


def read_setting(store: ArtifactStore, operation: str, root: str, what: str = "") -> BucketSetting:
    """Send a request of boto3's client and return the setting whose XML begins with `root`.

    A server that does not know a setting may answer with a listing of the bucket, in which boto3
    finds no setting and no fault. Raises UnsupportedError then.
    """
    client = store.session.boto
    what = what or operation.replace("_", " ")
    found: list[str] = []

    def note_elements(response_dict: dict[str, Any], **_: Any) -> None:
        if response_dict.get("status_code") == 200:
            body = response_dict.get("body", b"")
            found[:] = [name.decode() for name in _ELEMENT.findall(body)]

    name = client.meta.method_to_api_mapping[operation]
    event = f"before-parse.s3.{name}"
    client.meta.events.register(event, note_elements)
    try:
        response = call_boto(store, operation, what)
    finally:
        client.meta.events.unregister(event, note_elements)
    # Some servers name the root after the operation.
    if found and found[0] not in (root, f"{name}Response", f"{name}Result", f"{name}Output"):
        raise UnsupportedError(f"{what}: the server has no such setting")
    return BucketSetting(response, frozenset(found))
