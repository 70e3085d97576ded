"""What a bucket holds, read without the code under test: the tests' independent witness."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from tests.support.stored.plain import plain_s3

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def make_client(environment: dict[str, str]) -> S3Client:
    """Return a client for the S3 server that these variables point at."""
    import boto3
    from botocore.config import Config

    session = boto3.Session(
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_REGION"],
    )
    settings = Config(
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"total_max_attempts": 1},
        s3={"addressing_style": "path"},
    )
    endpoint_url = environment["AWS_ENDPOINT_URL"]
    return session.client("s3", endpoint_url=endpoint_url, config=settings)


def list_keys(s3: S3Client, bucket: str, prefix: str = "") -> list[str]:
    """Return the keys in S3's order."""
    with plain_s3(s3) as plain:
        return list(plain.keys(bucket, prefix))


def bucket_contents(s3: S3Client, bucket: str, prefix: str = "") -> dict[str, bytes]:
    """Return every object's bytes by its key."""
    with plain_s3(s3) as plain:
        keys = list(plain.keys(bucket, prefix))
        return {key: plain.ask("GET", bucket, key) for key in keys}


def unfinished_uploads(s3: S3Client, bucket: str) -> dict[str, str]:
    """Return the key of every unfinished multipart upload by its upload id."""
    with plain_s3(s3) as plain:
        return dict(plain.uploads(bucket))


def make_bucket(s3: S3Client) -> str:
    """Make a bucket with a name nobody else has."""
    bucket = f"test-{uuid.uuid4().hex}"
    with plain_s3(s3) as plain:
        plain.ask("PUT", bucket)
    return bucket


def remove_bucket(s3: S3Client, bucket: str) -> None:
    """Remove the bucket with all it holds, so that the server's memory does not grow.

    Unfinished uploads go with their bucket.
    """
    with plain_s3(s3) as plain:
        keys = list(plain.keys(bucket))
        for start in range(0, len(keys), 1000):
            plain.remove(bucket, keys[start : start + 1000])
        plain.ask("DELETE", bucket)
