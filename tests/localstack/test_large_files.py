"""Files of several parts: resumed by the parts' checksums, completed create-only, verified."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator_cli.core.s3.compare import SCHEDULE_METADATA
from orchestrator_cli.core.s3.part_plan import DOUBLING
from tests.localstack.contents import (
    MIB,
    PART,
    composite,
    composite_base64,
    noise,
    parts_of,
    sha256_base64,
)
from tests.support.engine import answered
from tests.support.faults import CorruptRequest, DropAnswer, Hold
from tests.support.objects import bucket_contents, unfinished_uploads
from tests.support.proxy import Proxy
from tests.support.running import Processes, RunCommand

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.localstack

PATH = "artifacts/custom/big.bin"
CONTENT = noise(3 * PART + 12_345)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of four parts."""
    path = tmp_path / "big.bin"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def key(execution_id: str) -> str:
    """Where the file goes."""
    return f"executions/{execution_id}/{PATH}"


def begin_upload(s3: S3Client, bucket: str, key: str, numbers: tuple[int, ...] = ()) -> str:
    """Leave an unfinished upload of the file with these parts, as the library's on another host."""
    created = s3.create_multipart_upload(
        Bucket=bucket,
        Key=key,
        ChecksumAlgorithm="SHA256",
        Metadata={SCHEDULE_METADATA: DOUBLING},
    )
    for number in numbers:
        put_part(s3, bucket, key, created["UploadId"], number, parts_of(CONTENT)[number - 1])
    return created["UploadId"]


def put_part(s3: S3Client, bucket: str, key: str, upload_id: str, number: int, body: bytes) -> None:
    s3.upload_part(
        Bucket=bucket,
        Key=key,
        UploadId=upload_id,
        PartNumber=number,
        Body=body,
        ChecksumSHA256=sha256_base64(body),
    )


def stored_parts(s3: S3Client, bucket: str, key: str) -> set[int]:
    """Return the numbers of the parts in the key's one unfinished upload."""
    [upload_id] = unfinished_uploads(s3, bucket)
    listed = s3.list_parts(Bucket=bucket, Key=key, UploadId=upload_id)
    return {part["PartNumber"] for part in listed.get("Parts", [])}


def sent_parts(recorder: Proxy) -> list[int]:
    """Return the part numbers that were sent, sorted."""
    return sorted(sent.part_number or 0 for sent in recorder.calls("UploadPart"))


def check_stored(s3: S3Client, bucket: str, key: str) -> None:
    """Check bytes, checksum and schedule of the object, and that no upload stayed behind."""
    assert bucket_contents(s3, bucket, key) == {key: CONTENT}
    head = s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"] == composite_base64(CONTENT)
    assert head["Metadata"] == {SCHEDULE_METADATA: DOUBLING}
    assert unfinished_uploads(s3, bucket) == {}


def test_the_composite_checksum_is_ours_everywhere(
    recorder: Proxy,
    s3: S3Client,
    bucket: str,
    cli: RunCommand,
    execution_id: str,
    key: str,
    file: Path,
    tmp_path: Path,
) -> None:
    recorder.clear()
    [uploaded] = cli("upload", execution_id, file, "--json").ok().json_lines()
    assert (uploaded["outcome"], uploaded["checksum"]) == ("created", composite(CONTENT))
    [completion] = recorder.calls("CompleteMultipartUpload")
    assert completion.request.headers["if-none-match"] == "*"
    for part in recorder.calls("UploadPart"):
        body = parts_of(CONTENT)[(part.part_number or 0) - 1]
        assert part.request.headers["x-amz-checksum-sha256"] == sha256_base64(body)
    check_stored(s3, bucket, key)

    cli("finish", execution_id, "--result", "pass").ok()
    manifest = cli("show", execution_id, "--json").ok().json()["artifacts"]
    assert [entry["checksum"] for entry in manifest] == [composite(CONTENT)]
    [verified] = cli("verify", execution_id, "--json").ok().json_lines()
    assert (verified["finding"], verified["detail"]) == ("ok", composite(CONTENT))
    cli("verify", execution_id, "--read").ok()
    cli("verify", execution_id, file.parent).ok()
    cli("download", execution_id, "-o", tmp_path / "out").ok()
    assert (tmp_path / "out" / PATH).read_bytes() == CONTENT


