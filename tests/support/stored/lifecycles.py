"""Lifecycle rules of a bucket, read and written with boto3, and servers that alter them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from tests.support.proxy.faults import Fault, Waiting

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PUT = "PutBucketLifecycleConfiguration"
GET = "GetBucketLifecycleConfiguration"
OWNED = [f"orchestrator-{name}" for name in ("archive", "derived", "executions", "history", "live")]


def foreign_rule(rule_id: str = "theirs", prefix: str = "builds/", **actions: Any) -> Any:
    """Return a rule of somebody else's."""
    return {
        "ID": rule_id,
        "Status": "Enabled",
        "Filter": {"Prefix": prefix},
        **(actions or {"Expiration": {"Days": 30}}),
    }


def put_rules(s3: S3Client, bucket: str, *rules: Any, **options: Any) -> None:
    """Give the bucket exactly these rules."""
    s3.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": list(rules)}, **options
    )


def read_rules(s3: S3Client, bucket: str) -> list[Any]:
    """Return the bucket's rules, in the order of their IDs; none where it has none."""
    try:
        answer = s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchLifecycleConfiguration":
            raise
        return []
    return sorted(answer["Rules"], key=lambda rule: rule["ID"])


def rule_ids(s3: S3Client, bucket: str) -> list[str]:
    """Return the IDs of the bucket's rules, sorted."""
    return [rule["ID"] for rule in read_rules(s3, bucket)]


@dataclass
class Altered(Fault):
    """A server that keeps something else: the same number of bytes in another's place."""

    sent: bytes
    kept: bytes

    def request_chunk(self, chunk: bytes, offset: int, waiting: Waiting) -> bytes:
        assert len(self.sent) == len(self.kept)
        assert self.sent in chunk
        return chunk.replace(self.sent, self.kept)


_SIZE_FILTER = b"<ObjectSizeGreaterThan>131072</ObjectSizeGreaterThan>"
# As Ceph does.
DROPS_SIZE_FILTER = Altered(_SIZE_FILTER, b" " * len(_SIZE_FILTER))


@dataclass
class Answers(Fault):
    """Answer with bytes of one's own in the server's place."""

    body: bytes

    def response_chunk(self, chunk: bytes, offset: int, waiting: Waiting) -> bytes:
        return self.body.ljust(len(chunk)) if offset == 0 else b" " * len(chunk)
