"""Signature version 4 in the query of a URL: what a presigned URL is, without boto3's cost.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from urllib.parse import quote, urlsplit

_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """Who signs, and for which region. `session_token` is None for credentials that last."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None
    region: str


def presign_url(
    key: SigningKey,
    method: str,
    url: str,
    signed_at: datetime,
    expires_in_seconds: int,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> str:
    """Return a URL whose query carries a signature.

    `url` has its path encoded already and no query. `headers`, names in lower case, must be sent
    exactly so by whoever uses the URL. `signed_at` is in UTC.
    """
    parts = urlsplit(url)
    stamp = signed_at.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{key.region}/s3/aws4_request"
    signed = {"host": parts.netloc, **(headers or {})}
    names = ";".join(sorted(signed))
    fields = {
        **(query or {}),
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{key.access_key_id}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(expires_in_seconds),
        "X-Amz-SignedHeaders": names,
    }
    if key.session_token:
        fields["X-Amz-Security-Token"] = key.session_token
    pairs = sorted((_quoted(name), _quoted(text)) for name, text in fields.items())
    encoded = "&".join(f"{name}={text}" for name, text in pairs)
    lines = "".join(f"{name}:{signed[name].strip()}\n" for name in sorted(signed))
    request = "\n".join((method, parts.path, encoded, lines, names, "UNSIGNED-PAYLOAD"))
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = "\n".join((_ALGORITHM, stamp, scope, digest))
    signature = hmac.new(_derived(key, stamp[:8]), text.encode(), hashlib.sha256).hexdigest()
    return f"{url}?{encoded}&X-Amz-Signature={signature}"


def _quoted(text: str) -> str:
    return quote(text, safe="-_.~")


@lru_cache(maxsize=4)
def _derived(key: SigningKey, day: str) -> bytes:
    derived = b"AWS4" + key.secret_access_key.encode()
    for step in (day, key.region, "s3", "aws4_request"):
        derived = hmac.new(derived, step.encode(), hashlib.sha256).digest()
    return derived
