"""Receipts that prove that a client has written the version of an object that it wants deleted.

A receipt is a secret that comes with a presigned PUT. The object that the PUT makes has the hash of
it, and not the receipt itself: anybody who may read an object sees its metadata.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from datetime import datetime, timedelta

from orchestrator_cli.core.base.errors import OrchestratorError, UsageError, suppress_unless_fatal
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.checksum import sha256
from orchestrator_cli.core.s3.operations.object_head import parse_object_head
from orchestrator_cli.core.s3.operations.request import S3Request, fetch
from orchestrator_cli.core.s3.operations.xml_document import fetch_document

_METADATA = "receipt-sha256"
# A PUT that began while its URL worked has ended by then.
_GOOD_FOR = timedelta(days=1)
# Somebody may turn versioning on while the server runs.
_VERSIONING_KNOWN_FOR = timedelta(minutes=5)


class VersionReceipts:
    """Checks receipts in one bucket. Safe to share between threads."""

    def __init__(self, store: ArtifactStore, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now
        self._known: tuple[datetime, bool] | None = None

    def are_needed(self) -> bool:
        """Return whether two PUTs at the same moment may both be stored, as two versions."""
        if self._store.session.is_aws:
            return False
        known = self._known
        if known is None or self._now() - known[0] > _VERSIONING_KNOWN_FOR:
            known = self._known = (self._now(), self._is_versioned())
        return known[1]

    def headers(self, receipt: str) -> dict[str, str]:
        """Return the headers of a PUT by which its version is recognised."""
        return {f"x-amz-meta-{_METADATA}": _hash(receipt)}

    def check(self, key: str, version_id: str, receipt: str) -> None:
        """Raise UsageError unless this version was written with the receipt, not long ago."""
        what = f"look-up of a version of {printable(key)}"
        request = S3Request("HEAD", key, what, query={"versionId": version_id})
        look_up = fetch(request, lambda response: parse_object_head(key, response, 0))
        head = self._store.run(look_up)
        recorded = head.metadata.get(_METADATA, "")
        is_recent = self._now() - head.last_modified < _GOOD_FOR
        if not is_recent or not hmac.compare_digest(recorded.encode(), _hash(receipt).encode()):
            raise UsageError(f"{printable(key)}: the receipt is not that of this version")

    def _is_versioned(self) -> bool:
        request = S3Request("GET", "", "look-up of the bucket's versioning", {"versioning": ""})
        # Servers differ in the name of the root.
        status = fetch_document(request, "", lambda document: document.text("Status"))
        with suppress_unless_fatal(OrchestratorError):
            return self._store.run(status) == "Enabled"
        # It costs one more header to be on the safe side.
        return True


def _hash(receipt: str) -> str:
    return sha256(receipt.encode()).hex()
