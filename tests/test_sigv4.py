"""Presigned URLs of our own are those that boto3 makes."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore.config import Config

from orchestrator_cli.core.sigv4 import SigningKey, presign_url


@pytest.mark.parametrize("token", [None, "to/k+en=="])
@pytest.mark.parametrize("name", ["k", "a b/ü+&%~'(*).txt"])
def test_the_signature_is_botocores(token: str | None, name: str) -> None:
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
