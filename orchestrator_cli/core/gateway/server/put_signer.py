"""Presigned PUT requests that store exactly what was offered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from orchestrator_cli.core.executions.keys import artifact_key
from orchestrator_cli.core.executions.placement import storage_path_for
from orchestrator_cli.core.gateway.messages.uploads import SignedPut
from orchestrator_cli.core.s3.bucket.presign import UrlExpiry, effective_expiry, presign_object
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.checksum import to_base64


@dataclass
class PutSigner:
    """Signs PUT requests into one bucket. Safe to share between threads."""

    store: ArtifactStore
    now: Callable[[], datetime]
    expires_in_seconds: int

    def expiry(self) -> UrlExpiry:
        """Return until when a URL signed now works."""
        lifetime = self.store.session.credential_lifetime()
        return effective_expiry(self.expires_in_seconds, lifetime, self.now())

    def sign(
        self,
        key: str,
        expiry: UrlExpiry,
        headers: dict[str, str],
        query: Mapping[str, str] | None = None,
    ) -> SignedPut:
        """Return a request that is refused unless it is sent with exactly these headers.

        What the bucket demands of a request is among them.
        """
        demanded = self.store.session.settings.demands.headers("PUT", key, query or {})
        headers = {**headers, **demanded}
        by = self.store.session.signing_key()
        url = presign_object(self.store, by, key, expiry, query, "PUT", headers)
        return SignedPut(url=url, headers=headers)


def body_headers(size_bytes: int, sha256: str, md5: str | None) -> dict[str, str]:
    """Return the headers that bind a body to its size and checksums, given in hexadecimal."""
    headers = {
        "content-length": str(size_bytes),
        "x-amz-checksum-sha256": to_base64(bytes.fromhex(sha256)),
    }
    return headers | ({"content-md5": to_base64(bytes.fromhex(md5))} if md5 is not None else {})


def storage_place(execution_id: str, relative: str) -> tuple[str, str]:
    """Return path and key of a file. Raises UsageError for what can be stored nowhere."""
    path = storage_path_for(relative)
    return path, artifact_key(execution_id, path)
