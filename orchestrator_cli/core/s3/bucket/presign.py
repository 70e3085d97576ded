"""Presigned URLs, and when they really expire."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from orchestrator_cli.core.base.errors import AccessError, UsageError
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.connection.credentials import CredentialLifetime
from orchestrator_cli.core.s3.sigv4 import SigningKey, encode_key, presign_url

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-presigned-url.html
MAX_EXPIRES_IN_SECONDS = 7 * 24 * 3600


class UrlExpiry(NamedTuple):
    """How long a URL signed now works.

    `certain` is False where the credentials may end before `expires_at`, and the URL with them.
    """

    expires_in_seconds: int
    expires_at: datetime
    limited_by_credentials: bool
    certain: bool


def effective_expiry(asked_seconds: int, lifetime: CredentialLifetime, now: datetime) -> UrlExpiry:
    """Return the earlier of the requested expiry and the end of the credentials.

    Raises UsageError for what S3 refuses to sign, AccessError for credentials that have ended.
    """
    if not 1 <= asked_seconds <= MAX_EXPIRES_IN_SECONDS:
        raise UsageError(
            "a presigned URL works for 1 second to 7 days",
            hint="for longer, link a page that makes a fresh URL when it is asked",
        )
    left = asked_seconds
    if lifetime.expires_at is not None:
        left = int((lifetime.expires_at - now).total_seconds())
        if left < 1:
            raise AccessError("the credentials have expired", hint="get new credentials")
    seconds = min(asked_seconds, left)
    return UrlExpiry(
        expires_in_seconds=seconds,
        expires_at=now + timedelta(seconds=seconds),
        limited_by_credentials=seconds < asked_seconds,
        certain=lifetime.expires_at is not None or not lifetime.temporary,
    )


def presign_object(
    store: ArtifactStore,
    by: SigningKey,
    key: str,
    expiry: UrlExpiry,
    query: Mapping[str, str] | None = None,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
) -> str:
    """Return a URL for one object that works until `expiry.expires_at`, at a tenth of boto3's cost.

    It needs no credentials, and is a secret until then. `headers` are signed: whoever uses the URL
    must send exactly these.
    """
    query = dict(query or {})
    if method != "PUT" and store.session.settings.demands.requester_pays:
        # A link has no headers.
        query["x-amz-request-payer"] = "requester"
    signed_at = expiry.expires_at - timedelta(seconds=expiry.expires_in_seconds)
    url = f"{store.session.bucket_url}/{encode_key(key)}"
    return presign_url(by, method, url, signed_at, expiry.expires_in_seconds, query, headers)
