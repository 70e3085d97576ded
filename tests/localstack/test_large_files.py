"""Files of several parts: resumed by the parts' checksums, completed create-only, verified."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from tests.support.commands.running import Processes
from tests.support.proxy.faults import CorruptRequest, DropAnswer, Hold
from tests.support.proxy.proxy import Proxy
from tests.support.scene import Scene
from tests.support.stored.engine import answered

pytestmark = pytest.mark.localstack

PATH = "artifacts/custom/big.bin"
CONTENT = noise(3 * PART + 12_345)


@dataclass
class Large:
    """A file of four parts, the execution it belongs to, and its key."""

    execution_id: str
    path: Path

    @property
    def key(self) -> str:
        return f"executions/{self.execution_id}/{PATH}"


@pytest.fixture
def large(execution_id: str, tmp_path: Path) -> Large:
    path = tmp_path / "big.bin"
    path.write_bytes(CONTENT)
    return Large(execution_id, path)


def begin_upload(scene: Scene, key: str, numbers: tuple[int, ...] = ()) -> str:
    """Leave an unfinished upload of the file with these parts, as the library's on another host."""
    created = scene.s3.create_multipart_upload(
        Bucket=scene.bucket,
        Key=key,
        ChecksumAlgorithm="SHA256",
        Metadata={SCHEDULE_METADATA: DOUBLING},
    )
    for number in numbers:
        put_part(scene, key, created["UploadId"], number, parts_of(CONTENT)[number - 1])
    return created["UploadId"]


def put_part(scene: Scene, key: str, upload_id: str, number: int, body: bytes) -> None:
    scene.s3.upload_part(
        Bucket=scene.bucket,
        Key=key,
        UploadId=upload_id,
        PartNumber=number,
        Body=body,
        ChecksumSHA256=sha256_base64(body),
    )


def stored_parts(scene: Scene, key: str) -> set[int]:
    """Return the numbers of the parts in the key's one unfinished upload."""
    [upload_id] = scene.unfinished_uploads()
    listed = scene.s3.list_parts(Bucket=scene.bucket, Key=key, UploadId=upload_id)
    return {part["PartNumber"] for part in listed.get("Parts", [])}


def sent_parts(recorder: Proxy) -> list[int]:
    """Return the part numbers that were sent, sorted."""
    return sorted(sent.part_number or 0 for sent in recorder.calls("UploadPart"))


