"""What the tests of the transfer engine share: content, stores and executions."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchestrator_cli.core.base.errors import OrchestratorError
from orchestrator_cli.core.base.memory_limiter import BufferPool
from orchestrator_cli.core.base.retry import RetryPolicy
from orchestrator_cli.core.executions.keys import artifact_key
from orchestrator_cli.core.executions.placement import storage_path_for
from orchestrator_cli.core.http.rate_limiter import RateLimiter
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.connection.config import S3Settings
from orchestrator_cli.core.s3.connection.session import S3Session
from orchestrator_cli.core.s3.part_plan import BASE_PART_BYTES
from tests.support.proxy.connection import Exchange
from tests.support.proxy.faults import Fault

MIB = 1024 * 1024
PART = BASE_PART_BYTES
# How long a server may ask for fewer requests.
PATIENCE_SECONDS = 0.2
EXECUTION_ID = "01J00000000000000000000000"


def content(size_bytes: int, seed: int = 0) -> bytes:
    """Return bytes that look random and are the same in every run."""
    return random.Random(seed).randbytes(size_bytes)


def open_store(
    bucket: str,
    attempts: int = 6,
    pace: RateLimiter | None = None,
    on_retry: Callable[[OrchestratorError], None] | None = None,
) -> ArtifactStore:
    """Return a store as the environment points, with the engine's retries but hardly a wait."""
    retry = RetryPolicy(
        attempts=attempts,
        first_wait_seconds=0.001,
        longest_wait_seconds=0.01,
        patience_seconds=PATIENCE_SECONDS,
        on_retry=on_retry,
    )
    return ArtifactStore(S3Session(S3Settings(bucket, environment=os.environ), retry, pace))


def set_patience(store: ArtifactStore, seconds: float) -> None:
    """Let a store that is open already go on for so long while a server asks for less."""
    object.__setattr__(store.retry, "patience_seconds", seconds)


def new_execution(cli: Callable[..., Any], *options: str) -> str:
    """Make an execution with the command and return its id."""
    return str(cli("new", *options).ok().out.strip())


def key_of(name: str, execution_id: str = EXECUTION_ID) -> str:
    """Return the key that a file of this relative name is stored under."""
    return artifact_key(execution_id, storage_path_for(name))


class CountedBuffers(BufferPool):
    """Buffers that are counted as they are made."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(size_bytes)
        self._seen: list[bytearray] = []
        self._lock = threading.Lock()

    @property
    def made(self) -> int:
        return len(self._seen)

    def get(self) -> bytearray:
        buffer = super().get()
        with self._lock:
            if not any(buffer is one for one in self._seen):
                self._seen.append(buffer)
        return buffer


def impatient(monkeypatch: Any) -> None:
    """Let the commands that run in this process retry at once."""
    monkeypatch.setattr(RetryPolicy, "wait", lambda policy, seconds: policy.check_stopped())
    # A loop waits by timers of its own.
    monkeypatch.setattr(RetryPolicy, "backoff_seconds", lambda policy, failures: 0.0)
    monkeypatch.setattr("orchestrator_cli.core.base.retry.PATIENCE_SECONDS", PATIENCE_SECONDS)


def answered(exchanges: list[Exchange], operation: str) -> int:
    """Count the requests of an operation that the server has answered."""
    return sum(one.operation == operation and one.status is not None for one in exchanges)


@dataclass
class FromByte(Fault):
    """Strikes only requests for ranges that begin at this byte or later."""

    start_bytes: int
    fault: Fault

    def request_head(self, waiting: Any) -> None:
        wanted = waiting.headers.get("Range", "bytes=0-")
        if int(wanted.removeprefix("bytes=").partition("-")[0]) >= self.start_bytes:
            self.fault.request_head(waiting)
