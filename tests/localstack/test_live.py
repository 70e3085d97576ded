"""Live logs where every condition and checksum is enforced as by AWS."""

from __future__ import annotations

import pytest

from tests.live.writing import LoggedRun, s3_store, stored_log, stored_state
from tests.support.proxy.faults import DropAnswer, slow_down
from tests.support.scene import Scene

pytestmark = pytest.mark.localstack


def line(number: int) -> bytes:
    return f"line {number}\n".encode()


def test_lost_answers_and_a_takeover_leave_every_line_once(scene: Scene) -> None:
    scene.recorder.inject(DropAnswer(), "PutObject", key="live/", times=None, probability=0.3)
    scene.recorder.inject(slow_down(), key="live/", times=None, probability=0.2)
    first = LoggedRun(scene.directory / "one", s3_store(scene.bucket))
    first.run(100, line)
    assert first.writer.off is None
    store = s3_store(scene.bucket)
    store.age_seconds = 91
    second = LoggedRun(scene.directory / "two", store, writer_id="b2" * 16)
    second.append(b"".join(map(line, range(110))))
    second.run(60)
    scene.recorder.heal()
    second.writer.finish(60)
    first.run(60)
    for logged in (first, second):
        logged.close()
    assert second.notes == []
    assert "another writer" in first.notes[0]
    stored, state = stored_log(scene.s3, scene.bucket), stored_state(scene.s3, scene.bucket)
    assert (stored.data, stored.ended) == (b"".join(map(line, range(110))), True)
    # Where the answer to its claim was lost, the second one has claimed again.
    assert (state.writer, state.ended) == ("b2" * 16, True)
    assert state.epoch >= 2
