"""Standard input of any length: stored in bounded memory, resumed, compared."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator_cli.core.base.errors import (
    AccessError,
    NotFoundError,
    OrchestratorError,
    UnavailableError,
)
from orchestrator_cli.core.base.rate_limiter import RateLimiter
from orchestrator_cli.core.s3.compare import SHA256_METADATA
from orchestrator_cli.core.s3.types import PutOutcome
from orchestrator_cli.core.transfer.engine import TransferEngine
from orchestrator_cli.core.transfer.upload.direct_target import DirectTarget
from orchestrator_cli.core.transfer.upload.parts import stream_parts as pieces_module
from orchestrator_cli.core.transfer.upload.parts.stream_upload import StreamUpload
from tests.support import faults
from tests.support.engine import content, impatient, key_of, new_execution, open_store
from tests.support.executions import make_id, read_record
from tests.support.forkserver import ForkServer
from tests.support.objects import bucket_contents, unfinished_uploads
from tests.support.proxy import Proxy
from tests.support.running import Processes, RunCommand
from tests.support.small_scale import DOUBLING
from tests.support.small_scale import PART_BYTES as PART

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.usefixtures("small_parts")

KEY = key_of("stdout.log")
TEXT = "text/plain; charset=utf-8"
DATA = content(3 * PART + 7)
PIECES = [DATA[start : start + PART] for start in range(0, len(DATA), PART)]


class Dribble(io.RawIOBase):
    """A pipe: gives what it likes, never as much as is asked for; `ended` once it was read up."""

    def __init__(self, data: bytes, step: int = 8_009) -> None:
        super().__init__()
        self._data = memoryview(data)
        self._step = step
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = min(len(buffer), self._step, len(self._data))
        buffer[:size] = self._data[:size]
        self._data = self._data[size:]
        self.ended = size == 0
        return size


def run(
    bucket: str, stream: Dribble, pace: RateLimiter | None = None, concurrency: int = 4
) -> tuple[PutOutcome, StreamUpload]:
    store = open_store(bucket, pace=pace)
    with TransferEngine(store.connection, concurrency) as engine:
        upload = StreamUpload(engine, DirectTarget(store), KEY, TEXT)
        return upload.run(stream)[0], upload


def begin(s3: S3Client, bucket: str, pieces: dict[int, bytes]) -> str:
    """Leave an unfinished upload with these parts, as a killed pipe does."""
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key=KEY)["UploadId"]
    for number, piece in pieces.items():
        s3.upload_part(Bucket=bucket, Key=KEY, UploadId=upload_id, PartNumber=number, Body=piece)
    return upload_id


def spool_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every part be too large for memory; it is read in pieces that fill it."""
    monkeypatch.setattr(pieces_module, "_SPOOL_ABOVE_BYTES", 0)
    monkeypatch.setattr(pieces_module, "MIB", PART // 4)


def sent_parts(recorder: Proxy) -> list[int]:
    return sorted(one.part_number or 0 for one in recorder.calls("UploadPart"))


# --- lengths -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "parts"),
    [
        (0, 0),
        (1, 0),
        (PART - 1, 0),
        (PART, 0),
        (PART + 1, 2),
        (2 * PART, 2),
        (3 * PART, 3),
        (5 * PART, 5),
    ],
)
def test_a_stream_of_any_length_is_stored_in_parts_of_the_plan(
    size: int, parts: int, recorder: Proxy, s3: S3Client, bucket: str
) -> None:
    data = content(size)
    outcome, upload = run(bucket, Dribble(data))
    assert outcome is PutOutcome.CREATED
    assert upload.size_bytes == upload.session.count.sent_bytes == size
    assert bucket_contents(s3, bucket) == {KEY: data}
    assert s3.head_object(Bucket=bucket, Key=KEY)["ContentType"] == TEXT
    assert sent_parts(recorder) == list(range(1, parts + 1))
    # A stream that fits into one part is an object like that of a file: one PutObject.
    assert recorder.count("PutObject") == (0 if parts else 1)
    last = recorder.calls("CompleteMultipartUpload" if parts else "PutObject")[-1]
    assert last.request.headers["if-none-match"] == "*"
    recorder.clear()
    outcome, again = run(bucket, Dribble(data))
    assert outcome is PutOutcome.IDENTICAL
    assert again.session.count.sent_bytes == 0
    assert recorder.request_bytes() == 0