def check_stored(scene: Scene, key: str) -> None:
    """Check bytes, checksum and schedule of the object, and that no upload stayed behind."""
    assert scene.contents(key) == {key: CONTENT}
    head = scene.s3.head_object(Bucket=scene.bucket, Key=key, ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"] == composite_base64(CONTENT)
    assert head["Metadata"] == {SCHEDULE_METADATA: DOUBLING}
    assert scene.unfinished_uploads() == {}


def test_the_composite_checksum_is_ours_everywhere(scene: Scene, large: Large) -> None:
    scene.recorder.clear()
    [uploaded] = scene.cli("upload", large.execution_id, large.path, "--json").ok().json_lines()
    assert (uploaded["outcome"], uploaded["checksum"]) == ("created", composite(CONTENT))
    [completion] = scene.recorder.calls("CompleteMultipartUpload")
    assert completion.request.headers["if-none-match"] == "*"
    for part in scene.recorder.calls("UploadPart"):
        body = parts_of(CONTENT)[(part.part_number or 0) - 1]
        assert part.request.headers["x-amz-checksum-sha256"] == sha256_base64(body)
    check_stored(scene, large.key)

    scene.cli("finish", large.execution_id, "--result", "pass").ok()
    manifest = scene.cli("show", large.execution_id, "--json").ok().json()["artifacts"]
    assert [entry["checksum"] for entry in manifest] == [composite(CONTENT)]
    [verified] = scene.cli("verify", large.execution_id, "--json").ok().json_lines()
    assert (verified["finding"], verified["detail"]) == ("ok", composite(CONTENT))
    scene.cli("verify", large.execution_id, "--read").ok()
    scene.cli("verify", large.execution_id, large.path.parent).ok()
    scene.cli("download", large.execution_id, "-o", scene.directory / "out").ok()
    assert (scene.directory / "out" / PATH).read_bytes() == CONTENT


def test_the_same_again_is_identical_and_other_content_is_a_conflict(
    scene: Scene, large: Large
) -> None:
    scene.cli("upload", large.execution_id, large.path).ok()
    scene.recorder.clear()
    [again] = scene.cli("upload", large.execution_id, large.path, "--json").ok().json_lines()
    assert (again["outcome"], again["sent_bytes"]) == ("identical", 0)

    changed = bytearray(CONTENT)
    changed[3 * PART] ^= 1
    large.path.write_bytes(changed)
    scene.cli("upload", large.execution_id, large.path).expect(6)
    large.path.write_bytes(b"short")
    scene.cli("upload", large.execution_id, large.path).expect(6)
    assert scene.recorder.count("UploadPart") == scene.recorder.count("PutObject", large.key) == 0
    check_stored(scene, large.key)


# --- resuming --------------------------------------------------------------------------------


def test_a_killed_upload_resumes_with_the_missing_parts_alone(
    scene: Scene, large: Large, cli_process: Processes
) -> None:
    scene.recorder.clear()
    for number in (2, 3):
        scene.recorder.inject(Hold("end"), "UploadPart", part_number=number)
    process = cli_process.start("upload", large.execution_id, large.path)
    scene.recorder.wait_for(lambda seen: has_parts(seen, {1, 4}))
    process.send_signal(signal.SIGKILL)
    process.wait()
    scene.recorder.heal()
    scene.recorder.clear()
    assert stored_parts(scene, large.key) == {1, 4}

    [result] = cli_process.run("upload", large.execution_id, large.path, "--json").ok().json_lines()
    assert sent_parts(scene.recorder) == [2, 3]
    assert result["sent_bytes"] == scene.recorder.request_bytes("UploadPart") == 2 * PART
    assert result["resumed_bytes"] == len(CONTENT) - 2 * PART
    assert scene.recorder.count("CreateMultipartUpload") == 0
    check_stored(scene, large.key)


def has_parts(seen: list[Any], numbers: set[int]) -> bool:
    """Say whether these parts were stored."""
    stored = {one.part_number for one in seen if one.operation == "UploadPart" and one.status}
    return numbers <= stored


def test_an_upload_that_somebody_began_elsewhere_is_taken_over(scene: Scene, large: Large) -> None:
    begin_upload(scene, large.key, (1, 4))
    scene.cli("upload", large.key.split("/")[1], large.path).ok()
    assert sent_parts(scene.recorder) == [2, 3]
    check_stored(scene, large.key)


@pytest.mark.parametrize("number", [1, 2, 4])
def test_a_part_with_other_bytes_is_never_taken(scene: Scene, large: Large, number: int) -> None:
    """The foreign part has the right number and size; its checksum alone tells."""
    upload_id = begin_upload(scene, large.key, (1, 2, 3, 4))
    size_bytes = len(parts_of(CONTENT)[number - 1])
    put_part(scene, large.key, upload_id, number, noise(size_bytes, seed=99))

    scene.cli("upload", large.key.split("/")[1], large.path).ok()
    assert number in sent_parts(scene.recorder)
    check_stored(scene, large.key)


# --- harm on the way -------------------------------------------------------------------------


def test_parts_harmed_on_their_way_are_refused_and_sent_again(scene: Scene, large: Large) -> None:
    for number, offset in ((1, 0), (2, PART - 1), (4, 12_344)):
        scene.recorder.inject(CorruptRequest(offset), "UploadPart", part_number=number)
    scene.cli("upload", large.execution_id, large.path).ok()
    assert sent_parts(scene.recorder) == [1, 1, 2, 2, 3, 4, 4]
    refused = [sent for sent in scene.recorder.calls("UploadPart") if sent.status == 400]
    assert {sent.part_number for sent in refused} == {1, 2, 4}
    check_stored(scene, large.key)


def test_a_part_harmed_every_time_fails_and_the_next_run_sends_it_alone(
    scene: Scene, large: Large
) -> None:
    rule = scene.recorder.inject(CorruptRequest(7), "UploadPart", part_number=4, times=None)
    scene.cli("upload", large.execution_id, large.path).expect(7)
    assert rule.struck > 1
    assert scene.contents(large.key) == {}
    assert stored_parts(scene, large.key) == {1, 2, 3}

    scene.recorder.heal()
    scene.recorder.clear()
    scene.cli("upload", large.execution_id, large.path).ok()
    assert sent_parts(scene.recorder) == [4]
    check_stored(scene, large.key)


# --- what others do meanwhile ----------------------------------------------------------------


def test_a_completion_whose_answer_was_lost_is_a_success(scene: Scene, large: Large) -> None:
    """The second completion finds no upload; the object itself tells that the first one did it."""
    scene.recorder.inject(DropAnswer(), "CompleteMultipartUpload")
    scene.cli("upload", large.execution_id, large.path).ok()
    statuses = [call.server_status for call in scene.recorder.calls("CompleteMultipartUpload")]
    assert statuses == [200, 404]
    assert sent_parts(scene.recorder) == [1, 2, 3, 4]
    check_stored(scene, large.key)


def test_an_upload_aborted_between_two_parts_begins_again(
    scene: Scene, large: Large, cli_process: Processes
) -> None:
    hold = Hold("head")
    scene.recorder.inject(hold, "UploadPart", part_number=3)
    process = cli_process.start("upload", large.execution_id, large.path)
    wait_for(hold, process)
    # LocalStack fails to abort an upload while it takes a part of it: let the other three end.
    scene.recorder.wait_for(lambda seen: answered(seen, "UploadPart") == 3)
    [upload_id] = scene.unfinished_uploads()
    scene.s3.abort_multipart_upload(Bucket=scene.bucket, Key=large.key, UploadId=upload_id)
    hold.released.set()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert 404 in {sent.status for sent in scene.recorder.calls("UploadPart")}
    check_stored(scene, large.key)


def complete_while(
    recorder: Proxy, processes: Processes, large: Large, act: Callable[[], object]
) -> int:
    """Upload, do something while the completion is on its way, and return the exit code."""
    hold = Hold("head")
    recorder.inject(hold, "CompleteMultipartUpload")
    process = processes.start("upload", large.execution_id, large.path)
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
    scene: Scene, large: Large, cli_process: Processes, theirs: bytes, exit_code: int
) -> None:
    def take() -> None:
        scene.s3.put_object(Bucket=scene.bucket, Key=large.key, Body=theirs)

    assert complete_while(scene.recorder, cli_process, large, take) == exit_code
    assert scene.recorder.calls("CompleteMultipartUpload")[0].status == 412
    assert scene.contents(large.key) == {large.key: theirs}
    assert scene.unfinished_uploads() == {}


