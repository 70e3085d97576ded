"""Signatures of our own, in URLs and in headers, are those that boto3 makes."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from orchestrator_cli.core.s3.sigv4 import (
    UNSIGNED_PAYLOAD,
    SigningKey,
    encode_key,
    encode_query,
    presign_url,
    sign_headers,
)


class _Signer(S3SigV4Auth):
    """Signs a payload by a digest that is known already."""

    def __init__(self, digest: str, credentials: Credentials) -> None:
        super().__init__(credentials, "s3", "eu-central-1")
        self._digest = digest

    def payload(self, request: AWSRequest) -> str:
        return self._digest


@pytest.mark.parametrize("token", [None, "to/k+en=="])
@pytest.mark.parametrize("name", ["k", "a b/ü+&%~'(*).txt"])
def test_the_signature_of_a_url_is_botocores(token: str | None, name: str) -> None:
    client = boto3.client(
        "s3",
        "eu-central-1",
        endpoint_url="https://s3.example:9000",
        aws_access_key_id="AKID",
        aws_secret_access_key="secret",
        aws_session_token=token,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    wanted = client.generate_presigned_url(
        "get_object",
        Params={"Bucket": "b", "Key": name, "ResponseContentDisposition": "inline; x=ü"},
        ExpiresIn=77,
    )
    fields = parse_qs(urlsplit(wanted).query)
    signed_at = datetime.strptime(fields["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    key = SigningKey("AKID", "secret", token, "eu-central-1")
    query = {"response-content-disposition": "inline; x=ü"}
    own = presign_url(key, "GET", wanted.partition("?")[0], signed_at, 77, query)
    assert parse_qs(urlsplit(own).query) == fields


@pytest.mark.parametrize(
    "url",
    [
        "https://s3.example:9000/b/k",
        "https://b.s3.eu-central-1.amazonaws.com",
        "https://s3.example:443/b/k",
        "http://s3.example:80/b",
        "http://S3.Example/b",
        "http://[::1]:9000/b/k",
        "https://[::1]:443/b/k",
    ],
)
def test_the_host_is_signed_as_it_is_sent(url: str) -> None:
    """A bucket in the host has no path, and the usual port is not sent."""
    path = urlsplit(url).path or "/"  # which botocore's own client adds before it signs
    asked = f"{url.removesuffix(path)}{path}?list-type=2"
    request = AWSRequest("GET", asked, {"content-type": " a  b "})
    _Signer(UNSIGNED_PAYLOAD, Credentials("AKID", "secret")).add_auth(request)
    signed_at = datetime.strptime(request.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(
        tzinfo=UTC
    )
    own = sign_headers(
        SigningKey("AKID", "secret", None, "eu-central-1"),
        "GET",
        f"{url}?list-type=2",
        signed_at,
        {"content-type": " a  b "},
        UNSIGNED_PAYLOAD,
    )
    assert own["authorization"] == request.headers["Authorization"]


@pytest.mark.parametrize("token", [None, "to/k+en=="])
@pytest.mark.parametrize("name", ["k", "a b/ü+&%~'(*).txt"])
@pytest.mark.parametrize("payload", [UNSIGNED_PAYLOAD, hashlib.sha256(b"x").hexdigest()])
def test_the_signature_of_headers_is_botocores(token: str | None, name: str, payload: str) -> None:
    url = f"https://s3.example:9000/b/{encode_key(name)}"
    query = {"uploadId": "a+b/c=", "partNumber": "7", "empty": ""}
    request = AWSRequest("PUT", f"{url}?{encode_query(query)}", {"x-amz-meta-a": " b "}, b"x")
    signer = _Signer(payload, Credentials("AKID", "secret", token))
    signer.add_auth(request)
    stamp = request.headers["X-Amz-Date"]
    signed_at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    own = sign_headers(
        SigningKey("AKID", "secret", token, "eu-central-1"),
        "PUT",
        f"{url}?{encode_query(query)}",
        signed_at,
        {"x-amz-meta-a": " b "},
        payload,
    )
    assert own["authorization"] == request.headers["Authorization"]
