"""A log that grows on a clock of the test's own, and the writer that follows it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator_cli.core.executions.keys import (
    live_log_prefix,
    live_state_key,
    parse_live_segment_key,
)
from orchestrator_cli.core.live.schedule import LiveSchedule
from orchestrator_cli.core.live.segmented_log import SegmentedLog
from orchestrator_cli.core.live.state import LiveState, StoredState, parse_state
from orchestrator_cli.core.live.store import LiveStore, S3LiveStore
from orchestrator_cli.core.live.writer import LiveClock, LiveWriter
from orchestrator_cli.core.s3.checksum import FdReader
from tests.support.stored.engine import open_store
from tests.support.stored.objects import bucket_contents

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ID = "01JABCDEFGHJKMNPQRSTVWXYZ0"
OUT, ERR = "stdout.log", "stderr.log"
NOON_MS = 1_800_000_000_000


@dataclass
class Clock:
    """A clock that goes on only when it is told; `off_ms` is how wrong its time of day is."""

    now: float = 0.0
    off_ms: int = 0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def live(self) -> LiveClock:
        return LiveClock(
            lambda: self.now, lambda: NOON_MS + self.off_ms + int(self.now * 1000), self.sleep
        )


class GrowingFile(FdReader):
    """A log in an open file that is only appended to."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self.descriptor = descriptor

    @property
    def size_bytes(self) -> int:
        return os.fstat(self.descriptor).st_size

    def release(self, offset_bytes: int) -> None:
        """Forget nothing."""


@dataclass
class LoggedRun:
    """Two logs in files and a writer of them; what happens is a function of the clock."""

    directory: Path
    store: LiveStore
    schedule: LiveSchedule = field(default_factory=lambda: LiveSchedule(2.0))
    writer_id: str = "a1" * 16
    clock: Clock = field(default_factory=Clock)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.directory.mkdir(exist_ok=True)
        self.files = [
            os.open(self.directory / name, os.O_RDWR | os.O_CREAT | os.O_APPEND)
            for name in (OUT, ERR)
        ]
        logs = [
            SegmentedLog(name, GrowingFile(file))
            for name, file in zip((OUT, ERR), self.files, strict=True)
        ]
        state = LiveState(self.writer_id, "bench-7", 42)
        self.writer = LiveWriter(
            self.store, state, logs, self.schedule, self.notes.append, self.clock.live()
        )

    def append(self, data: bytes) -> None:
        os.write(self.files[0], data)

    def run(
        self, seconds: float, line: Callable[[int], bytes] | None = None, every: float = 1.0
    ) -> None:
        """Let so many seconds go by, with a line every so often, and the writer's steps."""
        end = self.clock.now + seconds
        lines = iter(range(int(seconds / every)))
        next_line = self.clock.now if line else end
        next_step = self.clock.now + self.schedule.next_wait_seconds(0)
        while min(next_line, next_step) < end:
            self.clock.now = min(next_line, next_step)
            if line and self.clock.now == next_line:
                self.append(line(next(lines)))
                next_line += every
            else:
                wait = self.writer.step()
                next_step = end if wait is None else self.clock.now + wait
        self.clock.now = end

    def close(self) -> None:
        for file in self.files:
            os.close(file)


class AgedStore(S3LiveStore):
    """A store whose heartbeat is as old as the test says."""

    age_seconds: float | None = None

    def read_state(self) -> StoredState | None:
        found = super().read_state()
        if found is None or self.age_seconds is None:
            return found
        return replace(found, age_seconds=self.age_seconds)


def s3_store(bucket: str) -> AgedStore:
    return AgedStore(open_store(bucket, attempts=1), ID)


@dataclass(frozen=True)
class StoredLog:
    """What a bucket holds of a live log, its segments checked: no gap, nothing twice."""

    data: bytes
    sizes: list[int]
    ended: bool


def stored_log(s3: S3Client, bucket: str, log: str = OUT, execution_id: str = ID) -> StoredLog:
    data, sizes, ended = b"", [], False
    for key, content in bucket_contents(s3, bucket, live_log_prefix(execution_id, log)).items():
        assert parse_live_segment_key(key) == (execution_id, log, len(data))
        fields = s3.head_object(Bucket=bucket, Key=key)["Metadata"]
        assert fields["sha256"] == hashlib.sha256(content).hexdigest()
        assert int(fields["line"]) == data.count(b"\n")
        assert int(fields["t0"]) <= int(fields["t1"])
        assert not ended
        data, ended = data + content, not content
        sizes += [len(content)] if content else []
    return StoredLog(data, sizes, ended)


def stored_state(s3: S3Client, bucket: str) -> LiveState:
    key = live_state_key(ID)
    return parse_state(s3.get_object(Bucket=bucket, Key=key)["Body"].read(), key)
