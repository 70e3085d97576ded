"""Follow a log through its segments to its final object, against a real server in turned time."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, field

import pytest

from orchestrator_cli.core.base.errors import IntegrityError, OrchestratorError, UnavailableError
from orchestrator_cli.core.base.retry import RetryPolicy
from orchestrator_cli.core.executions.keys import live_segment_key
from orchestrator_cli.core.live.reading.follower import LogFollower, WriterLostError
from orchestrator_cli.core.live.reading.heartbeat import (
    GiveUpPolicy,
    Heartbeat,
    LivenessWatch,
    Notice,
)
from orchestrator_cli.core.live.reading.reader import LiveChunk, LiveReader
from orchestrator_cli.core.live.reading.tail import join_last_lines
from orchestrator_cli.core.live.state import LogPosition
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.connection.config import S3Settings
from orchestrator_cli.core.s3.connection.session import S3Session
from orchestrator_cli.core.s3.part_plan import BASE_PART_BYTES
from orchestrator_cli.docgen.pages import scale
from tests.support.proxy.faults import (
    DropAnswer,
    ResetBefore,
    TruncateAnswer,
    internal_error,
    slow_down,
)
from tests.support.proxy.proxy import Proxy
from tests.support.scene import Scene
from tests.support.stored.live import Clock, LogWriter, inject_later_date

LOG = "stdout.log"


@dataclass
class Followed:
    """What a follower was shown: chunks, and notices, each with its time."""

    store: ArtifactStore
    clock: Clock
    execution_id: str
    chunks: list[tuple[float, LiveChunk]] = field(default_factory=list)
    notices: list[tuple[Notice, float]] = field(default_factory=list)

    def follow(
        self, reader: LiveReader | None = None, give_up: GiveUpPolicy | None = None
    ) -> bytes:
        """Follow the log to its end, and return what of it was shown."""
        if reader is None:
            reader = LiveReader(self.store, self.execution_id, LOG)
            reader.join()
        heartbeat = Heartbeat(self.store, self.execution_id)
        watch = LivenessWatch(
            heartbeat, give_up or GiveUpPolicy(), lambda *told: self.notices.append(told)
        )
        follower = LogFollower(self.store, self.execution_id, LOG, reader, watch, self.clock.wait)
        for chunk in follower.chunks():
            self.chunks.append((self.clock.now, chunk))
        return self.data

    @property
    def data(self) -> bytes:
        for (_, one), (_, following) in zip(self.chunks, self.chunks[1:], strict=False):
            assert one.end == following.offset
        return b"".join(chunk.data for _, chunk in self.chunks)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def execution(scene: Scene) -> str:
    return scene.put_execution()


@pytest.fixture
def writer(scene: Scene, execution: str) -> LogWriter:
    return LogWriter(scene.s3, scene.bucket, execution)


@pytest.fixture
def followed(scene: Scene, execution: str, clock: Clock) -> Followed:
    retry = RetryPolicy(attempts=3, first_wait_seconds=0, patience_seconds=0.05, clock=clock)
    store = ArtifactStore(S3Session(S3Settings(scene.bucket, environment=os.environ), retry))
    return Followed(store, clock, execution)


def test_lines_come_as_they_are_written_and_end_with_the_final_object(
    writer: LogWriter, followed: Followed, clock: Clock, recorder: Proxy
) -> None:
    # Characters, a colour and a line are cut by the ends of segments.
    lines = [f"\x1b[3{n % 8}m{n:03} größe …\x1b[0m\n".encode() for n in range(150)]
    written_at: list[tuple[float, bytes]] = []

    def write(number: int, data: bytes) -> None:
        written_at.append((clock.now, data))
        writer.write(data)

    log = b"".join(lines)
    for second in range(30):
        piece = log[second * len(log) // 30 : (second + 1) * len(log) // 30]
        clock.at(second + 0.5, lambda n=second, data=piece: write(n, data))  # type: ignore[misc]
    clock.at(31, lambda: writer.write(b""))
    clock.at(33, lambda: writer.store(log + b"later, as from another process\n"))
    assert followed.follow() == log + b"later, as from another process\n"
    shown_at = [seen for seen, chunk in followed.chunks if chunk.end <= len(log)]
    assert all(
        seen - written <= 1.5 for seen, (written, _) in zip(shown_at, written_at, strict=True)
    )
    assert [chunk.line for _, chunk in followed.chunks][:3] == [0, 5, 10]
    operations = recorder.operations()
    assert operations["ListObjectsV2"] == 1
    assert operations.keys() == {"ListObjectsV2", "GetObject", "HeadObject"}
    assert followed.notices == []


def test_quiet_log_is_looked_at_every_five_seconds(
    writer: LogWriter, followed: Followed, clock: Clock, recorder: Proxy
) -> None:
    writer.write(b"begun\n")
    writer.beat()
    clock.at(1200, lambda: writer.write(b"done\n", b""))
    clock.at(1200, writer.store)
    followed.follow()
    assert followed.data == b"begun\ndone\n"
    operations = recorder.operations()
    assert operations["GetObject"] + operations["HeadObject"] < 1200 / 5 + 2 * 1200 / 30 + 50


def test_log_that_never_rests_takes_about_a_request_a_second(
    writer: LogWriter, followed: Followed, clock: Clock, recorder: Proxy
) -> None:
    for second in range(0, 60, 2):
        clock.at(second + 0.9, lambda n=second: writer.write(b"%d\n" % n))  # type: ignore[misc]
    clock.at(61, lambda: writer.write(b""))
    clock.at(61, writer.store)
    assert followed.follow() == writer.written
    assert 60 <= recorder.count("GetObject") <= 66


@pytest.mark.parametrize("cut", [0, 3, 10])
def test_final_object_ends_it_where_the_segments_were_given_up(
    writer: LogWriter, followed: Followed, clock: Clock, cut: int
) -> None:
    log = b"one\ntwo\n\nthree, without a newline"
    if cut:
        writer.write(log[:cut])
    clock.at(40, lambda: writer.store(log))
    assert followed.follow() == log
    assert clock.now - 1000 <= 75


def test_final_object_of_parts_is_compared_with_what_was_shown(
    scene: Scene, writer: LogWriter, followed: Followed, execution: str
) -> None:
    log = os.urandom(BASE_PART_BYTES + 100)
    writer.write(log[:BASE_PART_BYTES], log[BASE_PART_BYTES:-50])
    for damaged in (False, True):
        key = f"executions/{execution}/logs/{LOG}"
        begun = scene.s3.create_multipart_upload(
            Bucket=scene.bucket, Key=key, Metadata={"part-schedule": "doubling-8388608-1000"}
        )
        content = log[:5] + b"x" + log[6:] if damaged else log
        parts = []
        for number, data in enumerate((content[:BASE_PART_BYTES], content[BASE_PART_BYTES:]), 1):
            part = scene.s3.upload_part(
                Bucket=scene.bucket,
                Key=key,
                UploadId=begun["UploadId"],
                PartNumber=number,
                Body=data,
            )
            parts.append({"PartNumber": number, "ETag": part["ETag"]})
        scene.s3.complete_multipart_upload(
            Bucket=scene.bucket,
            Key=key,
            UploadId=begun["UploadId"],
            MultipartUpload={"Parts": parts},  # type: ignore[typeddict-item]
        )
        followed.chunks.clear()
        if damaged:
            with pytest.raises(IntegrityError, match="not those that were there"):
                followed.follow()
        else:
            assert followed.follow() == log


@pytest.mark.parametrize(
    ("final", "message"),
    [
        pytest.param(b"on", "has 2 bytes, but 8 bytes", id="shorter"),
        pytest.param(b"one\ntwX\n", "not those that were there", id="of other bytes"),
    ],
)
def test_final_object_that_is_another_log_is_an_error(
    writer: LogWriter, followed: Followed, final: bytes, message: str
) -> None:
    writer.write(b"one\n", b"two\n", b"")
    writer.store(final)
    with pytest.raises(IntegrityError, match=message):
        followed.follow()


def test_writer_that_is_gone_is_told_and_given_up(
    writer: LogWriter, followed: Followed, clock: Clock, recorder: Proxy
) -> None:
    date = inject_later_date(recorder)
    writer.write(b"one\n")
    writer.beat()
    # The other clocks differ: this one is not asked.
    for second in range(1, 1000):
        clock.at(second, lambda n=second: setattr(date, "seconds", n))  # type: ignore[misc]
    with pytest.raises(WriterLostError, match=r"stdout\.log ends at byte 4 for now") as gone:
        followed.follow()
    assert gone.value.exit_code == 3
    assert [notice for notice, _ in followed.notices] == [Notice.SILENT]
    assert 300 < clock.now - 1000 < 300 + 40
    assert followed.data == b"one\n"


def test_writer_that_comes_back_is_followed_again(
    writer: LogWriter, followed: Followed, clock: Clock, recorder: Proxy
) -> None:
    date = inject_later_date(recorder, 400)
    writer.write(b"one\n")
    writer.beat()
    clock.at(100, lambda: setattr(date, "seconds", 0))
    clock.at(100, lambda: writer.write(b"two\n", b""))
    clock.at(100, writer.store)
    assert followed.follow(give_up=GiveUpPolicy(waits_forever=True)) == b"one\ntwo\n"
    assert [notice for notice, _ in followed.notices] == [Notice.LOST, Notice.ALIVE_AGAIN]


@pytest.mark.parametrize("heartbeat", [False, True])
def test_finished_execution_without_the_log_ends_it(
    scene: Scene,
    writer: LogWriter,
    followed: Followed,
    clock: Clock,
    execution: str,
    heartbeat: bool,
) -> None:
    writer.write(b"one\n", *([b""] if heartbeat else []))
    if heartbeat:
        writer.beat()
    clock.at(10, lambda: scene.put_execution(execution, status="completed", result="error"))
    with pytest.raises(WriterLostError, match=r"stdout\.log was not stored; it ends at byte 4"):
        followed.follow(give_up=GiveUpPolicy(waits_forever=True))


def test_writer_that_was_lost_before_is_given_up_soon(
    writer: LogWriter, followed: Followed, clock: Clock, recorder: Proxy
) -> None:
    inject_later_date(recorder, 301)
    writer.write(b"one\n")
    writer.beat()
    with pytest.raises(WriterLostError, match="no sign of life for 30"):
        followed.follow()
    assert clock.now - 1000 <= 20


@pytest.mark.parametrize("fault", [slow_down(), ResetBefore(), DropAnswer(), TruncateAnswer(2)])
def test_faults_leave_no_gap(
    writer: LogWriter, followed: Followed, clock: Clock, recorder: Proxy, fault: object
) -> None:
    pieces = [f"line {n}\n".encode() for n in range(20)]
    for second, piece in enumerate(pieces):
        clock.at(second, lambda data=piece: writer.write(data))  # type: ignore[misc]
    clock.at(20, lambda: writer.write(b""))
    clock.at(25, writer.store)
    rule = recorder.inject(fault, "GetObject", probability=0.6, times=None)  # type: ignore[arg-type]
    clock.at(60, recorder.heal)
    assert followed.follow() == b"".join(pieces)
    assert rule.struck > 5


def test_minute_without_s3_is_outlasted_and_more_is_not(
    writer: LogWriter, followed: Followed, clock: Clock, recorder: Proxy
) -> None:
    writer.write(b"one\n")
    writer.beat()
    clock.at(10, lambda: recorder.inject(internal_error(), times=None))
    clock.at(70, recorder.heal)
    clock.at(80, lambda: writer.write(b"two\n"))
    clock.at(100, lambda: recorder.inject(ResetBefore(), times=None))
    with pytest.raises(UnavailableError):
        followed.follow()
    assert followed.data == b"one\ntwo\n"
    assert 400 < clock.now - 1000 < 440
    assert [notice for notice, _ in followed.notices] == [
        Notice.UNREACHABLE,
        Notice.REACHED_AGAIN,
        Notice.UNREACHABLE,
    ]


def test_segment_that_is_damaged_is_an_error(
    scene: Scene, writer: LogWriter, followed: Followed, execution: str
) -> None:
    writer.write(b"one\n")
    key = live_segment_key(execution, LOG, 0)
    head = scene.s3.head_object(Bucket=scene.bucket, Key=key)
    scene.s3.put_object(Bucket=scene.bucket, Key=key, Body=b"two\n", Metadata=head["Metadata"])
    with pytest.raises(IntegrityError, match="do not match their checksum"):
        followed.follow()


# --- where it begins -------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"", b"no newline"])
@pytest.mark.parametrize("size", [7, 1000, 20_000])
def test_last_lines_begin_where_they_should_in_few_requests(
    writer: LogWriter, followed: Followed, recorder: Proxy, end: bytes, size: int
) -> None:
    log = b"".join(b"%d %s\n" % (n, b"x" * (17 * n % 300)) for n in range(100)) + end
    log = log[-30 * size :]
    writer.write(*(log[start : start + size] for start in range(0, len(log), size)))
    whole = log.splitlines(keepends=True)
    at_end = LogPosition(len(log), log.count(b"\n"))
    behind = LogPosition(len(log) // 2, log.count(b"\n") // 2)
    for position, lines in itertools.product(
        (None, at_end, behind), (0, 1, 4, len(whole) - 1, len(whole), len(whole) + 1)
    ):
        recorder.clear()
        execution_id = followed.execution_id
        reader = join_last_lines(followed.store, execution_id, LOG, lines, position)
        chunks = list(reader.read_new())
        expected = b"".join(whole[max(0, len(whole) - lines) :])
        assert b"".join(chunk.data for chunk in chunks) == expected
        if expected:
            before = len(log) - len(expected)
            assert (chunks[0].offset, chunks[0].line) == (before, log[:before].count(b"\n"))
        assert reader.offset == len(log)
        assert recorder.count("ListObjectsV2") == 1
        if lines <= 4:
            assert recorder.count("GetObject") <= 8 + 4 * 300 / size


def test_last_lines_of_a_long_log_take_one_listing_and_few_segments(
    writer: LogWriter, followed: Followed, recorder: Proxy
) -> None:
    log = b"".join(b"%07d %s\n" % (n, b"x" * 91) for n in range(20_000))
    writer.write(*(log[start : start + 100_000] for start in range(0, len(log), 100_000)))
    recorder.clear()
    position = LogPosition(len(log) - 100_000, 19_000)
    reader = join_last_lines(followed.store, followed.execution_id, LOG, 100, position)
    assert b"".join(chunk.data for chunk in reader.read_new()) == log[-10_000:]
    assert recorder.operations() == {"ListObjectsV2": 1, "GetObject": 4}
    # Where lines are longer than they were, it is looked for farther back.
    misled = LogPosition(len(log), 1_000_000)
    reader = join_last_lines(followed.store, followed.execution_id, LOG, 5000, misled)
    assert b"".join(chunk.data for chunk in reader.read_new()) == log[-500_000:]


def test_beginning_that_has_expired_is_left_out(
    scene: Scene, writer: LogWriter, followed: Followed, execution: str
) -> None:
    writer.write(b"one\n", b"two\n", b"three\n", b"")
    scene.s3.delete_object(Bucket=scene.bucket, Key=live_segment_key(execution, LOG, 0))
    writer.store()
    reader = LiveReader(followed.store, execution, LOG)
    reader.join()
    assert reader.offset == 4
    assert followed.follow(reader) == b"two\nthree\n"
    tail = join_last_lines(followed.store, execution, LOG, 10, None)
    assert [chunk.data for chunk in tail.read_new()] == [b"two\n", b"three\n"]


def test_reader_joins_inside_a_segment_far_from_its_beginning(
    writer: LogWriter, followed: Followed, execution: str
) -> None:
    log = bytes(range(256)) * 1000
    writer.write(log[:200_000], log[200_000:])
    for offset in (0, 1, 199_999, 200_000, 200_001, len(log)):
        reader = LiveReader(followed.store, execution, LOG)
        reader.join(offset)
        chunks = list(reader.read_new())
        assert b"".join(chunk.data for chunk in chunks) == log[offset:]
        assert all(chunk.line == log[: chunk.offset].count(b"\n") for chunk in chunks)


def test_bucket_that_is_missing_is_an_error(followed: Followed, execution: str) -> None:
    missing = S3Session(S3Settings("no-such-bucket", environment=os.environ), RetryPolicy())
    with pytest.raises(OrchestratorError, match="no such bucket"):
        list(LiveReader(ArtifactStore(missing), execution, LOG).read_new())


@pytest.mark.parametrize(
    ("every_seconds", "a_look"),
    [(2, scale.READS_A_LOOK), (1, scale.READS_A_LOOK_AT_EVERY_SEGMENT)],
)
def test_a_follower_sends_the_requests_whose_costs_the_page_says(
    writer: LogWriter,
    followed: Followed,
    clock: Clock,
    recorder: Proxy,
    every_seconds: int,
    a_look: float,
) -> None:
    for second in range(0, 60, every_seconds):
        clock.at(second + 0.9, lambda n=second: writer.write(b"%d\n" % n))  # type: ignore[misc]
    clock.at(61, lambda: writer.write(b""))
    clock.at(61, writer.store)
    assert followed.follow() == writer.written
    assert recorder.count("GetObject") == pytest.approx(60 * a_look, abs=6)
