"""Standard input of any length: stored in bounded memory, resumed, compared."""

from __future__ import annotations

import errno
import io
import os
import tempfile
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator_cli.core.base.errors import AccessError, OrchestratorError, UnavailableError
from orchestrator_cli.core.http.rate_limiter import RateLimiter
from orchestrator_cli.core.s3.compare import SHA256_METADATA
from orchestrator_cli.core.s3.types import PutOutcome
from orchestrator_cli.core.transfer.engine import TransferEngine
from orchestrator_cli.core.transfer.upload.direct_target import DirectTarget
from orchestrator_cli.core.transfer.upload.parts import stream_parts as pieces_module
from orchestrator_cli.core.transfer.upload.parts.stream_parts import StreamPart
from orchestrator_cli.core.transfer.upload.parts.stream_upload import StreamUpload
from tests.support.commands.forkserver import ForkServer
from tests.support.commands.running import Processes
from tests.support.commands.small_scale import DOUBLING
from tests.support.commands.small_scale import PART_BYTES as PART
from tests.support.proxy import faults
from tests.support.proxy.proxy import Proxy
from tests.support.scene import Scene
from tests.support.stored.engine import content, impatient, key_of, open_store
from tests.support.stored.executions import make_id

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


def begin(scene: Scene, pieces: dict[int, bytes]) -> str:
    """Leave an unfinished upload with these parts, as a killed pipe does."""
    upload_id = scene.s3.create_multipart_upload(Bucket=scene.bucket, Key=KEY)["UploadId"]
    for number, piece in pieces.items():
        scene.s3.upload_part(
            Bucket=scene.bucket, Key=KEY, UploadId=upload_id, PartNumber=number, Body=piece
        )
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
    scene: Scene, size: int, parts: int
) -> None:
    data = content(size)
    outcome, upload = run(scene.bucket, Dribble(data))
    assert outcome is PutOutcome.CREATED
    assert upload.size_bytes == upload.session.count.sent_bytes == size
    assert scene.contents() == {KEY: data}
    assert scene.s3.head_object(Bucket=scene.bucket, Key=KEY)["ContentType"] == TEXT
    assert sent_parts(scene.recorder) == list(range(1, parts + 1))
    # A stream that fits into one part is an object like that of a file: one PutObject.
    assert scene.recorder.count("PutObject") == (0 if parts else 1)
    last = scene.recorder.calls("CompleteMultipartUpload" if parts else "PutObject")[-1]
    assert last.request.headers["if-none-match"] == "*"
    scene.recorder.clear()
    outcome, again = run(scene.bucket, Dribble(data))
    assert outcome is PutOutcome.IDENTICAL
    assert again.session.count.sent_bytes == 0
    assert scene.recorder.request_bytes() == 0


@pytest.mark.parametrize("size", [100, PART + 100])
def test_a_stream_and_a_file_of_the_same_bytes_are_identical(scene: Scene, size: int) -> None:
    data = content(size)
    execution = scene.new_execution()
    scene.cli("upload", execution, "-", "--name", "stdout.log", stdin=data).ok()
    tree = scene.write_tree({"stdout.log": data, "stderr.log": data})
    scene.recorder.clear()
    result = scene.cli("upload", execution, tree, "--json").ok()
    outcomes = {line["path"]: line["outcome"] for line in result.json_lines()}
    assert outcomes == {"logs/stdout.log": "identical", "logs/stderr.log": "created"}
    again = scene.cli("upload", execution, "-", "--name", "stderr.log", "--json", stdin=data).ok()
    assert again.json()["outcome"] == "identical"
    assert scene.recorder.request_bytes(key=key_of("stdout.log", execution)) == 0


# --- the key is taken --------------------------------------------------------------------


