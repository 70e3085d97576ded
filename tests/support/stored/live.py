"""A writer of live logs that keeps to the stored format, and a clock that tests turn."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import TYPE_CHECKING

from orchestrator_cli.core.executions.keys import live_segment_key, live_state_key
from tests.support.proxy.connection import Connection
from tests.support.proxy.operations import Request
from tests.support.proxy.proxy import Proxy
from tests.support.proxy.quirks import Quirk, Reply, Server

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

WRITER = "0f" * 16


@dataclass
class LogWriter:
    """Writes segments as they are specified; nothing of the code under test writes them."""

    s3: S3Client
    bucket: str
    execution_id: str
    log: str = "stdout.log"
    written: bytes = b""
    has_ended: bool = False
    time_ms: int = 1

    def write(self, *segments: bytes) -> None:
        """Store each as the next segment; an empty one is the end marker."""
        for data in segments:
            self.s3.put_object(
                Bucket=self.bucket,
                Key=live_segment_key(self.execution_id, self.log, len(self.written)),
                Body=data,
                Metadata={
                    "sha256": hashlib.sha256(data).hexdigest(),
                    "line": str(self.written.count(b"\n")),
                    "t0": str(self.time_ms),
                    "t1": str(self.time_ms + 1),
                    "writer": WRITER,
                },
            )
            self.written += data
            self.time_ms += 1000
            self.has_ended = not data

    def beat(self, *others: LogWriter) -> None:
        """Store the heartbeat, with how far this log and others are."""
        logs = {
            one.log: {
                "offset": len(one.written),
                "line": one.written.count(b"\n"),
                "ended": one.has_ended,
            }
            for one in (self, *others)
        }
        state = {
            "version": 1,
            "writer": WRITER,
            "epoch": 1,
            "host": "bench-7",
            "pid": 1,
            "interval_seconds": 1.0,
            "logs": logs,
        }
        key = live_state_key(self.execution_id)
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=json.dumps(state).encode())

    def store(self, data: bytes | None = None) -> None:
        """Store the final object."""
        content = self.written if data is None else data
        folder = "" if self.log.startswith("artifacts/") else "logs/"
        self.s3.put_object(
            Bucket=self.bucket,
            Key=f"executions/{self.execution_id}/{folder}{self.log}",
            Body=content,
            Metadata={"sha256": hashlib.sha256(content).hexdigest()},
        )


@dataclass
class Clock:
    """A clock that goes on when somebody waits for it, and what happens at which time."""

    now: float = 1000.0
    events: list[tuple[float, Callable[[], object]]] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def at(self, seconds: float, event: Callable[[], object]) -> None:
        """Let something happen so many seconds after the clock was made."""
        self.events.append((1000.0 + seconds, event))

    def wait(self, seconds: float) -> None:
        """Go on, through everything that happens until then."""
        until = self.now + seconds
        self.events.sort(key=lambda event: event[0])
        while self.events and self.events[0][0] <= until:
            self.now, event = self.events.pop(0)
            event()
        self.now = until


class LaterDate(Quirk):
    """S3's clock is further on than when the objects were stored."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def reply(self, request: Request, reply: Reply, connection: Connection) -> None:
        """Move the time at which it answers."""
        date = parsedate_to_datetime(reply.headers["date"]) + timedelta(seconds=self.seconds)
        reply.headers["date"] = format_datetime(date, usegmt=True)


def inject_later_date(proxy: Proxy, seconds: float = 0.0, key: str | None = None) -> LaterDate:
    """Put a clock before the server that can be set ahead; for some keys only, if any are named."""
    quirk = LaterDate()
    quirk.seconds = seconds
    proxy.inject(Server(quirk), key=key, times=None)
    return quirk
