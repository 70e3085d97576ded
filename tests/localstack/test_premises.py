"""What the other tests of this group stand on: here the server does what AWS does.

Where one of these fails, the server has changed, not the library.
"""

from __future__ import annotations

import base64
import hashlib
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from tests.localstack.contents import noise, sha256_base64
from tests.support.servers.localstack import LocalStack

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.localstack

BODY = noise(5 * 1024 * 1024)
OTHER_SHA256 = sha256_base64(b"other")
OTHER_MD5 = base64.b64encode(hashlib.md5(b"other").digest()).decode()


@pytest.fixture
def upload(s3: S3Client, bucket: str) -> dict[str, Any]:
    """An unfinished multipart upload with SHA-256, as the arguments that name it."""
    created = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm="SHA256")
    return {"Bucket": bucket, "Key": "k", "UploadId": created["UploadId"]}


def send_part(s3: S3Client, upload: dict[str, Any]) -> Any:
    """Send the one part and return the list that completes with it."""
    digest = sha256_base64(BODY)
    sent = s3.upload_part(**upload, PartNumber=1, Body=BODY, ChecksumSHA256=digest)
    return {"Parts": [{"PartNumber": 1, "ETag": sent["ETag"], "ChecksumSHA256": digest}]}


def refusal(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def test_nothing_listens_beside_loopbacks_first_address(sandbox: LocalStack) -> None:
    port = urlsplit(sandbox.endpoint_url).port
    assert port is not None
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        pass
    with pytest.raises(OSError, match=r"refused|assign|timed out|unreachable"):
        socket.create_connection(("127.0.0.2", port), timeout=5)


def test_a_second_create_only_put_is_refused(s3: S3Client, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"one", IfNoneMatch="*")
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key="k", Body=b"two", IfNoneMatch="*")
    assert refusal(error) == "PreconditionFailed"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"one"


def test_a_create_only_completion_over_an_object_is_refused(
    s3: S3Client, bucket: str, upload: dict[str, Any]
) -> None:
    parts = send_part(s3, upload)
    s3.put_object(Bucket=bucket, Key="k", Body=b"one")
    with pytest.raises(ClientError) as error:
        s3.complete_multipart_upload(**upload, MultipartUpload=parts, IfNoneMatch="*")
    assert refusal(error) == "PreconditionFailed"


def test_completing_twice_finds_no_upload(s3: S3Client, upload: dict[str, Any]) -> None:
    parts = send_part(s3, upload)
    s3.complete_multipart_upload(**upload, MultipartUpload=parts)
    with pytest.raises(ClientError) as error:
        s3.complete_multipart_upload(**upload, MultipartUpload=parts)
    assert refusal(error) == "NoSuchUpload"


def test_a_put_that_replaces_another_state_is_refused(s3: S3Client, bucket: str) -> None:
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"one")["ETag"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"two", IfMatch=first)
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key="k", Body=b"three", IfMatch=first)
    assert refusal(error) == "PreconditionFailed"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"two"


# Only ever for a key that is free: what a refused put would have replaced is damaged here.
@pytest.mark.parametrize("digest", [{"ChecksumSHA256": OTHER_SHA256}, {"ContentMD5": OTHER_MD5}])
def test_a_body_with_another_digest_is_refused(
    s3: S3Client, bucket: str, upload: dict[str, Any], digest: dict[str, Any]
) -> None:
    needed: dict[str, Any] = {
        "ChecksumSHA256": sha256_base64(BODY)
    }  # a part must have one, that of the upload
    with pytest.raises(ClientError) as put_error:
        s3.put_object(Bucket=bucket, Key="free", Body=BODY, **digest)
    with pytest.raises(ClientError) as part_error:
        s3.upload_part(**upload, PartNumber=1, Body=BODY, **(needed | digest))
    assert (refusal(put_error), refusal(part_error)) == ("BadDigest", "BadDigest")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    assert "Parts" not in s3.list_parts(**upload)


def test_parts_are_listed_with_their_sha256(s3: S3Client, upload: dict[str, Any]) -> None:
    send_part(s3, upload)
    [part] = s3.list_parts(**upload)["Parts"]
    assert part["ChecksumSHA256"] == sha256_base64(BODY)