@pytest.mark.parametrize("stored_as", ["stream", "small", "other tool"])
def test_a_taken_key_is_compared_and_the_pipe_is_read_to_its_end(
    scene: Scene, stored_as: str
) -> None:
    if stored_as == "stream":
        run(scene.bucket, Dribble(DATA))
    elif stored_as == "small":
        scene.s3.put_object(Bucket=scene.bucket, Key=KEY, Body=DATA)
    else:
        # Parts of its own size, and no word about them: only reading it back can tell.
        upload_id = scene.s3.create_multipart_upload(Bucket=scene.bucket, Key=KEY)["UploadId"]
        tags = [
            scene.s3.upload_part(
                Bucket=scene.bucket, Key=KEY, UploadId=upload_id, PartNumber=number, Body=piece
            )["ETag"]
            for number, piece in enumerate((DATA[: PART // 2], DATA[PART // 2 :]), 1)
        ]
        chosen: Any = {"Parts": [{"PartNumber": n, "ETag": tag} for n, tag in enumerate(tags, 1)]}
        scene.s3.complete_multipart_upload(
            Bucket=scene.bucket, Key=KEY, UploadId=upload_id, MultipartUpload=chosen
        )
    scene.recorder.clear()
    for stream, expected in (
        (DATA, PutOutcome.IDENTICAL),
        (b"\0" + DATA[1:], PutOutcome.CONFLICT),
        (DATA[:-1] + b"\0", PutOutcome.CONFLICT),
        (DATA + b"more", PutOutcome.CONFLICT),
        (DATA[:-1], PutOutcome.CONFLICT),
        (DATA + DATA, PutOutcome.CONFLICT),
    ):
        pipe = Dribble(stream)
        outcome, upload = run(scene.bucket, pipe)
        assert outcome is expected
        assert upload.size_bytes == len(stream)
        assert pipe.ended, "who writes into the pipe must not die of it"
        assert upload.session.count.sent_bytes == 0
    assert scene.recorder.request_bytes() == 0
    assert scene.contents() == {KEY: DATA}


@pytest.mark.parametrize("as_parts", [True, False])
@pytest.mark.parametrize("same", [True, False])
def test_a_key_that_somebody_else_stores_meanwhile_is_identical_or_a_conflict(
    scene: Scene, as_parts: bool, same: bool
) -> None:
    """The stream is gone by then: what was computed on the way has to do."""
    winner = DATA if same else DATA[:-1] + b"\0"
    source = scene.directory / "stdout.log"
    source.write_bytes(winner)

    class StoreFirst(faults.Fault):
        def request_head(self, waiting: object) -> None:
            if as_parts:
                run_elsewhere(winner)
            else:
                scene.s3.put_object(
                    Bucket=scene.bucket, Key=KEY, Body=winner, Metadata={SHA256_METADATA: "unknown"}
                )

    def run_elsewhere(data: bytes) -> None:
        upload_id = scene.s3.create_multipart_upload(
            Bucket=scene.bucket, Key=KEY, Metadata={"part-schedule": DOUBLING}
        )["UploadId"]
        pieces = [data[start : start + PART] for start in range(0, len(data), PART)]
        tags = [
            scene.s3.upload_part(
                Bucket=scene.bucket, Key=KEY, UploadId=upload_id, PartNumber=number, Body=piece
            )["ETag"]
            for number, piece in enumerate(pieces, 1)
        ]
        chosen: Any = {"Parts": [{"PartNumber": n, "ETag": tag} for n, tag in enumerate(tags, 1)]}
        scene.s3.complete_multipart_upload(
            Bucket=scene.bucket, Key=KEY, UploadId=upload_id, MultipartUpload=chosen
        )

    scene.recorder.inject(StoreFirst(), "UploadPart", part_number=4)
    pipe = Dribble(DATA)
    outcome, _ = run(scene.bucket, pipe)
    assert outcome is (PutOutcome.IDENTICAL if same else PutOutcome.CONFLICT)
    assert pipe.ended
    assert scene.contents() == {KEY: winner}
    # What can never be completed does not stay and cost.
    assert scene.unfinished_uploads() == {}


@pytest.mark.parametrize("same", [True, False])
def test_parts_that_wait_for_their_turn_are_compared_too(scene: Scene, same: bool) -> None:
    """Somebody else has won before they began: they cannot be read again to be compared."""
    winner = DATA if same else DATA[:-1] + b"\0"

    class Win(faults.Fault):
        def request_head(self, waiting: object) -> None:
            scene.s3.put_object(Bucket=scene.bucket, Key=KEY, Body=winner)
            for upload_id in scene.unfinished_uploads():
                scene.s3.abort_multipart_upload(Bucket=scene.bucket, Key=KEY, UploadId=upload_id)

    scene.recorder.inject(Win(), "UploadPart", part_number=1)
    outcome, _ = run(scene.bucket, Dribble(DATA), concurrency=1)
    assert outcome is (PutOutcome.IDENTICAL if same else PutOutcome.CONFLICT)
    assert scene.recorder.count("CompleteMultipartUpload") == 0


def test_a_server_that_ignores_the_condition_is_looked_at_right_before(scene: Scene) -> None:
    class PutFirst(faults.Fault):
        def request_head(self, waiting: object) -> None:
            scene.s3.put_object(Bucket=scene.bucket, Key=KEY, Body=b"other")

    class IgnoreCondition(faults.Fault):
        def request_head(self, waiting: Any) -> None:
            del waiting.headers["If-None-Match"]

    scene.recorder.inject(PutFirst(), "UploadPart", part_number=4)
    scene.recorder.inject(IgnoreCondition(), "CompleteMultipartUpload", times=None)
    assert run(scene.bucket, Dribble(DATA))[0] is PutOutcome.CONFLICT
    assert scene.contents() == {KEY: b"other"}


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
    scene: Scene, there: dict[int, int], sent: list[int]
) -> None:
    begin(scene, {number: PIECES[index] for number, index in there.items()})
    outcome, upload = run(scene.bucket, Dribble(DATA))
    assert outcome is PutOutcome.CREATED
    assert sent_parts(scene.recorder) == sent
    assert scene.contents() == {KEY: DATA}
    assert upload.session.count.sent_bytes == sum(len(PIECES[number - 1]) for number in sent)
    assert upload.session.count.sent_bytes + upload.session.count.resumed_bytes == len(DATA)
    assert scene.unfinished_uploads() == {}


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
    scene: Scene, foreign: dict[int, bytes]
) -> None:
    upload_id = begin(scene, foreign)
    outcome, upload = run(scene.bucket, Dribble(DATA))
    assert outcome is PutOutcome.CREATED
    assert upload_id not in {
        one.request.query["uploadId"] for one in scene.recorder.calls("UploadPart")
    }
    assert upload.session.count.resumed_bytes == 0
    assert scene.contents() == {KEY: DATA}


def test_a_part_that_differs_later_is_sent_over_it(scene: Scene) -> None:
    begin(scene, {1: PIECES[0], 2: PIECES[1], 3: OTHER[:PART], 4: b"longer than ours"})
    assert run(scene.bucket, Dribble(DATA))[0] is PutOutcome.CREATED
    assert sent_parts(scene.recorder) == [3, 4]
    assert scene.contents() == {KEY: DATA}


def test_a_shorter_pipe_leaves_the_parts_behind_its_end_out(scene: Scene) -> None:
    begin(scene, dict(enumerate(PIECES, 1)))
    shorter = DATA[: 2 * PART]
    assert run(scene.bucket, Dribble(shorter))[0] is PutOutcome.CREATED
    assert scene.contents() == {KEY: shorter}


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
def test_a_fault_that_passes_fails_no_stream(
    scene: Scene,
    fault: Callable[[], faults.Fault],
    operation: str,
    spooled: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if spooled:
        spool_all(monkeypatch)
    rule = scene.recorder.inject(fault(), operation)
    outcome, upload = run(scene.bucket, Dribble(DATA))
    assert rule.struck == 1
    assert outcome in (PutOutcome.CREATED, PutOutcome.IDENTICAL)
    assert upload.session.count.sent_bytes == len(DATA)
    assert scene.contents() == {KEY: DATA}
    assert scene.unfinished_uploads() == {}


def test_a_pipe_cannot_begin_an_aborted_upload_anew(scene: Scene) -> None:
    class Abort(faults.Fault):
        def request_head(self, waiting: object) -> None:
            for upload_id in scene.unfinished_uploads():
                scene.s3.abort_multipart_upload(Bucket=scene.bucket, Key=KEY, UploadId=upload_id)

    scene.recorder.inject(Abort(), "UploadPart", part_number=3)
    with pytest.raises(UnavailableError, match="ended elsewhere") as caught:
        run(scene.bucket, Dribble(DATA))
    assert caught.value.exit_code == 9
    assert scene.contents() == {}
    assert run(scene.bucket, Dribble(DATA))[0] is PutOutcome.CREATED


def test_a_refusal_ends_an_endless_pipe(scene: Scene) -> None:
    class Endless(Dribble):
        def readinto(self, buffer: Any) -> int:
            return len(buffer)

    scene.recorder.inject(faults.access_denied(), "UploadPart", times=None)
    with pytest.raises(AccessError):
        run(scene.bucket, Endless(b""))
    assert scene.recorder.count("CompleteMultipartUpload") == 0


def test_a_refusal_is_told_although_an_earlier_part_stalls(scene: Scene) -> None:
    """In the order of the parts, the first one's answer would be waited for: for a minute."""
    scene.recorder.inject(faults.Stall(), "UploadPart", part_number=1, times=None)
    scene.recorder.inject(faults.access_denied(), "UploadPart", part_number=4, times=None)
    store = open_store(scene.bucket)
    engine = TransferEngine(store.connection, 4)
    try:
        with pytest.raises(AccessError), engine:
            StreamUpload(engine, DirectTarget(store), KEY, TEXT).run(Dribble(DATA))
    finally:
        scene.recorder.close()  # which ends the stall


def test_a_pipe_that_breaks_is_not_completed(scene: Scene) -> None:
    class Broken(Dribble):
        def readinto(self, buffer: Any) -> int:
            if len(self._data) < PART:
                raise OSError(5, "Input/output error")
            return super().readinto(buffer)

    with pytest.raises(OSError, match="Input/output error"):
        run(scene.bucket, Broken(DATA))
    assert scene.contents() == {}


# --- spooled parts -----------------------------------------------------------------------


def test_parts_too_large_for_memory_are_spooled(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool_all(monkeypatch)
    monkeypatch.setattr(tempfile, "tempdir", str(scene.directory))
    begin(scene, {1: PIECES[0], 3: PIECES[2]})
    outcome, upload = run(scene.bucket, Dribble(DATA))
    assert outcome is PutOutcome.CREATED
    assert sent_parts(scene.recorder) == [2, 4]
    assert upload.session.count.resumed_bytes == 2 * PART
    assert scene.contents() == {KEY: DATA}
    assert list(scene.directory.iterdir()) == []
    for stream, expected in ((DATA, PutOutcome.IDENTICAL), (DATA[1:], PutOutcome.CONFLICT)):
        assert run(scene.bucket, Dribble(stream))[0] is expected


def test_a_spooled_stream_of_one_part_is_one_object(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool_all(monkeypatch)
    assert run(scene.bucket, Dribble(b"short"))[0] is PutOutcome.CREATED
    assert scene.contents() == {KEY: b"short"}


def test_spools_are_closed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    original = tempfile.TemporaryFile

    def open_one(*args: Any, **options: Any) -> Any:
        opened.append(original(*args, **options))
        return opened[-1]

    spool_all(monkeypatch)
    monkeypatch.setattr(tempfile, "TemporaryFile", open_one)
    run(scene.bucket, Dribble(DATA))
    assert len(opened) >= len(PIECES)
    assert all(spool.closed for spool in opened)


def test_a_paced_stream_is_sent_again_after_a_reset(scene: Scene) -> None:
    pace = RateLimiter(1 << 40)
    scene.recorder.inject(faults.ResetInside(PART // 4), "UploadPart")
    assert run(scene.bucket, Dribble(DATA), pace=pace)[0] is PutOutcome.CREATED
    assert scene.contents() == {KEY: DATA}


# --- the command -------------------------------------------------------------------------


def test_the_command_stores_a_pipe(scene: Scene) -> None:
    execution = scene.new_execution()
    key = key_of("stdout.log", execution)
    stored = scene.cli(
        "upload", execution, "-", "--name", "logs/stdout.log", "--json", stdin=DATA
    ).ok()
    assert stored.json()["outcome"] == "created"
    assert stored.json()["size_bytes"] == stored.json()["sent_bytes"] == len(DATA)
    assert stored.json()["source"] == "-"
    assert scene.s3.get_object(Bucket=scene.bucket, Key=key)["Body"].read() == DATA
    again = scene.cli("upload", execution, "-", "--name", "stdout.log", "--json", stdin=DATA).ok()
    assert again.json()["outcome"] == "identical"
    assert again.json()["sent_bytes"] == 0
    other = scene.cli("upload", execution, "-", "--name", "stdout.log", stdin=DATA + b"x").expect(6)
    assert "nothing was changed" in other.err
    assert scene.s3.get_object(Bucket=scene.bucket, Key=key)["Body"].read() == DATA


def test_an_empty_pipe_is_an_empty_file(scene: Scene) -> None:
    execution = scene.new_execution()
    scene.cli("upload", execution, "-", "--name", "stderr.log", stdin=b"").ok()
    key = key_of("stderr.log", execution)
    assert scene.s3.get_object(Bucket=scene.bucket, Key=key)["Body"].read() == b""


@pytest.mark.parametrize(
    "arguments", [("-",), ("-", "x.txt", "--name", "a"), ("-", "--name", "../x")]
)
def test_wrong_usage_is_exit_2(scene: Scene, arguments: tuple[str, ...]) -> None:
    scene.cli("upload", scene.new_execution(), *arguments, stdin=b"x").expect(2)


def test_a_dry_run_of_a_pipe_reads_nothing(scene: Scene) -> None:
    execution = scene.new_execution()
    scene.recorder.clear()
    result = scene.cli(
        "upload", execution, "-", "--name", "stdout.log", "--dry-run", stdin=b"x"
    ).ok()
    assert result.out == f"- -> {key_of('stdout.log', execution)}\n"
    assert scene.recorder.count("PutObject") == 0
    scene.cli("upload", make_id(), "-", "--name", "stdout.log", "--dry-run", stdin=b"x").expect(4)


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="there is no /proc")
def test_a_pipe_that_cannot_be_read_is_on_record(scene: Scene, cli_process: Processes) -> None:
    execution = scene.new_execution()
    stream = ("upload", execution, "-", "--name", "stdout.log")
    # As of a disk that fails.
    with open("/proc/self/mem", "rb", buffering=0) as failing:
        result = cli_process.run(*stream, stdin=failing).expect(1)
    assert b"Input/output error" in result.stderr
    scene.cli("finish", execution, "--result", "pass").ok()
    record = scene.record(execution)
    assert record["artifact_status"] == "artifact_error"
    assert "Input/output error" in record["failures"][0]["error"]


def test_the_writer_of_the_pipe_lives_on_through_a_conflict(
    scene: Scene, forks: ForkServer
) -> None:
    """`make test | orchestrator upload …` must not kill make with SIGPIPE."""
    execution = scene.new_execution()
    scene.cli("upload", execution, "-", "--name", "stdout.log", stdin=b"other").ok()
    reading, writing = os.pipe()
    child = forks.start("upload", execution, "-", "--name", "stdout.log", stdin=reading)
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(DATA)  # more than any pipe holds: it ends when all of it was read
    child.wait(60).expect(6)


def test_the_command_says_what_failed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch)
    execution = scene.new_execution()
    scene.recorder.inject(faults.slow_down(), "UploadPart", times=None)
    result = scene.cli("upload", execution, "-", "--name", "stdout.log", stdin=DATA).expect(9)
    assert "SlowDown" in result.err
    assert "the same command again" in result.err


def test_errors_are_of_the_library(scene: Scene) -> None:
    scene.recorder.inject(faults.Answer(400, "EntityTooLarge"), "UploadPart", times=None)
    with pytest.raises(OrchestratorError, match="EntityTooLarge"):
        run(scene.bucket, Dribble(DATA))


def test_a_part_that_was_never_hashed_is_no_conflict(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another uploader won, and nothing is known of a part that could not be read again."""
    read_at = StreamPart.read_at

    class Win(faults.Fault):
        def request_head(self, waiting: object) -> None:
            for upload_id in scene.unfinished_uploads():
                scene.s3.abort_multipart_upload(Bucket=scene.bucket, Key=KEY, UploadId=upload_id)
            scene.s3.put_object(Bucket=scene.bucket, Key=KEY, Body=DATA)

    def read_or_fail(piece: StreamPart, offset_bytes: int, size_bytes: int) -> bytes:
        if piece.part.number == 3:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read_at(piece, offset_bytes, size_bytes)

    spool_all(monkeypatch)
    monkeypatch.setattr(StreamPart, "read_at", read_or_fail)
    scene.recorder.inject(Win(), "UploadPart", part_number=1)
    with pytest.raises(UnavailableError, match="somebody else") as raised:
        run(scene.bucket, Dribble(DATA), concurrency=1)
    assert "run the same command again" in str(raised.value.hint)
