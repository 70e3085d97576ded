"""Large files: by parts, resumed from S3's own state, and never mixed with other content."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator_cli.cli.output import human_size, progress
from orchestrator_cli.core.base.errors import AccessError, IntegrityError, UnavailableError
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.checksum import composite, md5, sha256
from orchestrator_cli.core.s3.types import PutOutcome
from orchestrator_cli.core.transfer.engine import TransferEngine
from orchestrator_cli.core.transfer.upload.direct_target import DirectTarget
from orchestrator_cli.core.transfer.upload.parts import multipart_session
from orchestrator_cli.core.transfer.upload.parts import multipart_upload as resume_module
from orchestrator_cli.core.transfer.upload.parts.multipart_upload import MultipartUploader
from orchestrator_cli.runner.upload.connections import RunConnections, UploadProgress
from tests.support.commands.small_scale import PART_BYTES as PART
from tests.support.proxy import faults
from tests.support.proxy.proxy import Proxy
from tests.support.scene import Scene
from tests.support.stored.engine import content, impatient, key_of, open_store
from tests.support.stored.local_files import local_file

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


@dataclass
class Refusal(faults.Fault):
    """A server that fails once it has all of a part, and what was told of it by then."""

    seen: list[int]
    told: list[int]

    def request_end(self, waiting: faults.Waiting) -> None:
        self.seen.append(sum(self.told))
        raise faults.Answered(500, b"<Error><Code>InternalError</Code></Error>", {})


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


def begin(scene: Scene, pieces: dict[int, bytes]) -> str:
    """Leave an unfinished upload with these parts, as an interrupted run does."""
    upload_id = scene.s3.create_multipart_upload(Bucket=scene.bucket, Key=KEY)["UploadId"]
    for number, piece in pieces.items():
        scene.s3.upload_part(
            Bucket=scene.bucket, Key=KEY, UploadId=upload_id, PartNumber=number, Body=piece
        )
    return upload_id


def parts_of(scene: Scene, upload_id: str) -> dict[int, str]:
    listed = scene.s3.list_parts(Bucket=scene.bucket, Key=KEY, UploadId=upload_id).get("Parts", [])
    return {part["PartNumber"]: part["ETag"].strip('"') for part in listed}


def sent_parts(recorder: Proxy) -> list[int]:
    return sorted(one.part_number or 0 for one in recorder.calls("UploadPart"))


# --- parts and checksums -----------------------------------------------------------------


def test_a_large_file_is_stored_by_parts(scene: Scene, big: Path) -> None:
    with opened(scene.bucket, big) as (upload, _):
        outcome, checksum = upload.run()
    assert outcome is PutOutcome.CREATED
    assert scene.contents() == {KEY: DATA}
    assert [one.request_bytes for one in scene.recorder.calls("UploadPart")].count(PART) == 3
    assert scene.recorder.request_bytes("UploadPart") == SIZE
    assert scene.recorder.count("CompleteMultipartUpload") == 1
    assert (
        scene.recorder.calls("CompleteMultipartUpload")[0].request.headers["if-none-match"] == "*"
    )
    head = scene.s3.head_object(Bucket=scene.bucket, Key=KEY)
    assert head["ETag"].strip('"') == str(composite("md5", map(md5, PIECES))).removeprefix("md5:")
    assert {name.lower(): value for name, value in head["Metadata"].items()} == {
        "part-schedule": upload.schedule
    }
    assert str(checksum) == str(composite("sha256", map(sha256, PIECES)))
    count = upload.session.count
    assert (count.sent_bytes, count.resumed_bytes) == (SIZE, 0)


def test_each_part_carries_its_checksum(scene: Scene, big: Path) -> None:
    run(scene.bucket, big)
    from orchestrator_cli.core.s3.checksum import to_base64

    sent = {one.part_number: one.request for one in scene.recorder.calls("UploadPart")}
    for number, piece in enumerate(PIECES, 1):
        expected = to_base64(sha256(piece))
        assert sent[number].headers["x-amz-checksum-sha256"] == expected
        signed = sent[number].headers["authorization"].partition("SignedHeaders=")[2]
        assert "x-amz-checksum-sha256" in signed.partition(",")[0].split(";")
        assert sent[number].headers["x-amz-content-sha256"] == sha256(piece).hex()
        assert sent[number].headers["content-md5"] == to_base64(md5(piece))


def test_parts_are_sent_while_it_is_noted_that_an_upload_begins(scene: Scene, big: Path) -> None:
    """The parts become an object only once that is noted."""

    def fail_late() -> None:
        scene.recorder.wait_for(
            lambda seen: [one.operation for one in seen].count("UploadPart") == 4
        )
        raise UnavailableError("it cannot be noted")

    with opened(scene.bucket, big) as (upload, _):
        upload.before_storing = fail_late
        with pytest.raises(UnavailableError, match="be noted"):
            upload.run()
    assert scene.recorder.count("CompleteMultipartUpload") == 0
    assert scene.contents() == {}


def test_bytes_count_as_they_are_sent_and_not_twice(scene: Scene, big: Path) -> None:
    told: list[int] = []
    before_a_part_is_stored: list[int] = []
    refusal = Refusal(before_a_part_is_stored, told)
    scene.recorder.inject(refusal, "UploadPart")
    with opened(scene.bucket, big, 1) as (upload, _):
        upload.engine.on_bytes = told.append
        assert upload.run()[0] is PutOutcome.CREATED
    assert before_a_part_is_stored[0] > 0
    assert sum(told) == SIZE == upload.session.count.sent_bytes
    told.clear()
    with opened(scene.bucket, big, 1) as (upload, _):
        scene.s3.delete_object(Bucket=scene.bucket, Key=KEY)
        scene.recorder.inject(faults.access_denied(), "UploadPart", times=None)
        upload.engine.on_bytes = told.append
        with pytest.raises(AccessError):
            upload.run()
    assert (sum(told), max(told) > 0) == (0, True)


def test_bytes_that_do_not_arrive_are_no_sign_of_life_to_a_run(scene: Scene, big: Path) -> None:
    """By that, `run` tells whether S3 takes anything, and how long to wait for it."""
    store = open_store(scene.bucket)
    runs = RunConnections(lambda retries: store, UploadProgress())

    def upload() -> None:
        with runs.stream_engine(store) as engine, local_file(big) as source:
            MultipartUploader(engine, DirectTarget(store), source, KEY, "text/plain").run()

    scene.recorder.inject(faults.access_denied(), "UploadPart", times=None)
    with pytest.raises(AccessError):
        upload()
    assert not runs.progress.s3_reachable
    scene.recorder.heal()
    upload()
    assert runs.progress.s3_reachable


def test_the_same_file_again_sends_nothing(scene: Scene, big: Path) -> None:
    run(scene.bucket, big)
    scene.recorder.clear()
    outcome, upload = run(scene.bucket, big)
    assert outcome is PutOutcome.IDENTICAL
    assert scene.recorder.request_bytes() == 0
    # Unfinished uploads are looked for at the same time, unless that has not begun by the end.
    assert scene.recorder.operations().keys() - {"ListMultipartUploads"} == {"HeadObject"}
    count = upload.session.count
    assert (count.sent_bytes, count.resumed_bytes) == (0, 0)


def test_another_file_is_a_conflict(scene: Scene, big: Path) -> None:
    run(scene.bucket, big)
    scene.recorder.clear()
    for other in (OTHER, DATA[:-1], DATA[:-1] + b"\0"):
        big.write_bytes(other)
        assert run(scene.bucket, big)[0] is PutOutcome.CONFLICT
    assert scene.recorder.request_bytes() == 0
    assert scene.contents() == {KEY: DATA}


# --- resuming ----------------------------------------------------------------------------


def test_only_what_s3_lacks_is_sent(scene: Scene, big: Path) -> None:
    begin(scene, {1: PIECES[0], 3: PIECES[2]})
    outcome, upload = run(scene.bucket, big)
    assert outcome is PutOutcome.CREATED
    assert sent_parts(scene.recorder) == [2, 4]
    assert scene.recorder.request_bytes("UploadPart") == PART + 5
    assert scene.recorder.count("CreateMultipartUpload") == 0
    count = upload.session.count
    assert (count.resumed_bytes, count.sent_bytes) == (
        2 * PART,
        PART + 5,
    )
    assert scene.contents() == {KEY: DATA}
    assert scene.unfinished_uploads() == {}


def test_an_upload_with_all_its_parts_is_completed_without_sending_any(
    scene: Scene, big: Path
) -> None:
    begin(scene, dict(enumerate(PIECES, 1)))
    assert run(scene.bucket, big)[0] is PutOutcome.CREATED
    assert scene.recorder.count("UploadPart") == 0
    assert scene.contents() == {KEY: DATA}


def test_the_fullest_upload_is_taken(scene: Scene, big: Path) -> None:
    begin(scene, {1: PIECES[0]})
    begin(scene, {1: PIECES[0], 2: PIECES[1], 3: PIECES[2]})
    begin(scene, {4: PIECES[3]})
    assert run(scene.bucket, big)[0] is PutOutcome.CREATED
    assert sent_parts(scene.recorder) == [4]


FOREIGN: dict[str, dict[int, bytes]] = {
    "other content": {1: OTHER[:PART], 2: OTHER[PART : 2 * PART]},
    "other content after a common beginning": {1: PIECES[0], 2: OTHER[PART : 2 * PART]},
    "parts of another size": {1: DATA[: PART // 2], 2: DATA[PART // 2 : PART]},
    "more parts": dict(enumerate([*PIECES, b"more"], 1)),
    "not a part yet": {},
}


@pytest.mark.parametrize("foreign", FOREIGN)
def test_an_upload_of_other_content_is_neither_trusted_nor_damaged(
    scene: Scene, foreign: str, big: Path
) -> None:
    upload_id = begin(scene, FOREIGN[foreign])
    before = parts_of(scene, upload_id)
    completing: list[dict[int, str]] = []

    class Look(faults.Fault):
        def request_head(self, waiting: object) -> None:
            completing.append(parts_of(scene, upload_id))

    scene.recorder.inject(Look(), "CompleteMultipartUpload")
    outcome, upload = run(scene.bucket, big)
    assert outcome is PutOutcome.CREATED
    assert scene.contents() == {KEY: DATA}
    # Only when the key is taken can it not be completed any more.
    assert completing == [before]
    assert upload_id not in {
        one.request.query["uploadId"] for one in scene.recorder.calls("UploadPart")
    }
    count = upload.session.count
    assert (count.resumed_bytes, count.sent_bytes) == (0, SIZE)


def test_an_upload_of_a_longer_key_is_another_key(scene: Scene, big: Path) -> None:
    upload_id = scene.s3.create_multipart_upload(Bucket=scene.bucket, Key=KEY + "2")["UploadId"]
    scene.s3.upload_part(
        Bucket=scene.bucket, Key=KEY + "2", UploadId=upload_id, PartNumber=1, Body=PIECES[0]
    )
    assert run(scene.bucket, big)[0] is PutOutcome.CREATED
    assert sent_parts(scene.recorder) == [1, 2, 3, 4]
    assert scene.unfinished_uploads() == {upload_id: KEY + "2"}


@pytest.mark.parametrize("operation", ["ListMultipartUploads", "ListParts"])
@pytest.mark.parametrize("fault", [faults.access_denied, faults.internal_error])
def test_where_the_server_does_not_list_what_is_unfinished_only_resuming_is_lost(
    scene: Scene,
    fault: Callable[[], faults.Fault],
    operation: str,
    big: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    impatient(monkeypatch)
    upload_id = begin(scene, {1: PIECES[0]})
    scene.recorder.inject(fault(), operation, times=None)
    assert run(scene.bucket, big)[0] is PutOutcome.CREATED
    assert sent_parts(scene.recorder) == [1, 2, 3, 4]
    # What was seen is given up once the key is taken.
    left = {upload_id: KEY} if operation == "ListMultipartUploads" else {}
    assert scene.unfinished_uploads() == left


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
def test_a_fault_that_passes_fails_no_upload(
    scene: Scene, fault: Callable[[], faults.Fault], operation: str, big: Path
) -> None:
    rule = scene.recorder.inject(fault(), operation, times=2)
    outcome, upload = run(scene.bucket, big)
    assert outcome is PutOutcome.CREATED
    assert rule.struck == 2
    assert scene.contents() == {KEY: DATA}
    count = upload.session.count
    assert (count.resumed_bytes, count.sent_bytes) == (0, SIZE)


def test_a_lost_answer_of_completing_is_our_own_object(scene: Scene, big: Path) -> None:
    scene.recorder.inject(faults.DropAnswer(), "CompleteMultipartUpload")
    assert run(scene.bucket, big)[0] in (PutOutcome.CREATED, PutOutcome.IDENTICAL)
    assert sent_parts(scene.recorder) == [1, 2, 3, 4]
    assert scene.contents() == {KEY: DATA}
    assert scene.unfinished_uploads() == {}


def test_an_upload_aborted_between_two_parts_begins_again(scene: Scene, big: Path) -> None:
    begin(scene, {1: PIECES[0]})

    class Abort(faults.Fault):
        def request_head(self, waiting: object) -> None:
            for upload_id in scene.unfinished_uploads():
                scene.s3.abort_multipart_upload(Bucket=scene.bucket, Key=KEY, UploadId=upload_id)

    scene.recorder.inject(Abort(), "UploadPart", part_number=3)
    outcome, upload = run(scene.bucket, big)
    assert outcome is PutOutcome.CREATED
    assert scene.contents() == {KEY: DATA}
    assert scene.unfinished_uploads() == {}
    assert upload.session.count.sent_bytes >= SIZE


def test_an_upload_that_is_aborted_again_and_again_is_given_up(scene: Scene, big: Path) -> None:
    class Abort(faults.Fault):
        def request_head(self, waiting: object) -> None:
            for upload_id in scene.unfinished_uploads():
                scene.s3.abort_multipart_upload(Bucket=scene.bucket, Key=KEY, UploadId=upload_id)

    scene.recorder.inject(Abort(), "CompleteMultipartUpload", times=None)
    with pytest.raises(UnavailableError, match="ended elsewhere") as caught:
        run(scene.bucket, big)
    assert caught.value.exit_code == 9
    assert scene.recorder.count("CreateMultipartUpload") == resume_module._ATTEMPTS


@pytest.mark.parametrize(("winner", "outcome"), [(DATA, "identical"), (OTHER, "conflict")])
@pytest.mark.parametrize("moment", ["UploadPart", "CompleteMultipartUpload"])
def test_a_key_that_somebody_else_completes_first_is_identical_or_a_conflict(
    scene: Scene, winner: bytes, outcome: str, moment: str, big: Path
) -> None:
    class PutFirst(faults.Fault):
        def request_head(self, waiting: object) -> None:
            scene.s3.put_object(Bucket=scene.bucket, Key=KEY, Body=winner)

    scene.recorder.inject(PutFirst(), moment)
    assert run(scene.bucket, big)[0] == outcome
    assert scene.contents() == {KEY: winner}
    assert scene.unfinished_uploads() == {}


def test_a_server_that_ignores_the_condition_is_looked_at_right_before(
    scene: Scene, big: Path
) -> None:
    class PutFirst(faults.Fault):
        def request_head(self, waiting: object) -> None:
            scene.s3.put_object(Bucket=scene.bucket, Key=KEY, Body=OTHER)

    class IgnoreCondition(faults.Fault):
        def request_head(self, waiting: Any) -> None:
            del waiting.headers["If-None-Match"]

    scene.recorder.inject(PutFirst(), "UploadPart", part_number=4)
    scene.recorder.inject(IgnoreCondition(), "CompleteMultipartUpload", times=None)
    assert run(scene.bucket, big)[0] is PutOutcome.CONFLICT
    assert scene.contents() == {KEY: OTHER}


def test_a_part_overwritten_by_somebody_else_is_not_completed(scene: Scene, big: Path) -> None:
    """Two that write into one upload: S3 answers InvalidPart, and nothing mixed is stored."""

    class Overwrite(faults.Fault):
        def request_head(self, waiting: object) -> None:
            (upload_id,) = scene.unfinished_uploads()
            scene.s3.upload_part(
                Bucket=scene.bucket, Key=KEY, UploadId=upload_id, PartNumber=2, Body=OTHER[:PART]
            )

    scene.recorder.inject(Overwrite(), "CompleteMultipartUpload")
    outcome, upload = run(scene.bucket, big)
    assert outcome is PutOutcome.CREATED
    assert scene.recorder.calls("CompleteMultipartUpload")[0].status == 400
    assert scene.contents() == {KEY: DATA}
    assert upload.session.count.resumed_bytes == 0


def test_parts_sent_before_a_race_are_not_counted_as_resumed(scene: Scene, big: Path) -> None:
    begin(scene, {1: PIECES[0]})
    scene.recorder.inject(faults.Answer(400, "InvalidPart"), "CompleteMultipartUpload")
    outcome, upload = run(scene.bucket, big)
    assert outcome is PutOutcome.CREATED
    assert sent_parts(scene.recorder) == [2, 3, 4]
    count = upload.session.count
    assert (count.resumed_bytes, count.sent_bytes) == (
        PART,
        SIZE - PART,
    )


def test_what_the_server_made_of_it_is_checked(scene: Scene, big: Path) -> None:
    class Replace(faults.Fault):
        def response_head(self, status: int, waiting: object) -> None:
            scene.s3.put_object(Bucket=scene.bucket, Key=KEY, Body=OTHER)

    scene.recorder.inject(Replace(), "CompleteMultipartUpload")
    with pytest.raises(IntegrityError) as caught:
        run(scene.bucket, big)
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
    scene: Scene, change: Callable[[Path], None], concurrency: int, big: Path
) -> None:
    class Change(faults.Fault):
        def request_head(self, waiting: object) -> None:
            change(big)

    scene.recorder.inject(Change(), "UploadPart", part_number=1)
    with (
        pytest.raises(IntegrityError, match="changed while it was read") as caught,
        opened(scene.bucket, big, concurrency) as (upload, _),
    ):
        upload.run()
    assert caught.value.exit_code == 7
    assert scene.recorder.count("CompleteMultipartUpload") == 0
    assert scene.contents() == {}


def test_a_file_that_is_cut_while_it_is_compared(scene: Scene, big: Path) -> None:
    run(scene.bucket, big)

    class Cut(faults.Fault):
        def request_head(self, waiting: object) -> None:
            truncate(big)

    scene.recorder.inject(Cut(), "HeadObject")
    with pytest.raises(IntegrityError, match="changed while it was read"):
        run(scene.bucket, big)


def test_a_file_that_is_removed_has_its_last_chance(scene: Scene, big: Path) -> None:
    class Remove(faults.Fault):
        def request_head(self, waiting: object) -> None:
            big.unlink()

    scene.recorder.inject(Remove(), "UploadPart")
    assert run(scene.bucket, big)[0] is PutOutcome.CREATED
    assert scene.contents() == {KEY: DATA}


# --- the command -------------------------------------------------------------------------


def test_the_command_tells_resumed_and_sent_bytes(
    scene: Scene, big: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PROGRESS_LINE_SECONDS", 0.0)
    execution = scene.new_execution()
    key = key_of("big.bin", execution)
    upload_id = scene.s3.create_multipart_upload(Bucket=scene.bucket, Key=key)["UploadId"]
    scene.s3.upload_part(
        Bucket=scene.bucket, Key=key, UploadId=upload_id, PartNumber=1, Body=PIECES[0]
    )
    resumed = scene.cli("upload", execution, big, "--json").ok()
    (line,) = resumed.json_lines()
    assert line["outcome"] == "created"
    assert line["resumed_bytes"] == PART
    assert line["sent_bytes"] == SIZE - PART
    again = scene.cli("upload", execution, big).ok()
    assert "1 identical; 0 B sent" in again.err
    for result in (resumed, again):
        # What was there already is counted once.
        shown = [line for line in result.err.splitlines() if line.startswith("uploading: ")]
        assert shown[-1].startswith(f"uploading: 1 file, {human_size(SIZE)}, ")


def test_the_command_says_that_a_file_changed(
    scene: Scene, big: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)
    execution = scene.new_execution()

    class Change(faults.Fault):
        def request_head(self, waiting: object) -> None:
            grow(big)

    scene.recorder.inject(Change(), "UploadPart")
    result = scene.cli("upload", execution, big).expect(7)
    assert f"{big} changed while it was read; it was not stored" in result.err
    assert "no longer written to" in result.err


def test_large_and_small_files_side_by_side_never_wait_for_each_other(scene: Scene) -> None:
    """Parts need the threads that small files use: neither may wait for the other forever."""
    files: dict[str, bytes] = {f"{number:02}.txt": b"x" * number for number in range(60)}
    files |= {f"{number:02}.bin": content(PART + number + 1, number) for number in range(3)}
    execution = scene.new_execution()
    scene.cli("upload", execution, scene.write_tree(files), "--concurrency", "2").ok()
    prefix = f"executions/{execution}/artifacts/custom/"
    assert scene.contents(prefix) == {prefix + n: data for n, data in files.items()}


def test_threads_are_gone_after_a_failure(scene: Scene, big: Path) -> None:
    before = set(threading.enumerate())
    scene.recorder.inject(faults.access_denied(), "UploadPart", part_number=2)
    with pytest.raises(Exception, match="access denied"):
        run(scene.bucket, big)
    ours = [t for t in threading.enumerate() if t not in before and t.name.startswith("transfer")]
    for thread in ours:
        thread.join(20)
        assert not thread.is_alive()


def test_whether_others_began_earlier_is_asked_while_parts_are_sent(
    scene: Scene, big: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A distant server would otherwise be asked while there is nothing else to do."""
    monkeypatch.setattr(multipart_session, "TELLING_SECONDS", 0.0)
    with opened(scene.bucket, big, concurrency=1) as (upload, _):
        assert upload.run()[0] is PutOutcome.CREATED
    order = [one.operation for one in scene.recorder.calls()]
    assert order[order.index("CreateMultipartUpload") + 1 :] == [
        *("UploadPart", "ListMultipartUploads", "UploadPart", "UploadPart", "UploadPart"),
        *("HeadObject", "CompleteMultipartUpload", "HeadObject"),
    ]
