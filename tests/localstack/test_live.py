"""Live logs where every condition and checksum is enforced as by AWS."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live.writing import LoggedRun, s3_store, stored_log, stored_state
from tests.support.faults import DropAnswer, slow_down
from tests.support.proxy import Proxy

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.localstack


def line(number: int) -> bytes:
    return f"line {number}\n".encode()


def test_lost_answers_and_a_takeover_leave_every_line_once(
    recorder: Proxy, s3: S3Client, bucket: str, tmp_path: Path
) -> None:
    recorder.inject(DropAnswer(), "PutObject", key="live/", times=None, probability=0.3)
    recorder.inject(slow_down(), key="live/", times=None, probability=0.2)
    first = LoggedRun(tmp_path / "one", s3_store(bucket))
    first.run(100, line)
    assert first.writer.off is None
    store = s3_store(bucket)
    store.age_seconds = 91
    second = LoggedRun(tmp_path / "two", store, writer_id="b2" * 16)
    second.append(b"".join(map(line, range(110))))
    second.run(60)
    recorder.heal()
    second.writer.finish(60)
    first.run(60)
    for logged in (first, second):
        logged.close()
    assert second.notes == []
    assert "another writer" in first.notes[0]
    stored, state = stored_log(s3, bucket), stored_state(s3, bucket)
    assert (stored.data, stored.ended) == (b"".join(map(line, range(110))), True)
    # Where the answer to its claim was lost, the second one has claimed again.
    assert (state.writer, state.ended) == ("b2" * 16, True)
    assert state.epoch >= 2
