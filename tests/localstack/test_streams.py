"""Standard input of any length: verified, create-only, and resumed when the pipe is repeated."""

from __future__ import annotations

import signal

import pytest

from tests.localstack.contents import PART, composite, composite_base64, noise, sha256_base64
from tests.support.commands.running import Processes
from tests.support.proxy.faults import CorruptRequest, Hold
from tests.support.scene import Scene

pytestmark = pytest.mark.localstack

CONTENT = noise(2 * PART + 4321)
AS_LOG = ("-", "--name", "stdout.log")


@pytest.fixture
def key(execution_id: str) -> str:
    """Where the stream goes."""
    return f"executions/{execution_id}/logs/stdout.log"


def checksum(scene: Scene, key: str) -> str:
    return scene.s3.head_object(Bucket=scene.bucket, Key=key, ChecksumMode="ENABLED")[
        "ChecksumSHA256"
    ]


@pytest.mark.parametrize("size_bytes", [0, 1, PART - 1, PART])
def test_a_stream_of_up_to_one_part_is_one_verified_put(
    scene: Scene, execution_id: str, key: str, size_bytes: int
) -> None:
    content = CONTENT[:size_bytes]
    scene.cli("upload", execution_id, *AS_LOG, stdin=content).ok()
    [put] = scene.recorder.calls("PutObject", key)
    assert put.request.headers["if-none-match"] == "*"
    assert put.request.headers["x-amz-checksum-sha256"] == sha256_base64(content)
    assert checksum(scene, key) == sha256_base64(content)
    assert scene.contents(key) == {key: content}


@pytest.mark.parametrize("size_bytes", [PART + 1, 2 * PART, len(CONTENT)])
def test_a_longer_stream_has_the_composite_checksum_of_a_file(
    scene: Scene, execution_id: str, key: str, size_bytes: int
) -> None:
    content = CONTENT[:size_bytes]
    result = scene.cli("upload", execution_id, *AS_LOG, "--json", stdin=content).ok().json()
    assert (result["outcome"], result["checksum"]) == ("created", composite(content))
    assert checksum(scene, key) == composite_base64(content)
    assert scene.contents(key) == {key: content}
    assert scene.unfinished_uploads() == {}


@pytest.mark.parametrize("size_bytes", [5000, len(CONTENT)])
def test_a_stream_repeated_is_identical_and_another_is_a_conflict(
    scene: Scene, execution_id: str, key: str, size_bytes: int
) -> None:
    content = CONTENT[:size_bytes]
    scene.cli("upload", execution_id, *AS_LOG, stdin=content).ok()
    again = scene.cli("upload", execution_id, *AS_LOG, "--json", stdin=content).ok().json()
    assert (again["outcome"], again["sent_bytes"]) == ("identical", 0)
    scene.cli("upload", execution_id, *AS_LOG, stdin=content[:-1] + b"?").expect(6)
    assert scene.contents(key) == {key: content}


def test_a_stream_and_a_file_of_the_same_bytes_are_identical(
    scene: Scene, execution_id: str
) -> None:
    file = scene.directory / "stdout.log"
    file.write_bytes(CONTENT)
    scene.cli("upload", execution_id, *AS_LOG, stdin=CONTENT).ok()
    [result] = scene.cli("upload", execution_id, file, "--json").ok().json_lines()
    assert result["outcome"] == "identical"


def test_a_harmed_part_of_a_stream_is_sent_again(scene: Scene, execution_id: str, key: str) -> None:
    for number in (1, 2, 3):
        scene.recorder.inject(CorruptRequest(number * 1000), "UploadPart", part_number=number)
    scene.cli("upload", execution_id, *AS_LOG, stdin=CONTENT).ok()
    parts = [(part.part_number, part.status) for part in scene.recorder.calls("UploadPart")]
    assert sorted(parts) == [(1, 200), (1, 400), (2, 200), (2, 400), (3, 200), (3, 400)]
    assert scene.contents(key) == {key: CONTENT}


def test_a_pipe_repeated_after_a_kill_sends_what_is_missing(
    scene: Scene, cli_process: Processes, execution_id: str, key: str
) -> None:
    piped = scene.directory / "piped"
    piped.write_bytes(CONTENT)
    hold = Hold("end")
    scene.recorder.inject(hold, "UploadPart", part_number=3)
    with piped.open("rb") as stdin:
        process = cli_process.start("upload", execution_id, *AS_LOG, stdin=stdin)
        scene.recorder.wait_for(
            lambda seen: sum(one.part_number in {1, 2} and one.status == 200 for one in seen) == 2
        )
        process.send_signal(signal.SIGKILL)
        process.wait()
    scene.recorder.heal()
    scene.recorder.clear()

    result = cli_process.run("upload", execution_id, *AS_LOG, "--json", stdin=CONTENT).ok().json()
    assert [part.part_number for part in scene.recorder.calls("UploadPart")] == [3]
    assert (result["sent_bytes"], result["resumed_bytes"]) == (4321, 2 * PART)
    assert scene.contents(key) == {key: CONTENT}
    assert checksum(scene, key) == composite_base64(CONTENT)


def test_a_repeated_pipe_with_other_bytes_never_joins_the_unfinished_upload(
    scene: Scene, execution_id: str, key: str
) -> None:
    created = scene.s3.create_multipart_upload(
        Bucket=scene.bucket, Key=key, ChecksumAlgorithm="SHA256"
    )
    foreign = noise(PART, seed=5)
    scene.s3.upload_part(
        Bucket=scene.bucket,
        Key=key,
        UploadId=created["UploadId"],
        PartNumber=1,
        Body=foreign,
        ChecksumSHA256=sha256_base64(foreign),
    )
    scene.cli("upload", execution_id, *AS_LOG, stdin=CONTENT).ok()
    assert scene.contents(key) == {key: CONTENT}
    used = {part.request.query["uploadId"] for part in scene.recorder.calls("UploadPart")}
    assert used.isdisjoint({created["UploadId"]})
    assert scene.unfinished_uploads() == {}
