"""The server of the sandbox keeps connections alive and has the semantics of S3 for writes."""

from __future__ import annotations

import http.client
import os
import socket
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import pytest
import urllib3
from botocore.exceptions import ClientError

from orchestrator_cli.core.s3.bucket.settings import call_boto
from orchestrator_cli.core.s3.types import PutOutcome
from orchestrator_cli.sandbox.sandbox import Sandbox
from tests.support.stored.engine import open_store

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MIB = 1024 * 1024


def port_of(sandbox: Sandbox) -> int:
    port = urlsplit(sandbox.endpoint_url).port
    assert port is not None
    return port


def test_one_connection_serves_every_kind_of_request(sandbox: Sandbox, bucket: str) -> None:
    big = os.urandom(7 * MIB)
    connection = http.client.HTTPConnection("127.0.0.1", port_of(sandbox))
    connection.connect()
    first_socket = connection.sock

    def ask(method: str, path: str, body: bytes = b"", **more: str) -> tuple[int, bytes]:
        # moto only checks that there is a signature.
        headers = {"Authorization": "AWS sandbox:"}
        headers |= {name.replace("_", "-"): value for name, value in more.items()}
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()

    assert ask("PUT", f"/{bucket}/big", big) == (200, b"")
    assert ask("PUT", f"/no-{bucket}/big", big)[0] == 404
    assert ask("PUT", f"/{bucket}/big", big, If_None_Match="*")[0] == 412
    assert ask("HEAD", f"/{bucket}/big") == (200, b"")
    assert ask("HEAD", f"/{bucket}/none") == (404, b"")
    assert ask("GET", f"/{bucket}/big") == (200, big)
    assert ask("GET", f"/{bucket}/big", Range="bytes=3-5") == (206, big[3:6])
    assert ask("GET", f"/{bucket}/none")[0] == 404
    assert ask("DELETE", f"/{bucket}/big") == (204, b"")
    assert ask("PUT", f"/{bucket}/empty") == (200, b"")
    assert ask("GET", f"/{bucket}/empty") == (200, b"")
    assert ask("POST", f"/{bucket}/none?uploadId=gone", b"<x/>")[0] >= 400
    assert ask("PUT", f"/{bucket}/p?uploadId=gone&partNumber=1", big)[0] == 404
    assert connection.sock is first_socket
    connection.close()


@pytest.mark.parametrize("size_bytes", [10_000, 6 * MIB])
def test_ranges_are_served_as_by_s3(bucket: str, s3: S3Client, size_bytes: int) -> None:
    body = os.urandom(size_bytes)
    last = size_bytes - 1
    s3.put_object(Bucket=bucket, Key="k", Body=body)
    for asked, wanted, served in (
        ("0-0", body[:1], f"bytes 0-0/{size_bytes}"),
        ("5-4999", body[5:5000], f"bytes 5-4999/{size_bytes}"),
        ("5000-", body[5000:], f"bytes 5000-{last}/{size_bytes}"),
        ("-100", body[-100:], f"bytes {last - 99}-{last}/{size_bytes}"),
        (f"9000-{size_bytes * 2}", body[9000:], f"bytes 9000-{last}/{size_bytes}"),
        (f"-{size_bytes * 2}", body, f"bytes 0-{last}/{size_bytes}"),
    ):
        response = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={asked}")
        assert (response["Body"].read() == wanted, response["ContentRange"]) == (True, served)
    assert s3.get_object(Bucket=bucket, Key="k", Range="bytes=9-5")["Body"].read() == body
    with pytest.raises(ClientError, match="InvalidRange"):
        s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={size_bytes}-")


def test_a_chunked_body_is_stored_whole(sandbox: Sandbox, bucket: str, s3: S3Client) -> None:
    pieces = [os.urandom(70_000) for _ in range(5)]
    connection = http.client.HTTPConnection("127.0.0.1", port_of(sandbox))
    connection.request("PUT", f"/{bucket}/chunked", iter(pieces), encode_chunked=True)
    assert connection.getresponse().status == 200
    connection.close()
    assert s3.get_object(Bucket=bucket, Key="chunked")["Body"].read() == b"".join(pieces)


def test_a_body_that_ends_early_stores_nothing(sandbox: Sandbox, bucket: str, s3: S3Client) -> None:
    with socket.create_connection(("127.0.0.1", port_of(sandbox)), timeout=30) as client:
        head = f"PUT /{bucket}/half HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
        client.sendall(head.encode() + b"half")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize("checksums", ["when_required", "when_supported"])
