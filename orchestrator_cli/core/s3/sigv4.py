"""Signature version 4, in the query of a URL or in headers, without boto3's cost.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote

from orchestrator_cli.core.http.url import host_of, split_origin

_ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"


class SigningKey(NamedTuple):
    """Who signs, for which region and service. `session_token` is None for keys that last."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None
    region: str
    service: str = "s3"


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
    origin, path = split_origin(url)
    common = _common_to_urls(
        key,
        method,
        origin,
        signed_at,
        expires_in_seconds,
        tuple((query or {}).items()),
        tuple((headers or {}).items()),
    )
    return f"{url}?{common.query}&X-Amz-Signature={common.sign(path)}"


# The URLs of one response differ in their paths only.
@lru_cache(maxsize=64)
def _common_to_urls(
    key: SigningKey,
    method: str,
    origin: str,
    signed_at: datetime,
    expires_in_seconds: int,
    query: tuple[tuple[str, str], ...],
    headers: tuple[tuple[str, str], ...],
) -> _Request:
    stamp = _stamp(signed_at)
    signed = {"host": host_of(origin), **dict(headers)}
    fields = {
        **dict(query),
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{key.access_key_id}/{_scope(key, stamp)}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(expires_in_seconds),
        "X-Amz-SignedHeaders": ";".join(sorted(signed)),
    }
    if key.session_token:
        fields["X-Amz-Security-Token"] = key.session_token
    return _request(key, stamp, method, encode_query(fields), signed, UNSIGNED_PAYLOAD)


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
    origin, path = split_origin(bare)
    named = {"host": host_of(origin), **signed}
    request = _request(key, stamp, method, query, named, payload_sha256)
    signed["authorization"] = (
        f"{_ALGORITHM} Credential={key.access_key_id}/{_scope(key, stamp)}, "
        f"SignedHeaders={request.names}, Signature={request.sign(path)}"
    )
    return signed


def encode_key(key: str) -> str:
    """Return a key as a path in a URL: S3 signs every byte but those that need no encoding."""
    return quote(key, safe="/-_.~")


def encode_query(fields: Mapping[str, str]) -> str:
    """Return a query string in the order and encoding in which it is signed."""
    return _encoded(tuple(fields.items()))


# The URLs by which the files of one upload are sent differ in their headers, not in their queries.
@lru_cache(maxsize=64)
def _encoded(fields: tuple[tuple[str, str], ...]) -> str:
    pairs = sorted((_quoted(name), _quoted(text)) for name, text in fields)
    return "&".join(f"{name}={text}" for name, text in pairs)


class _Request(NamedTuple):
    """A request to be signed, whatever its path is."""

    method: str
    query: str
    names: str
    after_query: str
    before_digest: str
    derived_key: bytes

    def sign(self, path: str) -> str:
        """Return the signature for a path; a bucket that is addressed in the host has none."""
        request = f"{self.method}\n{path or '/'}\n{self.query}\n{self.after_query}"
        text = self.before_digest + hashlib.sha256(request.encode()).hexdigest()
        # hmac.digest() would set up the key for each URL.
        signature = _keyed(self.derived_key).copy()
        signature.update(text.encode())
        return signature.hexdigest()


def _request(
    key: SigningKey,
    stamp: str,
    method: str,
    query: str,
    headers: Mapping[str, str],
    payload_sha256: str,
) -> _Request:
    ordered = sorted(headers)
    lines = [f"{name}:{_trimmed(headers[name])}\n" for name in ordered]
    names = ";".join(ordered)
    return _Request(
        method,
        query,
        names,
        after_query=f"{''.join(lines)}\n{names}\n{payload_sha256}",
        before_digest=f"{_ALGORITHM}\n{stamp}\n{_scope(key, stamp)}\n",
        derived_key=_derived(key, stamp[:8]),
    )


def _trimmed(text: str) -> str:
    return " ".join(text.split()) if " " in text or "\t" in text else text


def _stamp(signed_at: datetime) -> str:
    return _stamp_of_second(signed_at.replace(microsecond=0))


# Many requests are signed in one second.
@lru_cache(maxsize=4)
def _stamp_of_second(second: datetime) -> str:
    return second.strftime("%Y%m%dT%H%M%SZ")


def _scope(key: SigningKey, stamp: str) -> str:
    return f"{stamp[:8]}/{key.region}/{key.service}/aws4_request"


def _quoted(text: str) -> str:
    return quote(text, safe="-_.~")


@lru_cache(maxsize=4)
def _derived(key: SigningKey, day: str) -> bytes:
    derived = b"AWS4" + key.secret_access_key.encode()
    for step in (day, key.region, key.service, "aws4_request"):
        derived = hmac.new(derived, step.encode(), hashlib.sha256).digest()
    return derived


@lru_cache(maxsize=4)
def _keyed(key: bytes) -> hmac.HMAC:
    return hmac.new(key, digestmod=hashlib.sha256)
