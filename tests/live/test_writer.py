"""Live logs as they are written: what it costs, what faults leave, and who may write."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from orchestrator_cli.core.executions.keys import live_segment_key, live_state_key
from orchestrator_cli.core.live.schedule import LiveSchedule
from orchestrator_cli.core.live.segment import MAX_SEGMENT_BYTES
from tests.live.writing import (
    ERR,
    ID,
    OUT,
    AgedStore,
    Clock,
    LoggedRun,
    s3_store,
    stored_log,
    stored_state,
)
from tests.support.proxy import faults
from tests.support.proxy.proxy import Proxy
from tests.support.scene import Scene


@pytest.fixture
def logged(scene: Scene) -> Iterator[LoggedRun]:
    """A run whose requests go through the recording proxy."""
    logged = LoggedRun(scene.directory / "one", s3_store(scene.bucket))
    yield logged
    logged.close()


def numbered(number: int) -> bytes:
    return f"line {number}\n".encode()


def lines(count: int) -> bytes:
    return b"".join(map(numbered, range(count)))


def puts(recorder: Proxy) -> dict[str, int]:
    """Count the PUTs of segments, end markers and heartbeats."""
    counts = {"segments": 0, "ends": 0, "states": 0}
    for call in recorder.calls("PutObject"):
        if call.key == live_state_key(ID):
            counts["states"] += 1
        else:
            counts["segments" if call.request_bytes else "ends"] += 1
    return counts


# --- what it costs ---------------------------------------------------------------------------


def test_minute_of_a_line_a_second_costs_what_is_promised(scene: Scene, logged: LoggedRun) -> None:
    logged.run(60, numbered)
    logged.writer.finish(5)
    counts = puts(scene.recorder)
    assert counts["segments"] <= 30
    assert counts["ends"] == 2
    assert counts["states"] <= 4
    # It looks whether somebody else writes, once, and at nothing else.
    assert scene.recorder.count() == sum(counts.values()) + 1
    stored = stored_log(scene.s3, scene.bucket)
    assert (stored.data, stored.ended) == (lines(60), True)
    assert stored_log(scene.s3, scene.bucket, ERR).ended
    state = stored_state(scene.s3, scene.bucket)
    assert state.ended
    assert state.logs[OUT].offset == len(lines(60))
    assert state.logs[OUT].line == 60
    assert logged.notes == []


def test_ten_silent_minutes_cost_a_heartbeat_now_and_then(
    logged: LoggedRun, recorder: Proxy
) -> None:
    logged.schedule = LiveSchedule()
    logged.run(600)
    logged.writer.finish(5)
    counts = puts(recorder)
    assert sum(counts.values()) <= 21
    assert counts["segments"] == 0


@pytest.mark.parametrize(
    ("elapsed", "seconds"), [(0, 1.0), (59, 1.0), (60, 2.0), (599, 2.0), (600, 5.0)]
)
def test_waits_grow_with_the_log_and_are_never_the_same_for_a_fleet(
    elapsed: float, seconds: float
) -> None:
    schedule = LiveSchedule()
    waits = {schedule.next_wait_seconds(elapsed) / seconds for _ in range(20)}
    assert len(waits) > 1
    assert min(waits) >= 0.8
    assert max(waits) <= 1.2
    fixed = {LiveSchedule(3.0).next_wait_seconds(elapsed) for _ in range(20)}
    assert min(fixed) >= 3.0
    assert max(fixed) <= 3.3


def test_backlog_goes_in_the_largest_segments_back_to_back(scene: Scene, logged: LoggedRun) -> None:
    whole = b"x" * (2 * MAX_SEGMENT_BYTES - 1) + b"\n"
    logged.append(whole + b"tail\n")
    logged.writer.step()
    assert stored_log(scene.s3, scene.bucket).sizes == [MAX_SEGMENT_BYTES, MAX_SEGMENT_BYTES, 5]


def test_log_of_exactly_one_segment_has_no_empty_one_but_its_end(
    scene: Scene, logged: LoggedRun
) -> None:
    logged.append(b"x" * MAX_SEGMENT_BYTES)
    logged.run(10)
    logged.writer.finish(5)
    stored = stored_log(scene.s3, scene.bucket)
    assert (stored.sizes, stored.ended) == ([MAX_SEGMENT_BYTES], True)


def test_prompt_goes_with_the_next_interval_and_the_last_line_with_the_end(
    scene: Scene, logged: LoggedRun
) -> None:
    logged.append(b"first\npass")
    logged.writer.step()
    assert stored_log(scene.s3, scene.bucket).sizes == [6]
    logged.writer.step()
    assert stored_log(scene.s3, scene.bucket).sizes == [6, 4]
    logged.append(b"word: ")
    logged.writer.finish(5)
    stored = stored_log(scene.s3, scene.bucket)
    assert (stored.data, stored.sizes, stored.ended) == (b"first\npassword: ", [6, 4, 6], True)


def test_backlog_that_takes_too_long_is_left_to_the_final_log(
    scene: Scene, logged: LoggedRun
) -> None:
    logged.append(b"a\n")
    logged.writer.step()
    logged.append(b"b\n")
    logged.writer.finish(0)
    stored = stored_log(scene.s3, scene.bucket)
    assert (stored.data, stored.ended) == (b"a\n", True)
    assert stored_state(scene.s3, scene.bucket).ended


# --- what goes wrong -------------------------------------------------------------------------

OUTAGES: dict[str, Callable[[Proxy], object]] = {
    "answers of segments are lost": lambda proxy: proxy.inject(
        faults.DropAnswer(), "PutObject", key=OUT, times=None, probability=0.5
    ),
    "answers of heartbeats are lost": lambda proxy: proxy.inject(
        faults.DropAnswer(), "PutObject", key="state", times=None, probability=0.5
    ),
    "bursts of 503": lambda proxy: proxy.inject(
        faults.slow_down(), times=None, probability=0.4
    ),
    "answers of 503 to what was done": lambda proxy: proxy.inject(
        faults.Answer(503, "SlowDown", forward=True), "PutObject", times=None, probability=0.4
    ),
    "a minute without S3": lambda proxy: proxy.inject(faults.ResetBefore(), nth=8, times=12),
}  # fmt: skip


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
def test_outage_leaves_no_gap_and_nothing_twice(
    scene: Scene, outage: Callable[[Proxy], object], logged: LoggedRun
) -> None:
    outage(scene.recorder)
    logged.run(120, numbered)
    assert logged.writer.off is None
    scene.recorder.heal()
    logged.writer.finish(60)
    stored = stored_log(scene.s3, scene.bucket)
    assert (stored.data, stored.ended) == (lines(120), True)
    assert stored_state(scene.s3, scene.bucket).ended
    assert logged.notes == []


def test_waits_grow_while_s3_is_away_and_nothing_is_sent_twice_for_it(
    logged: LoggedRun, recorder: Proxy
) -> None:
    recorder.inject(faults.ResetBefore(), times=None)
    logged.run(600, numbered)
    # A full jitter of up to 30 s; at the interval of 2 s it would be 300.
    assert recorder.count() < 100
    logged.writer.finish(5)
    assert logged.writer.off is not None
    assert "their end is not stored" in logged.notes[0]


def test_wrong_clock_changes_times_only(scene: Scene, logged: LoggedRun) -> None:
    logged.clock.off_ms = -3_600_000
    logged.run(10, numbered)
    logged.clock.off_ms = 3_600_000
    logged.run(10, numbered)
    logged.writer.finish(5)
    assert stored_log(scene.s3, scene.bucket).data == lines(10) * 2


def test_refusal_turns_live_off_with_one_note(scene: Scene, logged: LoggedRun) -> None:
    scene.recorder.inject(faults.access_denied(), "PutObject", key="live/", times=None)
    logged.run(60, numbered)
    logged.writer.finish(5)
    assert scene.recorder.count("PutObject") == 1
    assert len(logged.notes) == 1
    assert "live logs are off: " in logged.notes[0]


def test_file_that_becomes_shorter_turns_live_off(logged: LoggedRun, bucket: str) -> None:
    logged.append(b"one\n")
    logged.writer.step()
    (logged.directory / OUT).write_bytes(b"")
    logged.writer.finish(5)
    assert logged.notes == [
        "live logs are off: stdout.log is shorter than what is stored of it"
    ]  # fmt: skip


# --- who may write ---------------------------------------------------------------------------


@pytest.fixture
def other(scene: Scene, logged: LoggedRun) -> Iterator[LoggedRun]:
    """Another writer of the same execution, in another process as it were."""
    other = LoggedRun(
        scene.directory / "two", s3_store(scene.bucket), writer_id="b2" * 16, clock=logged.clock
    )
    yield other
    other.close()


def make_stale(logged: LoggedRun) -> None:
    """Let the heartbeat that it finds be as old as if nobody had written one for long."""
    assert isinstance(logged.store, AgedStore)
    logged.store.age_seconds = 91


def test_fresh_heartbeat_fences_another_writer(
    scene: Scene, logged: LoggedRun, other: LoggedRun
) -> None:
    logged.append(b"mine\n")
    logged.writer.step()
    other.append(b"theirs\n")
    assert other.writer.step() is None
    assert "process 42 on bench-7 writes them" in other.notes[0]
    logged.append(b"too\n")
    logged.writer.finish(5)
    assert stored_log(scene.s3, scene.bucket).data == b"mine\ntoo\n"
    assert logged.notes == []


def test_stale_heartbeat_is_taken_over_where_the_bytes_are_the_same(
    scene: Scene, logged: LoggedRun, other: LoggedRun
) -> None:
    logged.run(10, numbered)
    make_stale(other)
    other.append(lines(3))
    other.writer.step()
    # What it has not yet cannot be compared, and nothing is stored meanwhile.
    assert other.writer.off is None
    other.append(lines(20)[len(lines(3)) :])
    other.writer.step()
    other.writer.finish(5)
    assert stored_log(scene.s3, scene.bucket).data == lines(20)
    state = stored_state(scene.s3, scene.bucket)
    assert (state.writer, state.epoch, state.ended) == (other.writer_id, 2, True)
    # The one that was there before hears of it with its next heartbeat.
    logged.run(60)
    assert len(logged.notes) == 1
    assert "another writer" in logged.notes[0]
    assert stored_log(scene.s3, scene.bucket).data == lines(20)


@pytest.mark.parametrize("more", [b"", b"and more\n"])
def test_other_bytes_are_not_taken_over(
    scene: Scene, more: bytes, logged: LoggedRun, other: LoggedRun
) -> None:
    logged.append(b"mine\n")
    logged.writer.step()
    make_stale(other)
    other.append(b"this\n" + more)
    assert other.writer.step() is None
    assert other.notes == [
        "live logs are off: other bytes are stored of stdout.log, from byte 0 on"
    ]
    assert stored_log(scene.s3, scene.bucket).data == b"mine\n"


def test_shorter_log_does_not_end_what_is_stored(
    scene: Scene, logged: LoggedRun, other: LoggedRun
) -> None:
    logged.append(b"mine\n")
    logged.writer.step()
    make_stale(other)
    other.append(b"mi")
    other.writer.step()
    other.writer.finish(5)
    assert "shorter than what is stored" in other.notes[0]
    stored = stored_log(scene.s3, scene.bucket)
    assert (stored.data, stored.ended) == (b"mine\n", False)


def test_same_writer_begins_again_at_once_and_goes_on_where_it_was(
    scene: Scene, logged: LoggedRun
) -> None:
    logged.run(10, numbered)
    scene.recorder.clear()
    again = LoggedRun(logged.directory, logged.store, clock=Clock())
    again.append(b"and more\n")
    again.writer.step()
    again.writer.finish(5)
    again.close()
    stored = stored_log(scene.s3, scene.bucket)
    assert (stored.data, stored.ended) == (lines(10) + b"and more\n", True)
    assert stored_state(scene.s3, scene.bucket).epoch == 2
    assert again.notes == []
    # What the last heartbeat did not know of is compared, and nothing is sent again.
    assert scene.recorder.count("PutObject", live_segment_key(ID, OUT, 0)) == 0


def test_segment_of_nobody_known_turns_live_off(scene: Scene, logged: LoggedRun) -> None:
    scene.s3.put_object(Bucket=scene.bucket, Key=live_segment_key(ID, OUT, 0), Body=b"foreign")
    logged.append(b"mine\n")
    assert logged.writer.step() is None
    assert "is not a segment of a live log" in logged.notes[0]


def test_heartbeat_that_was_removed_is_made_again(scene: Scene, logged: LoggedRun) -> None:
    logged.append(b"mine\n")
    logged.writer.step()
    scene.s3.delete_object(Bucket=scene.bucket, Key=live_state_key(ID))
    logged.writer.finish(5)
    assert stored_state(scene.s3, scene.bucket).ended
    assert logged.notes == []


def test_defect_of_a_store_turns_live_off(
    logged: LoggedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logged.store, "put_segment", None)
    logged.append(b"one\n")
    assert logged.writer.step() is None
    assert logged.notes[0].startswith("live logs are off: unexpected TypeError")