def test_an_upload_that_can_never_be_completed_is_given_up_for_a_new_one(
    scene: Scene, large: Large
) -> None:
    """An upload begun while the key was taken is refused with 409, even once the key is free."""
    scene.s3.put_object(Bucket=scene.bucket, Key=large.key, Body=b"theirs")
    begin_upload(scene, large.key, (1, 2, 3, 4))
    scene.s3.delete_object(Bucket=scene.bucket, Key=large.key)
    scene.cli("upload", large.execution_id, large.path).ok()
    statuses = [call.status for call in scene.recorder.calls("CompleteMultipartUpload")]
    assert (statuses[0], statuses[-1]) == (409, 200)
    check_stored(scene, large.key)


def test_paced_parts_are_verified_as_any_other(scene: Scene, large: Large) -> None:
    scene.cli("upload", large.execution_id, large.path, "--limit-rate", str(400 * MIB)).ok()
    check_stored(scene, large.key)


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1"])
def test_an_upload_with_another_checksum_is_not_taken_over(
    scene: Scene, large: Large, algorithm: Any
) -> None:
    """Begun by another tool with the same part size: it would refuse the parts that we send."""
    foreign = scene.s3.create_multipart_upload(
        Bucket=scene.bucket, Key=large.key, ChecksumAlgorithm=algorithm
    )
    scene.s3.upload_part(
        Bucket=scene.bucket,
        Key=large.key,
        UploadId=foreign["UploadId"],
        PartNumber=1,
        Body=parts_of(CONTENT)[0],
        ChecksumAlgorithm=algorithm,
    )
    scene.cli("upload", large.execution_id, large.path).ok()
    assert sent_parts(scene.recorder) == [1, 2, 3, 4]
    check_stored(scene, large.key)