def test_the_same_again_is_identical_and_other_content_is_a_conflict(
    recorder: Proxy,
    s3: S3Client,
    bucket: str,
    cli: RunCommand,
    execution_id: str,
    key: str,
    file: Path,
) -> None:
    cli("upload", execution_id, file).ok()
    recorder.clear()
    [again] = cli("upload", execution_id, file, "--json").ok().json_lines()
    assert (again["outcome"], again["sent_bytes"]) == ("identical", 0)

    changed = bytearray(CONTENT)
    changed[3 * PART] ^= 1
    file.write_bytes(changed)
    cli("upload", execution_id, file).expect(6)
    file.write_bytes(b"short")
    cli("upload", execution_id, file).expect(6)
    assert recorder.count("UploadPart") == recorder.count("PutObject", key) == 0
    check_stored(s3, bucket, key)


# --- resuming --------------------------------------------------------------------------------


def test_a_killed_upload_resumes_with_the_missing_parts_alone(
    recorder: Proxy,
    s3: S3Client,
    bucket: str,
    cli_process: Processes,
    execution_id: str,
    key: str,
    file: Path,
) -> None:
    recorder.clear()
    for number in (2, 3):
        recorder.inject(Hold("end"), "UploadPart", part_number=number)
    process = cli_process.start("upload", execution_id, file)
    recorder.wait_for(lambda seen: has_parts(seen, {1, 4}))
    process.send_signal(signal.SIGKILL)
    process.wait()
    recorder.heal()
    recorder.clear()
    assert stored_parts(s3, bucket, key) == {1, 4}

    [result] = cli_process.run("upload", execution_id, file, "--json").ok().json_lines()
    assert sent_parts(recorder) == [2, 3]
    assert result["sent_bytes"] == recorder.request_bytes("UploadPart") == 2 * PART
    assert result["resumed_bytes"] == len(CONTENT) - 2 * PART
    assert recorder.count("CreateMultipartUpload") == 0
    check_stored(s3, bucket, key)


def has_parts(seen: list[Any], numbers: set[int]) -> bool:
    """Say whether these parts were stored."""
    stored = {one.part_number for one in seen if one.operation == "UploadPart" and one.status}
    return numbers <= stored


def test_an_upload_that_somebody_began_elsewhere_is_taken_over(
    recorder: Proxy, s3: S3Client, bucket: str, cli: RunCommand, key: str, file: Path
) -> None:
    begin_upload(s3, bucket, key, (1, 4))
    cli("upload", key.split("/")[1], file).ok()
    assert sent_parts(recorder) == [2, 3]
    check_stored(s3, bucket, key)


@pytest.mark.parametrize("number", [1, 2, 4])
def test_a_part_with_other_bytes_is_never_taken(
    recorder: Proxy, s3: S3Client, bucket: str, cli: RunCommand, key: str, file: Path, number: int
) -> None:
    """The foreign part has the right number and size; its checksum alone tells."""
    upload_id = begin_upload(s3, bucket, key, (1, 2, 3, 4))
    size_bytes = len(parts_of(CONTENT)[number - 1])
    put_part(s3, bucket, key, upload_id, number, noise(size_bytes, seed=99))

    cli("upload", key.split("/")[1], file).ok()
    assert number in sent_parts(recorder)
    check_stored(s3, bucket, key)


# --- harm on the way -------------------------------------------------------------------------


def test_parts_harmed_on_their_way_are_refused_and_sent_again(
    recorder: Proxy,
    s3: S3Client,
    bucket: str,
    cli: RunCommand,
    execution_id: str,
    key: str,
    file: Path,
) -> None:
    for number, offset in ((1, 0), (2, PART - 1), (4, 12_344)):
        recorder.inject(CorruptRequest(offset), "UploadPart", part_number=number)
    cli("upload", execution_id, file).ok()
    assert sent_parts(recorder) == [1, 1, 2, 2, 3, 4, 4]
    refused = [sent for sent in recorder.calls("UploadPart") if sent.status == 400]
    assert {sent.part_number for sent in refused} == {1, 2, 4}
    check_stored(s3, bucket, key)


def test_a_part_harmed_every_time_fails_and_the_next_run_sends_it_alone(
    recorder: Proxy,
    s3: S3Client,
    bucket: str,
    cli: RunCommand,
    execution_id: str,
    key: str,
    file: Path,
) -> None:
    rule = recorder.inject(CorruptRequest(7), "UploadPart", part_number=4, times=None)
    cli("upload", execution_id, file).expect(7)
    assert rule.struck > 1
    assert bucket_contents(s3, bucket, key) == {}
    assert stored_parts(s3, bucket, key) == {1, 2, 3}

    recorder.heal()
    recorder.clear()
    cli("upload", execution_id, file).ok()
    assert sent_parts(recorder) == [4]
    check_stored(s3, bucket, key)


# --- what others do meanwhile ----------------------------------------------------------------


