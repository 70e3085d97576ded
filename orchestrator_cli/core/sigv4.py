"""Signature version 4, in the query of a URL or in headers, without boto3's cost.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
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
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
_PORTS = {"http": 80, "https": 443}


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
    stamp = _stamp(signed_at)
    host, path = _split(url)
    signed = {"host": host, **(headers or {})}
    fields = {
        **(query or {}),
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{key.access_key_id}/{_scope(key, stamp)}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(expires_in_seconds),
        "X-Amz-SignedHeaders": ";".join(sorted(signed)),
    }
    if key.session_token:
        fields["X-Amz-Security-Token"] = key.session_token
    encoded = encode_query(fields)
    signature = _signature(key, stamp, (method, path, encoded), signed, UNSIGNED_PAYLOAD)
    return f"{url}?{encoded}&X-Amz-Signature={signature}"


def sign_headers(
    key: SigningKey,
    method: str,
    url: str,
    signed_at: datetime,
    headers: Mapping[str, str],
    payload_sha256: str,
) -> dict[str, str]:
    """Return the headers with those that sign a request, its headers and its body.

    `url` is encoded already; a query in it must be of `encode_query`. The names of `headers` are
    in lower case. `payload_sha256` is hex, or UNSIGNED_PAYLOAD.
    """
    stamp = _stamp(signed_at)
    bare, _, query = url.partition("?")
    signed = {**headers, "x-amz-content-sha256": payload_sha256, "x-amz-date": stamp}
    if key.session_token:
        signed["x-amz-security-token"] = key.session_token
    host, path = _split(bare)
    named = {"host": host, **signed}
    names = ";".join(sorted(named))
    signature = _signature(key, stamp, (method, path, query), named, payload_sha256)
    signed["authorization"] = (
        f"{_ALGORITHM} Credential={key.access_key_id}/{_scope(key, stamp)}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return signed


def encode_key(key: str) -> str:
    """Return a key as a path in a URL: S3 signs every byte but those that need no encoding."""
    return quote(key, safe="/-_.~")


def encode_query(fields: Mapping[str, str]) -> str:
    """Return a query string in the order and encoding in which it is signed."""
    return _encoded(tuple(fields.items()))


# The URLs of one answer differ in their paths only.
@lru_cache(maxsize=64)
def _encoded(fields: tuple[tuple[str, str], ...]) -> str:
    pairs = sorted((_quoted(name), _quoted(text)) for name, text in fields)
    return "&".join(f"{name}={text}" for name, text in pairs)


def host_header(url: str) -> str:
    """Return the Host header that HTTP clients send: without the port that goes without saying."""
    return _split(url)[0]


def _signature(
    key: SigningKey,
    stamp: str,
    asked: tuple[str, str, str],
    headers: Mapping[str, str],
    payload_sha256: str,
) -> str:
    """Sign a request. `asked` is its method, path and query, as they are sent."""
    names = sorted(headers)
    lines = "".join([f"{name}:{_trimmed(headers[name])}\n" for name in names])
    request = "\n".join((*asked, lines, ";".join(names), payload_sha256))
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = "\n".join((_ALGORITHM, stamp, _scope(key, stamp), digest))
    return hmac.digest(_derived(key, stamp[:8]), text.encode(), "sha256").hex()


def _trimmed(text: str) -> str:
    return " ".join(text.split()) if " " in text or "\t" in text else text


def _split(url: str) -> tuple[str, str]:
    """Return a URL's Host header and its path. A bucket addressed in the host has no path."""
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return _host(scheme, authority), slash + path or "/"


# A command has few hosts.
@lru_cache(maxsize=16)
def _host(scheme: str, authority: str) -> str:
    parts = urlsplit(f"{scheme}://{authority}")
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return host if parts.port in (None, _PORTS.get(scheme)) else f"{host}:{parts.port}"


def _stamp(signed_at: datetime) -> str:
    # strftime() takes five times as long, and this is done for every request.
    day = signed_at.year * 10000 + signed_at.month * 100 + signed_at.day
    return f"{day:08}T{signed_at.hour:02}{signed_at.minute:02}{signed_at.second:02}Z"


def _scope(key: SigningKey, stamp: str) -> str:
    return f"{stamp[:8]}/{key.region}/s3/aws4_request"


def _quoted(text: str) -> str:
    return quote(text, safe="-_.~")


@lru_cache(maxsize=4)
def _derived(key: SigningKey, day: str) -> bytes:
    derived = b"AWS4" + key.secret_access_key.encode()
    for step in (day, key.region, "s3", "aws4_request"):
        derived = hmac.digest(derived, step.encode(), "sha256")
    return derived
