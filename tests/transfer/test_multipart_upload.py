"""Large files: by parts, resumed from S3's own state, and never mixed with other content."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator_cli.core.base.errors import IntegrityError, UnavailableError
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.checksum import composite, md5, sha256
from orchestrator_cli.core.s3.types import PutOutcome
from orchestrator_cli.core.transfer.engine import TransferEngine
from orchestrator_cli.core.transfer.upload.direct_target import DirectTarget
from orchestrator_cli.core.transfer.upload.parts import multipart_upload as resume_module
from orchestrator_cli.core.transfer.upload.parts.multipart_upload import MultipartUploader
from tests.support import faults
from tests.support.engine import content, impatient, key_of, new_execution, open_store
from tests.support.local_files import local_file
from tests.support.objects import bucket_contents, unfinished_uploads
from tests.support.proxy import Proxy
from tests.support.running import RunCommand
from tests.support.small_scale import PART_BYTES as PART

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.usefixtures("small_parts")

KEY = key_of("big.bin")
SIZE = 3 * PART + 5
DATA = content(SIZE)
OTHER = content(SIZE, seed=1)
PIECES = [DATA[start : start + PART] for start in range(0, SIZE, PART)]


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """A file of three parts and five bytes."""
    path = tmp_path / "big.bin"
    path.write_bytes(DATA)
    return path


@contextmanager
def opened(
    bucket: str, path: Path, concurrency: int = 4
) -> Iterator[tuple[MultipartUploader, ArtifactStore]]:
    """Open a large upload of the file; its threads are done at the end."""
    store = open_store(bucket)
    with TransferEngine(store.connection, concurrency) as engine, local_file(path) as source:
        target = DirectTarget(store)
        yield MultipartUploader(engine, target, source, KEY, "application/octet-stream"), store


def run(bucket: str, path: Path) -> tuple[PutOutcome, MultipartUploader]:
    with opened(bucket, path) as (upload, _):
        return upload.run()[0], upload


def begin(s3: S3Client, bucket: str, pieces: dict[int, bytes]) -> str:
    """Leave an unfinished upload with these parts, as an interrupted run does."""
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key=KEY)["UploadId"]
    for number, piece in pieces.items():
        s3.upload_part(Bucket=bucket, Key=KEY, UploadId=upload_id, PartNumber=number, Body=piece)
    return upload_id


def parts_of(s3: S3Client, bucket: str, upload_id: str) -> dict[int, str]:
    listed = s3.list_parts(Bucket=bucket, Key=KEY, UploadId=upload_id).get("Parts", [])
    return {part["PartNumber"]: part["ETag"].strip('"') for part in listed}


def sent_parts(recorder: Proxy) -> list[int]:
    return sorted(one.part_number or 0 for one in recorder.calls("UploadPart"))


# --- parts and checksums -----------------------------------------------------------------


def test_a_large_file_is_stored_by_parts(
    recorder: Proxy, s3: S3Client, bucket: str, big: Path
) -> None:
    with opened(bucket, big) as (upload, _):
        outcome, checksum = upload.run()
    assert outcome is PutOutcome.CREATED
    assert bucket_contents(s3, bucket) == {KEY: DATA}
    assert [one.request_bytes for one in recorder.calls("UploadPart")].count(PART) == 3
    assert recorder.request_bytes("UploadPart") == SIZE
    assert recorder.count("CompleteMultipartUpload") == 1
    assert recorder.calls("CompleteMultipartUpload")[0].request.headers["if-none-match"] == "*"
    head = s3.head_object(Bucket=bucket, Key=KEY)
    assert head["ETag"].strip('"') == str(composite("md5", map(md5, PIECES))).removeprefix("md5:")
    assert {name.lower(): value for name, value in head["Metadata"].items()} == {
        "part-schedule": upload.schedule
    }
    # This server keeps no right composite SHA-256, and so its ETag is the witness.
    assert str(checksum) == str(composite("md5", map(md5, PIECES)))
    count = upload.session.count
    assert (count.sent_bytes, count.resumed_bytes) == (SIZE, 0)


def test_each_part_carries_its_checksum(recorder: Proxy, bucket: str, big: Path) -> None:
    run(bucket, big)
    from orchestrator_cli.core.s3.checksum import to_base64

    sent = {one.part_number: one.request for one in recorder.calls("UploadPart")}
    for number, piece in enumerate(PIECES, 1):
        expected = to_base64(sha256(piece))
        assert sent[number].headers["x-amz-checksum-sha256"] == expected
        signed = sent[number].headers["authorization"].partition("SignedHeaders=")[2]
        assert "x-amz-checksum-sha256" in signed.partition(",")[0].split(";")
        assert sent[number].headers["x-amz-content-sha256"] == sha256(piece).hex()
        assert sent[number].headers["content-md5"] == to_base64(md5(piece))


def test_parts_are_sent_while_it_is_noted_that_an_upload_begins(
    recorder: Proxy, s3: S3Client, bucket: str, big: Path
) -> None:
    """The parts become an object only once that is noted."""

    def fail_late() -> None:
        recorder.wait_for(lambda seen: [one.operation for one in seen].count("UploadPart") == 4)
        raise UnavailableError("it cannot be noted")

    with opened(bucket, big) as (upload, _):
        upload.before_storing = fail_late
        with pytest.raises(UnavailableError, match="be noted"):
            upload.run()
    assert recorder.count("CompleteMultipartUpload") == 0
    assert bucket_contents(s3, bucket) == {}


def test_the_same_file_again_sends_nothing(recorder: Proxy, bucket: str, big: Path) -> None:
    run(bucket, big)
    recorder.clear()
    outcome, upload = run(bucket, big)
    assert outcome is PutOutcome.IDENTICAL
    assert recorder.request_bytes() == 0
    assert recorder.operations().keys() == {"HeadObject", "ListMultipartUploads"}
    count = upload.session.count
    assert (count.sent_bytes, count.resumed_bytes) == (0, 0)


def test_another_file_is_a_conflict(recorder: Proxy, s3: S3Client, bucket: str, big: Path) -> None:
    run(bucket, big)
    recorder.clear()
    for other in (OTHER, DATA[:-1], DATA[:-1] + b"\0"):
        big.write_bytes(other)
        assert run(bucket, big)[0] is PutOutcome.CONFLICT
    assert recorder.request_bytes() == 0
    assert bucket_contents(s3, bucket) == {KEY: DATA}


# --- resuming ----------------------------------------------------------------------------


def test_only_what_s3_lacks_is_sent(recorder: Proxy, s3: S3Client, bucket: str, big: Path) -> None:
    begin(s3, bucket, {1: PIECES[0], 3: PIECES[2]})
    outcome, upload = run(bucket, big)
    assert outcome is PutOutcome.CREATED
    assert sent_parts(recorder) == [2, 4]
    assert recorder.request_bytes("UploadPart") == PART + 5
    assert recorder.count("CreateMultipartUpload") == 0
    count = upload.session.count
    assert (count.resumed_bytes, count.sent_bytes) == (
        2 * PART,
        PART + 5,
    )
    assert bucket_contents(s3, bucket) == {KEY: DATA}
    assert unfinished_uploads(s3, bucket) == {}


def test_all_parts_are_there_and_only_completing_is_missing(
    recorder: Proxy, s3: S3Client, bucket: str, big: Path
) -> None:
    begin(s3, bucket, dict(enumerate(PIECES, 1)))
    assert run(bucket, big)[0] is PutOutcome.CREATED
    assert recorder.count("UploadPart") == 0
    assert bucket_contents(s3, bucket) == {KEY: DATA}


def test_the_fullest_upload_is_taken(recorder: Proxy, s3: S3Client, bucket: str, big: Path) -> None:
    begin(s3, bucket, {1: PIECES[0]})
    begin(s3, bucket, {1: PIECES[0], 2: PIECES[1], 3: PIECES[2]})
    begin(s3, bucket, {4: PIECES[3]})
    assert run(bucket, big)[0] is PutOutcome.CREATED
    assert sent_parts(recorder) == [4]


FOREIGN: dict[str, dict[int, bytes]] = {
    "other content": {1: OTHER[:PART], 2: OTHER[PART : 2 * PART]},
    "other content after a common beginning": {1: PIECES[0], 2: OTHER[PART : 2 * PART]},
    "parts of another size": {1: DATA[: PART // 2], 2: DATA[PART // 2 : PART]},
    "more parts": dict(enumerate([*PIECES, b"more"], 1)),
    "not a part yet": {},
}


@pytest.mark.parametrize("foreign", FOREIGN)
def test_an_upload_of_other_content_is_neither_trusted_nor_damaged(
    foreign: str, recorder: Proxy, s3: S3Client, bucket: str, big: Path
) -> None:
    upload_id = begin(s3, bucket, FOREIGN[foreign])
    before = parts_of(s3, bucket, upload_id)
    completing: list[dict[int, str]] = []

    class Look(faults.Fault):
        def request_head(self, waiting: object) -> None:
            completing.append(parts_of(s3, bucket, upload_id))

    recorder.inject(Look(), "CompleteMultipartUpload")
    outcome, upload = run(bucket, big)
    assert outcome is PutOutcome.CREATED
    assert bucket_contents(s3, bucket) == {KEY: DATA}
    # Only when the key is taken can it not be completed any more.
    assert completing == [before]
    assert upload_id not in {one.request.query["uploadId"] for one in recorder.calls("UploadPart")}
    count = upload.session.count
    assert (count.resumed_bytes, count.sent_bytes) == (0, SIZE)


def test_an_upload_of_a_longer_key_is_another_key(
    recorder: Proxy, s3: S3Client, bucket: str, big: Path
) -> None:
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key=KEY + "2")["UploadId"]
    s3.upload_part(Bucket=bucket, Key=KEY + "2", UploadId=upload_id, PartNumber=1, Body=PIECES[0])
    assert run(bucket, big)[0] is PutOutcome.CREATED
    assert sent_parts(recorder) == [1, 2, 3, 4]
    assert unfinished_uploads(s3, bucket) == {upload_id: KEY + "2"}


@pytest.mark.parametrize("operation", ["ListMultipartUploads", "ListParts"])
@pytest.mark.parametrize("fault", [faults.access_denied, faults.internal_error])
def test_where_the_server_does_not_list_what_is_unfinished_only_resuming_is_lost(
    fault: Callable[[], faults.Fault],
    operation: str,
    recorder: Proxy,
    s3: S3Client,
    bucket: str,
    big: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    impatient(monkeypatch)
    upload_id = begin(s3, bucket, {1: PIECES[0]})
    recorder.inject(fault(), operation, times=None)
    assert run(bucket, big)[0] is PutOutcome.CREATED
    assert sent_parts(recorder) == [1, 2, 3, 4]
    # What was seen is given up once the key is taken.
    left = {upload_id: KEY} if operation == "ListMultipartUploads" else {}
    assert unfinished_uploads(s3, bucket) == left


# --- faults ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "operation"),
    [
        (faults.internal_error, "UploadPart"),
        (faults.slow_down, "UploadPart"),
        (lambda: faults.ResetInside(PART // 3), "UploadPart"),
        (faults.ResetAfter, "UploadPart"),
        (faults.DropAnswer, "UploadPart"),
        (lambda: faults.CorruptRequest(PART // 2), "UploadPart"),
        (faults.internal_error, "CreateMultipartUpload"),
        (faults.DropAnswer, "CreateMultipartUpload"),
        (faults.internal_error, "CompleteMultipartUpload"),
        (faults.error_in_200, "CompleteMultipartUpload"),
        (faults.ResetBefore, "ListMultipartUploads"),
        (faults.slow_down, "HeadObject"),
    ],
)
def test_what_can_pass_passes(
    fault: Callable[[], faults.Fault],
    operation: str,
    recorder: Proxy,
    s3: S3Client,
    bucket: str,
    big: Path,
) -> None:
    rule = recorder.inject(fault(), operation, times=2)
    outcome, upload = run(bucket, big)
    assert outcome is PutOutcome.CREATED
    assert rule.struck == 2
    assert bucket_contents(s3, bucket) == {KEY: DATA}
    count = upload.session.count
    assert (count.resumed_bytes, count.sent_bytes) == (0, SIZE)


def test_a_lost_answer_of_completing_is_our_own_object(
    recorder: Proxy, s3: S3Client, bucket: str, big: Path
) -> None:
    recorder.inject(faults.DropAnswer(), "CompleteMultipartUpload")
    assert run(bucket, big)[0] in (PutOutcome.CREATED, PutOutcome.IDENTICAL)
    assert sent_parts(recorder) == [1, 2, 3, 4]
    assert bucket_contents(s3, bucket) == {KEY: DATA}
    assert unfinished_uploads(s3, bucket) == {}


def test_an_upload_aborted_between_two_parts_begins_again(
    recorder: Proxy, s3: S3Client, bucket: str, big: Path
) -> None:
    begin(s3, bucket, {1: PIECES[0]})

    class Abort(faults.Fault):
        def request_head(self, waiting: object) -> None:
            for upload_id in unfinished_uploads(s3, bucket):
                s3.abort_multipart_upload(Bucket=bucket, Key=KEY, UploadId=upload_id)

    recorder.inject(Abort(), "UploadPart", part_number=3)
    outcome, upload = run(bucket, big)
    assert outcome is PutOutcome.CREATED
    assert bucket_contents(s3, bucket) == {KEY: DATA}
    assert unfinished_uploads(s3, bucket) == {}
    assert upload.session.count.sent_bytes >= SIZE


def test_an_upload_that_is_aborted_again_and_again_is_given_up(
    recorder: Proxy, s3: S3Client, bucket: str, big: Path
) -> None:
    class Abort(faults.Fault):
        def request_head(self, waiting: object) -> None:
            for upload_id in unfinished_uploads(s3, bucket):
                s3.abort_multipart_upload(Bucket=bucket, Key=KEY, UploadId=upload_id)

    recorder.inject(Abort(), "CompleteMultipartUpload", times=None)
    with pytest.raises(UnavailableError, match="ended elsewhere") as caught:
        run(bucket, big)
    assert caught.value.exit_code == 9
    assert recorder.count("CreateMultipartUpload") == resume_module._ATTEMPTS


@pytest.mark.parametrize(("winner", "outcome"), [(DATA, "identical"), (OTHER, "conflict")])
@pytest.mark.parametrize("moment", ["UploadPart", "CompleteMultipartUpload"])
def test_somebody_else_completes_first(
    winner: bytes,
    outcome: str,
    moment: str,
    recorder: Proxy,
    s3: S3Client,
    bucket: str,
    big: Path,
) -> None:
    class PutFirst(faults.Fault):
        def request_head(self, waiting: object) -> None:
            s3.put_object(Bucket=bucket, Key=KEY, Body=winner)

    recorder.inject(PutFirst(), moment)
    assert run(bucket, big)[0] == outcome
    assert bucket_contents(s3, bucket) == {KEY: winner}
    assert unfinished_uploads(s3, bucket) == {}


def test_a_server_that_ignores_the_condition_is_looked_at_right_before(
    recorder: Proxy, s3: S3Client, bucket: str, big: Path
) -> None:
    class PutFirst(faults.Fault):
        def request_head(self, waiting: object) -> None:
            s3.put_object(Bucket=bucket, Key=KEY, Body=OTHER)

    class IgnoreCondition(faults.Fault):
        def request_head(self, waiting: Any) -> None:
            del waiting.headers["If-None-Match"]

    recorder.inject(PutFirst(), "UploadPart", part_number=4)
    recorder.inject(IgnoreCondition(), "CompleteMultipartUpload", times=None)
    assert run(bucket, big)[0] is PutOutcome.CONFLICT
    assert bucket_contents(s3, bucket) == {KEY: OTHER}


def test_a_part_overwritten_by_somebody_else_is_not_completed(
    recorder: Proxy, s3: S3Client, bucket: str, big: Path
) -> None:
    """Two that write into one upload: S3 answers InvalidPart, and nothing mixed is stored."""

    class Overwrite(faults.Fault):
        def request_head(self, waiting: object) -> None:
            (upload_id,) = unfinished_uploads(s3, bucket)
            s3.upload_part(
                Bucket=bucket, Key=KEY, UploadId=upload_id, PartNumber=2, Body=OTHER[:PART]
            )

    recorder.inject(Overwrite(), "CompleteMultipartUpload")
    outcome, upload = run(bucket, big)
    assert outcome is PutOutcome.CREATED
    assert recorder.calls("CompleteMultipartUpload")[0].status == 400
    assert bucket_contents(s3, bucket) == {KEY: DATA}
    assert upload.session.count.resumed_bytes == 0


def test_parts_sent_before_a_race_are_not_counted_as_resumed(
    recorder: Proxy, s3: S3Client, bucket: str, big: Path
) -> None:
    begin(s3, bucket, {1: PIECES[0]})
    recorder.inject(faults.Answer(400, "InvalidPart"), "CompleteMultipartUpload")
    outcome, upload = run(bucket, big)
    assert outcome is PutOutcome.CREATED
    assert sent_parts(recorder) == [2, 3, 4]
    count = upload.session.count
    assert (count.resumed_bytes, count.sent_bytes) == (
        PART,
        SIZE - PART,
    )


def test_what_the_server_made_of_it_is_checked(
    recorder: Proxy, s3: S3Client, bucket: str, big: Path
) -> None:
    class Replace(faults.Fault):
        def response_head(self, status: int, waiting: object) -> None:
            s3.put_object(Bucket=bucket, Key=KEY, Body=OTHER)

    recorder.inject(Replace(), "CompleteMultipartUpload")
    with pytest.raises(IntegrityError) as caught:
        run(bucket, big)
    assert caught.value.exit_code == 7


# --- the source changes ------------------------------------------------------------------


def truncate(path: Path) -> None:
    os.truncate(path, PART + 1)


def grow(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(b"more")


def overwrite(path: Path) -> None:
    with open(path, "r+b") as file:
        file.write(b"other")


def replace(path: Path) -> None:
    fresh = path.with_name("fresh")
    fresh.write_bytes(OTHER)
    os.replace(fresh, path)


@pytest.mark.parametrize("change", [truncate, grow, overwrite, replace])
@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_file_that_changes_while_it_is_read_is_not_completed(
    change: Callable[[Path], None],
    concurrency: int,
    recorder: Proxy,
    s3: S3Client,
    bucket: str,
    big: Path,
) -> None:
    class Change(faults.Fault):
        def request_head(self, waiting: object) -> None:
            change(big)

    recorder.inject(Change(), "UploadPart", part_number=1)
    with (
        pytest.raises(IntegrityError, match="changed while it was read") as caught,
        opened(bucket, big, concurrency) as (upload, _),
    ):
        upload.run()
    assert caught.value.exit_code == 7
    assert recorder.count("CompleteMultipartUpload") == 0
    assert bucket_contents(s3, bucket) == {}


def test_a_file_that_is_cut_while_it_is_compared(
    recorder: Proxy, s3: S3Client, bucket: str, big: Path
) -> None:
    run(bucket, big)

    class Cut(faults.Fault):
        def request_head(self, waiting: object) -> None:
            truncate(big)

    recorder.inject(Cut(), "HeadObject")
    with pytest.raises(IntegrityError, match="changed while it was read"):
        run(bucket, big)


def test_a_file_that_is_removed_has_its_last_chance(
    recorder: Proxy, s3: S3Client, bucket: str, big: Path
) -> None:
    class Remove(faults.Fault):
        def request_head(self, waiting: object) -> None:
            big.unlink()

    recorder.inject(Remove(), "UploadPart")
    assert run(bucket, big)[0] is PutOutcome.CREATED
    assert bucket_contents(s3, bucket) == {KEY: DATA}


# --- the command -------------------------------------------------------------------------


def test_the_command_tells_resumed_and_sent_bytes(
    cli: RunCommand, recorder: Proxy, s3: S3Client, bucket: str, big: Path
) -> None:
    execution = new_execution(cli)
    key = key_of("big.bin", execution)
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    s3.upload_part(Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=1, Body=PIECES[0])
    (line,) = cli("upload", execution, big, "--json").ok().json_lines()
    assert line["outcome"] == "created"
    assert line["resumed_bytes"] == PART
    assert line["sent_bytes"] == SIZE - PART
    result = cli("upload", execution, big).ok()
    assert "1 identical; 0 B sent" in result.err


def test_the_command_says_that_a_file_changed(
    cli: RunCommand,
    recorder: Proxy,
    bucket: str,
    big: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    impatient(monkeypatch)
    execution = new_execution(cli)

    class Change(faults.Fault):
        def request_head(self, waiting: object) -> None:
            grow(big)

    recorder.inject(Change(), "UploadPart")
    result = cli("upload", execution, big).expect(7)
    assert f"{big} changed while it was read; it was not stored" in result.err
    assert "no longer written to" in result.err


def test_large_and_small_files_side_by_side_never_wait_for_each_other(
    cli: RunCommand,
    s3: S3Client,
    bucket: str,
    make_tree: Callable[..., Path],
) -> None:
    """Parts need the threads that small files use: neither may wait for the other forever."""
    files: dict[str, bytes] = {f"{number:02}.txt": b"x" * number for number in range(60)}
    files |= {f"{number:02}.bin": content(PART + number + 1, number) for number in range(3)}
    execution = new_execution(cli)
    cli("upload", execution, make_tree(files), "--concurrency", "2").ok()
    prefix = f"executions/{execution}/artifacts/custom/"
    assert bucket_contents(s3, bucket, prefix) == {prefix + n: data for n, data in files.items()}


def test_threads_are_gone_after_a_failure(recorder: Proxy, bucket: str, big: Path) -> None:
    before = set(threading.enumerate())
    recorder.inject(faults.access_denied(), "UploadPart", part_number=2)
    with pytest.raises(Exception, match="access denied"):
        run(bucket, big)
    ours = [t for t in threading.enumerate() if t not in before and t.name.startswith("transfer")]
    for thread in ours:
        thread.join(20)
        assert not thread.is_alive()