def test_a_completion_whose_answer_was_lost_is_a_success(
    recorder: Proxy,
    s3: S3Client,
    bucket: str,
    cli: RunCommand,
    execution_id: str,
    key: str,
    file: Path,
) -> None:
    """The second completion finds no upload; the object itself tells that the first one did it."""
    recorder.inject(DropAnswer(), "CompleteMultipartUpload")
    cli("upload", execution_id, file).ok()
    statuses = [call.server_status for call in recorder.calls("CompleteMultipartUpload")]
    assert statuses == [200, 404]
    assert sent_parts(recorder) == [1, 2, 3, 4]
    check_stored(s3, bucket, key)


def test_an_upload_aborted_between_two_parts_begins_again(
    recorder: Proxy,
    s3: S3Client,
    bucket: str,
    cli_process: Processes,
    execution_id: str,
    key: str,
    file: Path,
) -> None:
    hold = Hold("head")
    recorder.inject(hold, "UploadPart", part_number=3)
    process = cli_process.start("upload", execution_id, file)
    wait_for(hold, process)
    # LocalStack fails to abort an upload while it takes a part of it: let the other three end.
    recorder.wait_for(lambda seen: answered(seen, "UploadPart") == 3)
    [upload_id] = unfinished_uploads(s3, bucket)
    s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)
    hold.released.set()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert 404 in {sent.status for sent in recorder.calls("UploadPart")}
    check_stored(s3, bucket, key)


def complete_while(
    recorder: Proxy, processes: Processes, execution_id: str, file: Path, act: Callable[[], object]
) -> int:
    """Upload, do something while the completion is on its way, and return the exit code."""
    hold = Hold("head")
    recorder.inject(hold, "CompleteMultipartUpload")
    process = processes.start("upload", execution_id, file)
    wait_for(hold, process)
    act()
    hold.released.set()
    process.communicate(timeout=60)
    return process.returncode


def wait_for(hold: Hold, process: subprocess.Popen[bytes]) -> None:
    """Wait until the request is held; a command that ended before is shown."""
    while not hold.reached.wait(0.05):
        if process.poll() is not None:
            _, said = process.communicate()
            raise AssertionError(f"ended with {process.returncode}: {said.decode()}")


@pytest.mark.parametrize(("theirs", "exit_code"), [(CONTENT, 0), (b"theirs", 6)])
def test_a_key_taken_just_before_completion_keeps_what_it_has(
    recorder: Proxy,
    s3: S3Client,
    bucket: str,
    cli_process: Processes,
    execution_id: str,
    key: str,
    file: Path,
    theirs: bytes,
    exit_code: int,
) -> None:
    def take() -> None:
        s3.put_object(Bucket=bucket, Key=key, Body=theirs)

    assert complete_while(recorder, cli_process, execution_id, file, take) == exit_code
    assert recorder.calls("CompleteMultipartUpload")[0].status == 412
    assert bucket_contents(s3, bucket, key) == {key: theirs}
    assert unfinished_uploads(s3, bucket) == {}


def test_an_upload_that_can_never_be_completed_is_given_up_for_a_new_one(
    recorder: Proxy,
    s3: S3Client,
    bucket: str,
    cli: RunCommand,
    execution_id: str,
    key: str,
    file: Path,
) -> None:
    """An upload begun while the key was taken is refused with 409, even once the key is free."""
    s3.put_object(Bucket=bucket, Key=key, Body=b"theirs")
    begin_upload(s3, bucket, key, (1, 2, 3, 4))
    s3.delete_object(Bucket=bucket, Key=key)
    cli("upload", execution_id, file).ok()
    statuses = [call.status for call in recorder.calls("CompleteMultipartUpload")]
    assert (statuses[0], statuses[-1]) == (409, 200)
    check_stored(s3, bucket, key)


def test_paced_parts_are_verified_as_any_other(
    s3: S3Client, bucket: str, cli: RunCommand, execution_id: str, key: str, file: Path
) -> None:
    cli("upload", execution_id, file, "--limit-rate", str(400 * MIB)).ok()
    check_stored(s3, bucket, key)


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1"])
def test_an_upload_with_another_checksum_is_not_taken_over(
    recorder: Proxy,
    s3: S3Client,
    bucket: str,
    cli: RunCommand,
    execution_id: str,
    key: str,
    file: Path,
    algorithm: Any,
) -> None:
    """Begun by another tool with the same part size: it would refuse the parts that we send."""
    foreign = s3.create_multipart_upload(Bucket=bucket, Key=key, ChecksumAlgorithm=algorithm)
    s3.upload_part(
        Bucket=bucket,
        Key=key,
        UploadId=foreign["UploadId"],
        PartNumber=1,
        Body=parts_of(CONTENT)[0],
        ChecksumAlgorithm=algorithm,
    )
    cli("upload", execution_id, file).ok()
    assert sent_parts(recorder) == [1, 2, 3, 4]
    check_stored(s3, bucket, key)