@pytest.mark.parametrize("size", [100, PART + 100])
def test_a_stream_and_a_file_of_the_same_bytes_are_identical(
    size: int,
    cli: RunCommand,
    recorder: Proxy,
    s3env: dict[str, str],
    make_tree: Callable[..., Path],
) -> None:
    data = content(size)
    execution = new_execution(cli)
    cli("upload", execution, "-", "--name", "stdout.log", stdin=data).ok()
    tree = make_tree({"stdout.log": data, "stderr.log": data})
    recorder.clear()
    result = cli("upload", execution, tree, "--json").ok()
    outcomes = {line["path"]: line["outcome"] for line in result.json_lines()}
    assert outcomes == {"logs/stdout.log": "identical", "logs/stderr.log": "created"}
    again = cli("upload", execution, "-", "--name", "stderr.log", "--json", stdin=data).ok()
    assert again.json()["outcome"] == "identical"
    assert recorder.request_bytes(key=key_of("stdout.log", execution)) == 0


# --- the key is taken --------------------------------------------------------------------


@pytest.mark.parametrize("stored_as", ["stream", "small", "other tool"])
def test_a_taken_key_is_compared_and_the_pipe_is_read_to_its_end(
    stored_as: str, recorder: Proxy, s3: S3Client, bucket: str
) -> None:
    if stored_as == "stream":
        run(bucket, Dribble(DATA))
    elif stored_as == "small":
        s3.put_object(Bucket=bucket, Key=KEY, Body=DATA)
    else:
        # Parts of its own size, and no word about them: only reading it back can tell.
        upload_id = s3.create_multipart_upload(Bucket=bucket, Key=KEY)["UploadId"]
        tags = [
            s3.upload_part(
                Bucket=bucket, Key=KEY, UploadId=upload_id, PartNumber=number, Body=piece
            )["ETag"]
            for number, piece in enumerate((DATA[: PART // 2], DATA[PART // 2 :]), 1)
        ]
        chosen: Any = {"Parts": [{"PartNumber": n, "ETag": tag} for n, tag in enumerate(tags, 1)]}
        s3.complete_multipart_upload(
            Bucket=bucket, Key=KEY, UploadId=upload_id, MultipartUpload=chosen
        )
    recorder.clear()
    for stream, expected in (
        (DATA, PutOutcome.IDENTICAL),
        (b"\0" + DATA[1:], PutOutcome.CONFLICT),
        (DATA[:-1] + b"\0", PutOutcome.CONFLICT),
        (DATA + b"more", PutOutcome.CONFLICT),
        (DATA[:-1], PutOutcome.CONFLICT),
        (DATA + DATA, PutOutcome.CONFLICT),
    ):
        pipe = Dribble(stream)
        outcome, upload = run(bucket, pipe)
        assert outcome is expected
        assert upload.size_bytes == len(stream)
        assert pipe.ended, "who writes into the pipe must not die of it"
        assert upload.session.count.sent_bytes == 0
    assert recorder.request_bytes() == 0
    assert bucket_contents(s3, bucket) == {KEY: DATA}


@pytest.mark.parametrize("as_parts", [True, False])
@pytest.mark.parametrize("same", [True, False])
def test_somebody_else_stores_the_key_meanwhile(
    as_parts: bool,
    same: bool,
    recorder: Proxy,
    s3: S3Client,
    bucket: str,
    tmp_path: Path,
) -> None:
    """The stream is gone by then: what was computed on the way has to do."""
    winner = DATA if same else DATA[:-1] + b"\0"
    source = tmp_path / "stdout.log"
    source.write_bytes(winner)

    class StoreFirst(faults.Fault):
        def request_head(self, waiting: object) -> None:
            if as_parts:
                run_elsewhere(winner)
            else:
                s3.put_object(
                    Bucket=bucket, Key=KEY, Body=winner, Metadata={SHA256_METADATA: "unknown"}
                )

    def run_elsewhere(data: bytes) -> None:
        upload_id = s3.create_multipart_upload(
            Bucket=bucket, Key=KEY, Metadata={"part-schedule": DOUBLING}
        )["UploadId"]
        pieces = [data[start : start + PART] for start in range(0, len(data), PART)]
        tags = [
            s3.upload_part(
                Bucket=bucket, Key=KEY, UploadId=upload_id, PartNumber=number, Body=piece
            )["ETag"]
            for number, piece in enumerate(pieces, 1)
        ]
        chosen: Any = {"Parts": [{"PartNumber": n, "ETag": tag} for n, tag in enumerate(tags, 1)]}
        s3.complete_multipart_upload(
            Bucket=bucket, Key=KEY, UploadId=upload_id, MultipartUpload=chosen
        )

    recorder.inject(StoreFirst(), "UploadPart", part_number=4)
    pipe = Dribble(DATA)
    outcome, _ = run(bucket, pipe)
    assert outcome is (PutOutcome.IDENTICAL if same else PutOutcome.CONFLICT)
    assert pipe.ended
    assert bucket_contents(s3, bucket) == {KEY: winner}
    # What can never be completed does not stay and cost.
    assert unfinished_uploads(s3, bucket) == {}


@pytest.mark.parametrize("same", [True, False])
def test_parts_that_wait_for_their_turn_are_compared_too(
    same: bool, recorder: Proxy, s3: S3Client, bucket: str
) -> None:
    """Somebody else has won before they began: they cannot be read again to be compared."""
    winner = DATA if same else DATA[:-1] + b"\0"

    class Win(faults.Fault):
        def request_head(self, waiting: object) -> None:
            s3.put_object(Bucket=bucket, Key=KEY, Body=winner)
            for upload_id in unfinished_uploads(s3, bucket):
                s3.abort_multipart_upload(Bucket=bucket, Key=KEY, UploadId=upload_id)

    recorder.inject(Win(), "UploadPart", part_number=1)
    outcome, _ = run(bucket, Dribble(DATA), concurrency=1)
    assert outcome is (PutOutcome.IDENTICAL if same else PutOutcome.CONFLICT)
    assert recorder.count("CompleteMultipartUpload") == 0


def test_a_server_that_ignores_the_condition_is_looked_at_right_before(
    recorder: Proxy, s3: S3Client, bucket: str
) -> None:
    class PutFirst(faults.Fault):
        def request_head(self, waiting: object) -> None:
            s3.put_object(Bucket=bucket, Key=KEY, Body=b"other")

    class IgnoreCondition(faults.Fault):
        def request_head(self, waiting: Any) -> None:
            del waiting.headers["If-None-Match"]

    recorder.inject(PutFirst(), "UploadPart", part_number=4)
    recorder.inject(IgnoreCondition(), "CompleteMultipartUpload", times=None)
    assert run(bucket, Dribble(DATA))[0] is PutOutcome.CONFLICT
    assert bucket_contents(s3, bucket) == {KEY: b"other"}


# --- resuming ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "sent"),
    [
        ({1: 0}, [2, 3, 4]),
        ({1: 0, 2: 1, 3: 2}, [4]),
        ({2: 1, 3: 2}, [1, 4]),  # part 1 was the one that got lost
        ({3: 2}, [1, 2, 4]),  # both that were read first got lost
        ({4: 3}, [1, 2, 3]),
        ({1: 0, 2: 1, 3: 2, 4: 3}, []),
    ],
)
def test_a_repeated_pipe_sends_only_what_s3_lacks(
    there: dict[int, int], sent: list[int], recorder: Proxy, s3: S3Client, bucket: str
) -> None:
    begin(s3, bucket, {number: PIECES[index] for number, index in there.items()})
    outcome, upload = run(bucket, Dribble(DATA))
    assert outcome is PutOutcome.CREATED
    assert sent_parts(recorder) == sent
    assert bucket_contents(s3, bucket) == {KEY: DATA}
    assert upload.session.count.sent_bytes == sum(len(PIECES[number - 1]) for number in sent)
    assert upload.session.count.sent_bytes + upload.session.count.resumed_bytes == len(DATA)
    assert unfinished_uploads(s3, bucket) == {}


OTHER = content(2 * PART, seed=1)


@pytest.mark.parametrize(
    "foreign",
    [
        {1: OTHER[:PART]},
        {1: PIECES[0], 2: OTHER[:PART]},
        {3: OTHER[:PART]},
        {},
    ],
    ids=["other first part", "other second part", "other third part", "no part yet"],
)
def test_an_upload_that_begins_otherwise_is_left_alone(
    foreign: dict[int, bytes], recorder: Proxy, s3: S3Client, bucket: str
) -> None:
    upload_id = begin(s3, bucket, foreign)
    outcome, upload = run(bucket, Dribble(DATA))
    assert outcome is PutOutcome.CREATED
    assert upload_id not in {one.request.query["uploadId"] for one in recorder.calls("UploadPart")}
    assert upload.session.count.resumed_bytes == 0
    assert bucket_contents(s3, bucket) == {KEY: DATA}


def test_a_part_that_differs_later_is_sent_over_it(
    recorder: Proxy, s3: S3Client, bucket: str
) -> None:
    begin(s3, bucket, {1: PIECES[0], 2: PIECES[1], 3: OTHER[:PART], 4: b"longer than ours"})
    assert run(bucket, Dribble(DATA))[0] is PutOutcome.CREATED
    assert sent_parts(recorder) == [3, 4]
    assert bucket_contents(s3, bucket) == {KEY: DATA}


def test_a_shorter_pipe_leaves_the_parts_behind_its_end_out(
    recorder: Proxy, s3: S3Client, bucket: str
) -> None:
    begin(s3, bucket, dict(enumerate(PIECES, 1)))
    shorter = DATA[: 2 * PART]
    assert run(bucket, Dribble(shorter))[0] is PutOutcome.CREATED
    assert bucket_contents(s3, bucket) == {KEY: shorter}


# --- faults ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "operation"),
    [
        (faults.slow_down, "UploadPart"),
        (lambda: faults.ResetInside(PART // 3), "UploadPart"),
        (faults.DropAnswer, "UploadPart"),
        (faults.error_in_200, "CompleteMultipartUpload"),
        (faults.DropAnswer, "CompleteMultipartUpload"),
        (faults.internal_error, "CreateMultipartUpload"),
        (faults.ResetBefore, "HeadObject"),
    ],
)
@pytest.mark.parametrize("spooled", [False, True])
def test_what_can_pass_passes(
    fault: Callable[[], faults.Fault],
    operation: str,
    spooled: bool,
    recorder: Proxy,
    s3: S3Client,
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if spooled:
        spool_all(monkeypatch)
    rule = recorder.inject(fault(), operation)
    outcome, upload = run(bucket, Dribble(DATA))
    assert rule.struck == 1
    assert outcome in (PutOutcome.CREATED, PutOutcome.IDENTICAL)
    assert upload.session.count.sent_bytes == len(DATA)
    assert bucket_contents(s3, bucket) == {KEY: DATA}
    assert unfinished_uploads(s3, bucket) == {}


def test_an_upload_that_was_aborted_cannot_be_mended_by_a_pipe(
    recorder: Proxy, s3: S3Client, bucket: str
) -> None:
    class Abort(faults.Fault):
        def request_head(self, waiting: object) -> None:
            for upload_id in unfinished_uploads(s3, bucket):
                s3.abort_multipart_upload(Bucket=bucket, Key=KEY, UploadId=upload_id)

    recorder.inject(Abort(), "UploadPart", part_number=3)
    with pytest.raises(UnavailableError, match="ended elsewhere") as caught:
        run(bucket, Dribble(DATA))
    assert caught.value.exit_code == 9
    assert bucket_contents(s3, bucket) == {}
    assert run(bucket, Dribble(DATA))[0] is PutOutcome.CREATED


def test_a_refusal_ends_an_endless_pipe(recorder: Proxy, bucket: str) -> None:
    class Endless(Dribble):
        def readinto(self, buffer: Any) -> int:
            return len(buffer)

    recorder.inject(faults.access_denied(), "UploadPart", times=None)
    with pytest.raises(AccessError):
        run(bucket, Endless(b""))
    assert recorder.count("CompleteMultipartUpload") == 0


def test_a_refusal_is_told_although_an_earlier_part_stalls(recorder: Proxy, bucket: str) -> None:
    """In the order of the parts, the first one's answer would be waited for: for a minute."""
    recorder.inject(faults.Stall(), "UploadPart", part_number=1, times=None)
    recorder.inject(faults.access_denied(), "UploadPart", part_number=4, times=None)
    store = open_store(bucket)
    engine = TransferEngine(store.connection, 4)
    try:
        with pytest.raises(AccessError), engine:
            StreamUpload(engine, DirectTarget(store), KEY, TEXT).run(Dribble(DATA))
    finally:
        recorder.close()  # which ends the stall


def test_a_pipe_that_breaks_is_not_completed(recorder: Proxy, s3: S3Client, bucket: str) -> None:
    class Broken(Dribble):
        def readinto(self, buffer: Any) -> int:
            if len(self._data) < PART:
                raise OSError(5, "Input/output error")
            return super().readinto(buffer)

    with pytest.raises(OSError, match="Input/output error"):
        run(bucket, Broken(DATA))
    assert bucket_contents(s3, bucket) == {}


# --- spooled parts -----------------------------------------------------------------------


def test_parts_too_large_for_memory_are_spooled(
    recorder: Proxy,
    s3: S3Client,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spool_all(monkeypatch)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    begin(s3, bucket, {1: PIECES[0], 3: PIECES[2]})
    outcome, upload = run(bucket, Dribble(DATA))
    assert outcome is PutOutcome.CREATED
    assert sent_parts(recorder) == [2, 4]
    assert upload.session.count.resumed_bytes == 2 * PART
    assert bucket_contents(s3, bucket) == {KEY: DATA}
    assert list(tmp_path.iterdir()) == []
    for stream, expected in ((DATA, PutOutcome.IDENTICAL), (DATA[1:], PutOutcome.CONFLICT)):
        assert run(bucket, Dribble(stream))[0] is expected


def test_a_spooled_stream_of_one_part_is_one_object(
    recorder: Proxy, s3: S3Client, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool_all(monkeypatch)
    assert run(bucket, Dribble(b"short"))[0] is PutOutcome.CREATED
    assert bucket_contents(s3, bucket) == {KEY: b"short"}


def test_spools_are_closed(recorder: Proxy, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    original = tempfile.TemporaryFile

    def open_one(*args: Any, **options: Any) -> Any:
        opened.append(original(*args, **options))
        return opened[-1]

    spool_all(monkeypatch)
    monkeypatch.setattr(tempfile, "TemporaryFile", open_one)
    run(bucket, Dribble(DATA))
    assert len(opened) >= len(PIECES)
    assert all(spool.closed for spool in opened)


def test_a_paced_stream_is_sent_again_after_a_reset(
    recorder: Proxy, s3: S3Client, bucket: str
) -> None:
    pace = RateLimiter(1 << 40)
    recorder.inject(faults.ResetInside(PART // 4), "UploadPart")
    assert run(bucket, Dribble(DATA), pace=pace)[0] is PutOutcome.CREATED
    assert bucket_contents(s3, bucket) == {KEY: DATA}


# --- the command -------------------------------------------------------------------------


def test_the_command_stores_a_pipe(cli: RunCommand, s3: S3Client, bucket: str) -> None:
    execution = new_execution(cli)
    key = key_of("stdout.log", execution)
    stored = cli("upload", execution, "-", "--name", "logs/stdout.log", "--json", stdin=DATA).ok()
    assert stored.json()["outcome"] == "created"
    assert stored.json()["size_bytes"] == stored.json()["sent_bytes"] == len(DATA)
    assert stored.json()["source"] == "-"
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == DATA
    again = cli("upload", execution, "-", "--name", "stdout.log", "--json", stdin=DATA).ok()
    assert again.json()["outcome"] == "identical"
    assert again.json()["sent_bytes"] == 0
    other = cli("upload", execution, "-", "--name", "stdout.log", stdin=DATA + b"x").expect(6)
    assert "nothing was changed" in other.err
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == DATA


def test_an_empty_pipe_is_an_empty_file(cli: RunCommand, s3: S3Client, bucket: str) -> None:
    execution = new_execution(cli)
    cli("upload", execution, "-", "--name", "stderr.log", stdin=b"").ok()
    key = key_of("stderr.log", execution)
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b""


@pytest.mark.parametrize(
    "arguments", [("-",), ("-", "x.txt", "--name", "a"), ("-", "--name", "../x")]
)
def test_wrong_usage_is_exit_2(
    cli: RunCommand, s3env: dict[str, str], arguments: tuple[str, ...]
) -> None:
    cli("upload", new_execution(cli), *arguments, stdin=b"x").expect(2)


def test_a_dry_run_of_a_pipe_reads_nothing(cli: RunCommand, recorder: Proxy, bucket: str) -> None:
    execution = new_execution(cli)
    recorder.clear()
    result = cli("upload", execution, "-", "--name", "stdout.log", "--dry-run", stdin=b"x").ok()
    assert result.out == f"- -> {key_of('stdout.log', execution)}\n"
    assert recorder.count("PutObject") == 0
    cli("upload", make_id(), "-", "--name", "stdout.log", "--dry-run", stdin=b"x").expect(4)


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="there is no /proc")
def test_a_pipe_that_cannot_be_read_is_on_record(
    cli: RunCommand, cli_process: Processes, s3: S3Client, bucket: str
) -> None:
    execution = new_execution(cli)
    stream = ("upload", execution, "-", "--name", "stdout.log")
    # As of a disk that fails.
    with open("/proc/self/mem", "rb", buffering=0) as failing:
        result = cli_process.run(*stream, stdin=failing).expect(1)
    assert b"Input/output error" in result.stderr
    cli("finish", execution, "--result", "pass").ok()
    record = read_record(s3, bucket, execution)
    assert record["artifact_status"] == "artifact_error"
    assert "Input/output error" in record["failures"][0]["error"]


def test_the_writer_of_the_pipe_lives_on_through_a_conflict(
    cli: RunCommand, forks: ForkServer, s3env: dict[str, str]
) -> None:
    """`make test | orchestrator upload …` must not kill make with SIGPIPE."""
    execution = new_execution(cli)
    cli("upload", execution, "-", "--name", "stdout.log", stdin=b"other").ok()
    reading, writing = os.pipe()
    child = forks.start("upload", execution, "-", "--name", "stdout.log", stdin=reading)
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(DATA)  # more than any pipe holds: it ends when all of it was read
    child.wait(60).expect(6)


def test_the_command_says_what_failed(
    cli: RunCommand, recorder: Proxy, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)
    execution = new_execution(cli)
    recorder.inject(faults.slow_down(), "UploadPart", times=None)
    result = cli("upload", execution, "-", "--name", "stdout.log", stdin=DATA).expect(9)
    assert "SlowDown" in result.err
    assert "the same command again" in result.err


def test_errors_are_of_the_library(recorder: Proxy, bucket: str) -> None:
    recorder.inject(faults.Answer(400, "EntityTooLarge"), "UploadPart", times=None)
    with pytest.raises(OrchestratorError, match="EntityTooLarge"):
        run(bucket, Dribble(DATA))


def test_a_part_that_was_never_hashed_is_no_conflict(s3: S3Client, bucket: str) -> None:
    """Another uploader won while a part still waited for its turn: nothing is known of it."""
    data = content(PART + 1)
    s3.put_object(Bucket=bucket, Key=KEY, Body=data)
    store = open_store(bucket)
    with TransferEngine(store.connection, 1) as engine:
        upload = StreamUpload(engine, DirectTarget(store), KEY, TEXT)
        upload.size_bytes = len(data)
        lost = NotFoundError("the upload was ended", code="NoSuchUpload")
        with pytest.raises(UnavailableError, match="somebody else") as raised:
            upload._compare_with_winner(iter(()), lost)
    assert "run the same command again" in str(raised.value.hint)