def test_boto3_puts_and_gets(
    checksums: str, s3env: dict[str, str], bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", checksums)
    client = boto3.client("s3")
    body = os.urandom(6 * MIB)
    for _ in range(2):
        client.put_object(Bucket=bucket, Key="a b/ü%#?", Body=body, Metadata={"sha256": "x"})
        found = client.get_object(Bucket=bucket, Key="a b/ü%#?")
        assert found["Body"].read() == body
        assert found["Metadata"] == {"sha256": "x"}


def test_our_own_client_puts_gets_and_lists(bucket: str) -> None:
    store = open_store(bucket)
    body = os.urandom(3 * MIB)
    assert store.put_if_absent("x/1", body, "text/plain")[0] is PutOutcome.CREATED
    assert (
        store.put_if_absent("x/1", b"other", "text/plain", listed_etag="")[0] is PutOutcome.CONFLICT
    )
    assert bytes(store.get_range("x/1", 10, 10)) == body[10:20]
    assert store.get("x/1").content == body
    assert [found.key for found in store.list_objects("")] == ["x/1"]
    call_boto(store, "delete_object", Key="x/1")
    assert not store.exists("x/1")


def try_put(s3: S3Client, **request: Any) -> bool:
    """Put an object; return False if its condition fails."""
    try:
        s3.put_object(**request)
    except ClientError as error:
        if error.response["Error"]["Code"] != "PreconditionFailed":
            raise
        return False
    return True


def test_only_one_of_many_concurrent_creates_succeeds(
    sandbox: Sandbox, bucket: str, s3: S3Client
) -> None:
    size = 6 * MIB  # moto writes such a body to a file, which lets other threads run
    headers = {"Authorization": "AWS sandbox:", "If-None-Match": "*"}
    with (
        ThreadPoolExecutor(16) as threads,
        urllib3.HTTPConnectionPool("127.0.0.1", port_of(sandbox), maxsize=16) as pool,
    ):

        def create(turn: tuple[int, int]) -> int:
            key, letter = turn
            body = bytes([letter]) * size
            return pool.request("PUT", f"/{bucket}/{key}", body=body, headers=headers).status

        for key in range(3):
            statuses = list(threads.map(create, [(key, letter) for letter in range(16)]))
            stored = s3.get_object(Bucket=bucket, Key=str(key))["Body"].read()
            assert sorted(statuses) == [200] + [412] * 15
            assert stored == bytes([statuses.index(200)]) * size


def test_no_compare_and_swap_is_lost(bucket: str, s3: S3Client) -> None:
    s3.put_object(Bucket=bucket, Key="count", Body=b"0")

    def increment() -> bool:
        found = s3.get_object(Bucket=bucket, Key="count")
        body = b"%d" % (int(found["Body"].read()) + 1)
        return try_put(s3, Bucket=bucket, Key="count", Body=body, IfMatch=found["ETag"])

    def increment_at_last(_: int) -> None:
        while not increment():
            pass

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(increment_at_last, range(16)))
    assert s3.get_object(Bucket=bucket, Key="count")["Body"].read() == b"16"


def test_a_part_of_an_ended_upload_is_refused(bucket: str, s3: S3Client) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="gone")["UploadId"]
    s3.abort_multipart_upload(Bucket=bucket, Key="gone", UploadId=upload)
    with pytest.raises(ClientError) as refused:
        s3.upload_part(Bucket=bucket, Key="gone", UploadId=upload, PartNumber=1, Body=b"x")
    assert refused.value.response["Error"]["Code"] == "NoSuchUpload"


def test_head_gives_a_composite_checksum_with_its_part_count(bucket: str, s3: S3Client) -> None:
    """Or a client has to compare MD5s, in place of the SHA-256 that was sent."""
    parts = [b"x" * 5 * MIB, b"the end"]
    begun = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm="SHA256")
    named: Any = {"Bucket": bucket, "Key": "k", "UploadId": begun["UploadId"]}
    sent: Any = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part(**named, PartNumber=number, Body=part)["ETag"],
        }
        for number, part in enumerate(parts, start=1)
    ]
    s3.complete_multipart_upload(**named, MultipartUpload={"Parts": sent})
    whole = sha256(b"".join(sha256(part).digest() for part in parts)).digest()
    for head in (
        s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED"),
        s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED"),
    ):
        assert head["ChecksumSHA256"] == f"{b64encode(whole).decode()}-2"
