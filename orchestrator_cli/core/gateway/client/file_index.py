"""The files of executions as an `orchestrator serve` lists them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from orchestrator_cli.core.base.errors import NotFoundError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.keys import METADATA_NAME, execution_prefix, key_execution_id
from orchestrator_cli.core.gateway.client.server_request import ServerRequest, ask
from orchestrator_cli.core.gateway.client.signed_urls import SignedUrl, SignedUrls
from orchestrator_cli.core.s3.bucket.reader import ObjectIndex
from orchestrator_cli.core.s3.compare import SCHEDULE_METADATA, SHA256_METADATA
from orchestrator_cli.core.s3.operations.listing import ListPage, ListQuery
from orchestrator_cli.core.s3.operations.request import Operation
from orchestrator_cli.core.s3.types import Checksum, ObjectMetadata, ObjectSummary, RestoreState


class FileIndex(ObjectIndex):
    """Heads and listings of one execution after the other; see `ObjectIndex`.

    The URLs that come along are kept in `urls`.
    """

    def __init__(self, location: str, urls: SignedUrls) -> None:
        super().__init__(location)
        self._urls = urls

    def head(self, key: str, *, with_checksum: bool = False) -> Operation[ObjectMetadata]:
        """Look an object up; S3's own checksum comes in any case. Raises NotFoundError."""
        execution_id, path = split_key(key)
        request = ServerRequest(
            f"/executions/{execution_id}/files/{quote(path)}", f"look-up of {printable(key)}"
        )
        return ask(request, lambda body: self._parse_object(key, body))

    def head_for_compare(self, key: str) -> Operation[ObjectMetadata | None]:
        """Look up what is needed to recompute a checksum; None where there is no object."""
        try:
            return (yield from self.head(key))
        except NotFoundError:
            return None

    def list_page(self, query: ListQuery, token: str | None = None) -> Operation[ListPage]:
        """List one page of an execution's files. Raises NotFoundError for no such execution."""
        execution_id, prefix = split_key(query.prefix)
        if query.start_after or query.delimiter:
            raise ValueError("a server lists the files of an execution from their beginning")
        asked = {
            "prefix": prefix,
            "cursor": token or "",
            "limit": str(query.page_size or ""),
        }
        fields = urlencode({name: text for name, text in asked.items() if text})
        request = ServerRequest(f"/executions/{execution_id}/artifacts?{fields}", query.what)
        return ask(request, lambda body: self._parse_page(execution_id, body))

    def _parse_page(self, execution_id: str, body: Mapping[str, Any]) -> ListPage:
        prefix = execution_prefix(execution_id)
        objects = []
        for one in body["artifacts"]:
            key = prefix + str(one["path"])
            objects.append(_parse_file(key, one))
            self._keep_url(key, one["url"], body["expiry_certain"])
        record = body["record"]
        if record is not None:
            objects.append(_parse_file(prefix + METADATA_NAME, record))
        return ListPage(objects, [], body["next_cursor"])

    def _parse_object(self, key: str, body: Mapping[str, Any]) -> ObjectMetadata:
        self._keep_url(key, body["url"], body["expiry_certain"])
        listed = _parse_file(key, body)
        metadata = {SHA256_METADATA: body["sha256"], SCHEDULE_METADATA: body["part_schedule"]}
        return ObjectMetadata(
            key=key,
            size_bytes=listed.size_bytes,
            etag=listed.etag,
            content_type=str(body["content_type"]),
            last_modified=listed.last_modified,
            metadata={name: str(text) for name, text in metadata.items() if text is not None},
            checksum=Checksum.parse(body["checksum"]) if body["checksum"] else None,
            storage_class=listed.storage_class,
        )

    def _keep_url(self, key: str, url: str | None, is_certain: bool) -> None:
        # There is none of an archived file.
        if url is not None:
            self._urls.put(key, SignedUrl.of(url, is_certain=is_certain))


def split_key(key: str) -> tuple[str, str]:
    """Return the execution id of a key or prefix, and what follows. Raises ValueError."""
    execution_id = key_execution_id(key)
    if execution_id is None:
        raise ValueError(f"not a key of an execution: {key!r}")
    return execution_id, key.removeprefix(execution_prefix(execution_id))


def _parse_file(key: str, body: Mapping[str, Any]) -> ObjectSummary:
    restore = body.get("restore")
    return ObjectSummary(
        key=key,
        size_bytes=int(body["size_bytes"]),
        etag=str(body["etag"]),
        last_modified=_instant(body["last_modified"]),
        storage_class=str(body.get("storage_class", "STANDARD")),
        restore=restore
        and RestoreState(
            bool(restore["ongoing"]), restore["expires_at"] and _instant(restore["expires_at"])
        ),
    )


def _instant(text: Any) -> datetime:
    return datetime.fromisoformat(str(text))
