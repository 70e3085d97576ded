"""The recording proxy passes everything unchanged, counts right, and each fault is real."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import urllib3
from botocore.exceptions import ClientError
from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError

from tests.support.proxy import faults
from tests.support.proxy.proxy import Proxy
from tests.support.scene import Scene
from tests.support.stored.objects import make_client

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MIB = 1024 * 1024
BODY = os.urandom(2 * MIB)


@pytest.fixture
def through(recorder: Proxy, s3env: dict[str, str]) -> S3Client:
    """A client that goes through the proxy and never retries."""
    return make_client(s3env | {"AWS_ENDPOINT_URL": recorder.endpoint_url})


class Plain:
    """Requests as plain as moto takes them, with no retries and no patience."""

    def __init__(self, recorder: Proxy, bucket: str) -> None:
        # moto looks whether there is a signature, and no further.
        headers = {"Authorization": "AWS sandbox:"}
        self.pool = urllib3.PoolManager(retries=False, timeout=20, headers=headers)
        self.url = f"{recorder.endpoint_url}/{bucket}/"

    def put(self, key: str, body: bytes = BODY) -> int:
        return self.pool.request("PUT", self.url + key, body=body).status

    def get(self, key: str, timeout: float = 20) -> bytes:
        return self.pool.request("GET", self.url + key, timeout=timeout).data


@pytest.fixture
def plain(scene: Scene) -> Plain:
    return Plain(scene.recorder, scene.bucket)


def test_an_upload_passes_unchanged_and_is_recorded(scene: Scene, through: S3Client) -> None:
    body = os.urandom(6 * MIB)
    upload = through.create_multipart_upload(Bucket=scene.bucket, Key="a b/ü")["UploadId"]
    part: dict[str, Any] = {"Bucket": scene.bucket, "Key": "a b/ü", "UploadId": upload}
    tags = [
        through.upload_part(**part, PartNumber=number, Body=piece)["ETag"]
        for number, piece in ((1, body), (2, b"tail"))
    ]
    parts: Any = [{"ETag": tag, "PartNumber": number} for number, tag in enumerate(tags, 1)]
    through.complete_multipart_upload(**part, MultipartUpload={"Parts": parts})
    assert through.get_object(Bucket=scene.bucket, Key="a b/ü")["Body"].read() == body + b"tail"
    through.head_object(Bucket=scene.bucket, Key="a b/ü")
    assert [found["Key"] for found in through.list_objects_v2(Bucket=scene.bucket)["Contents"]]

    assert [(one.operation, one.status) for one in scene.recorder.calls()] == [
        ("CreateMultipartUpload", 200),
        ("UploadPart", 200),
        ("UploadPart", 200),
        ("CompleteMultipartUpload", 200),
        ("GetObject", 200),
        ("HeadObject", 200),
        ("ListObjectsV2", 200),
    ]
    assert [one.part_number for one in scene.recorder.calls("UploadPart")] == [1, 2]
    assert scene.recorder.request_bytes("UploadPart", "a b/ü") == len(body) + 4
    assert scene.recorder.response_bytes("GetObject") == len(body) + 4
    assert (
        b"<PartNumber>2</PartNumber>"
        in scene.recorder.calls("CompleteMultipartUpload")[0].request_body
    )
    assert scene.contents() == {"a b/ü": body + b"tail"}


def test_operations_have_their_names(scene: Scene, through: S3Client) -> None:
    through.put_object(Bucket=scene.bucket, Key="k", Body=b"x")
    through.copy_object(
        Bucket=scene.bucket, Key="c", CopySource={"Bucket": scene.bucket, "Key": "k"}
    )
    through.put_object_tagging(
        Bucket=scene.bucket, Key="k", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]}
    )
    through.list_multipart_uploads(Bucket=scene.bucket)
    through.list_objects(Bucket=scene.bucket)
    through.head_bucket(Bucket=scene.bucket)
    through.get_bucket_location(Bucket=scene.bucket)
    through.delete_objects(Bucket=scene.bucket, Delete={"Objects": [{"Key": "k"}]})
    through.delete_object(Bucket=scene.bucket, Key="c")
    assert [one.operation for one in scene.recorder.calls()] == [
        "PutObject",
        "CopyObject",
        "PutObjectTagging",
        "ListMultipartUploads",
        "ListObjects",
        "HeadBucket",
        "GetBucketLocation",
        "DeleteObjects",
        "DeleteObject",
    ]


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (faults.internal_error(), 500, "InternalError"),
        (faults.slow_down(), 503, "SlowDown"),
        (faults.too_many_requests(), 429, "TooManyRequests"),
        (faults.request_timeout(), 408, "RequestTimeout"),
        (faults.expired_token(), 400, "ExpiredToken"),
        (faults.wrong_credentials(), 403, "InvalidAccessKeyId"),
        (faults.access_denied(), 403, "AccessDenied"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_error_is_answered_and_the_server_hears_nothing(
    scene: Scene, through: S3Client, fault: faults.Fault, status: int, code: str
) -> None:
    scene.recorder.inject(fault, "PutObject", key="^k$")
    with pytest.raises(ClientError) as refused:
        through.put_object(Bucket=scene.bucket, Key="k", Body=BODY)
    assert refused.value.response["Error"]["Code"] == code
    assert scene.recorder.calls("PutObject")[0].status == status
    assert scene.contents() == {}
    through.put_object(Bucket=scene.bucket, Key="k", Body=BODY)  # the rule strikes once
    assert scene.contents() == {"k": BODY}


def test_a_put_that_expects_nothing_is_answered_after_its_body(
    recorder: Proxy, plain: Plain
) -> None:
    recorder.inject(faults.slow_down())
    assert plain.put("k") == 503
    assert plain.put("k") == 200
    assert recorder.calls()[0].request_bytes == len(BODY)


def test_completing_can_fail_inside_a_200(scene: Scene, through: S3Client) -> None:
    scene.recorder.inject(faults.error_in_200(), "CompleteMultipartUpload")
    upload = through.create_multipart_upload(Bucket=scene.bucket, Key="k")["UploadId"]
    part: dict[str, Any] = {"Bucket": scene.bucket, "Key": "k", "UploadId": upload}
    tag = through.upload_part(**part, PartNumber=1, Body=b"x")["ETag"]
    with pytest.raises(ClientError):  # botocore knows this trick of S3's
        through.complete_multipart_upload(
            **part, MultipartUpload={"Parts": [{"ETag": tag, "PartNumber": 1}]}
        )
    assert scene.recorder.calls("CompleteMultipartUpload")[0].status == 200
    assert scene.contents() == {}


@pytest.mark.parametrize(
    ("fault", "is_stored"),
    [
        (faults.ResetBefore(), False),
        (faults.ResetInside(MIB), False),
        (faults.ResetAfter(), False),
        (faults.DropAnswer(), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_reset_strikes_at_its_moment(
    scene: Scene, plain: Plain, fault: faults.Fault, is_stored: bool
) -> None:
    scene.recorder.inject(fault, "PutObject")
    with pytest.raises(ProtocolError):
        plain.put("k")
    scene.recorder.settle()
    assert scene.recorder.calls("PutObject")[0].status is None
    assert scene.contents() == ({"k": BODY} if is_stored else {})
    assert plain.put("k") == 200


def test_an_empty_request_is_reset_before_the_server_acts(scene: Scene, through: S3Client) -> None:
    scene.recorder.inject(faults.ResetAfter(), "DeleteObject")
    scene.s3.put_object(Bucket=scene.bucket, Key="k", Body=b"x")
    with pytest.raises(Exception, match="Connection"):
        through.delete_object(Bucket=scene.bucket, Key="k")
    assert scene.contents() == {"k": b"x"}


def test_bytes_are_corrupted_both_ways(scene: Scene, plain: Plain) -> None:
    scene.recorder.inject(faults.CorruptRequest(MIB + 5), "PutObject")
    plain.put("up")
    plain.put("down")
    scene.recorder.inject(faults.CorruptAnswer(MIB + 5), "GetObject", key="down")
    for found in (scene.contents()["up"], plain.get("down")):
        changed = [
            at for at, pair in enumerate(zip(found, BODY, strict=True)) if pair[0] != pair[1]
        ]
        assert changed == [MIB + 5]
    assert plain.get("down") == BODY


def test_an_answer_is_cut_short(recorder: Proxy, plain: Plain) -> None:
    plain.put("k")
    recorder.inject(faults.TruncateAnswer(1000), "GetObject")
    with pytest.raises(HTTPError):
        plain.get("k")
    recorder.settle()
    assert recorder.response_bytes("GetObject") == 1000


@pytest.mark.parametrize(
    "fault",
    [faults.Stall(), faults.Stall(after_server=True), faults.StallInAnswer(10)],
    ids=["before", "after", "inside"],
)
def test_a_stall_lasts_until_the_client_gives_up(
    recorder: Proxy, plain: Plain, fault: faults.Fault
) -> None:
    plain.put("k")
    recorder.inject(fault, "GetObject")
    with pytest.raises(ReadTimeoutError):
        plain.get("k", timeout=0.3)
    plain.pool.clear()
    recorder.settle()
    assert plain.get("k") == BODY


def test_a_throttle_slows_the_body(recorder: Proxy, plain: Plain) -> None:
    recorder.inject(faults.Throttle(bytes_per_second=4 * MIB), "PutObject")
    started = time.monotonic()
    plain.put("k")
    assert time.monotonic() - started >= 0.5


def test_a_held_request_waits_for_the_test(scene: Scene, plain: Plain) -> None:
    hold = faults.Hold("end")
    scene.recorder.inject(hold, "PutObject", key="held")
    statuses: list[int] = []
    client = threading.Thread(target=lambda: statuses.append(plain.put("held")))
    client.start()
    assert hold.reached.wait(30)
    assert scene.contents() == {}
    assert scene.recorder.calls("PutObject")[0].request_bytes == len(BODY)
    hold.released.set()
    client.join(30)
    assert statuses == [200]


def test_rules_choose_by_key_part_and_turn(scene: Scene, through: S3Client) -> None:
    scene.recorder.inject(faults.slow_down(), "PutObject", key=r"\.log$", nth=2, times=2)
    scene.recorder.inject(faults.slow_down(), "UploadPart", part_number=3, times=None)

    def succeeds(key: str) -> bool:
        try:
            through.put_object(Bucket=scene.bucket, Key=key, Body=b"x")
        except ClientError:
            return False
        return True

    keys = ["a.log", "b.txt", "c.log", "d.log", "e.log"]
    assert [succeeds(key) for key in keys] == [True, True, False, False, True]
    upload = through.create_multipart_upload(Bucket=scene.bucket, Key="k")["UploadId"]
    part: dict[str, Any] = {"Bucket": scene.bucket, "Key": "k", "UploadId": upload, "Body": b"x"}
    through.upload_part(**part, PartNumber=2)
    for _ in range(3):
        with pytest.raises(ClientError):
            through.upload_part(**part, PartNumber=3)
    scene.recorder.heal()
    through.upload_part(**part, PartNumber=3)


def test_progress_can_be_waited_for(recorder: Proxy, plain: Plain) -> None:
    client = threading.Thread(target=plain.put, args=("k",))
    client.start()
    recorder.wait_for(lambda seen: sum(one.request_bytes for one in seen) == len(BODY))
    client.join(30)
    recorder.clear()
    assert recorder.calls() == []
    with pytest.raises(TimeoutError, match="never seen"):
        recorder.wait_for(bool, timeout_seconds=0.01)
