"""Make the final logs of an execution from its segments, where its writer will not come back."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator_cli.core.base.errors import ConflictError, NotFoundError, OrchestratorError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.content_type import content_type_of
from orchestrator_cli.core.executions.keys import artifact_key, live_log_path
from orchestrator_cli.core.executions.record.artifact_status import is_stored
from orchestrator_cli.core.executions.record.metadata import (
    ArtifactStatus,
    ExecutionMetadata,
    Result,
    Status,
)
from orchestrator_cli.core.executions.record.repository import (
    finish_execution,
    read_execution,
    record_upload_result,
)
from orchestrator_cli.core.live.reading.heartbeat import Heartbeat
from orchestrator_cli.core.live.reading.listing import list_live_logs
from orchestrator_cli.core.live.reading.reader import LiveChunk, LiveReader
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.checksum import create_hash
from orchestrator_cli.core.s3.operations.read import hash_stored_range
from orchestrator_cli.core.s3.types import PutOutcome
from orchestrator_cli.core.transfer.engine import TransferEngine
from orchestrator_cli.core.transfer.upload.direct_target import DirectTarget
from orchestrator_cli.core.transfer.upload.parts.arrivals import Arrivals
from orchestrator_cli.core.transfer.upload.plan import PlannedFile
from orchestrator_cli.core.transfer.upload.stream import upload_stream

_LOST = "the runner was lost"


@dataclass(frozen=True, slots=True)
class SalvagedLog:
    """The result of one log. `is_whole`: its writer has said that it ends there.

    `outcome` is None where `error` says why it is not stored.
    """

    path: str
    size_bytes: int
    is_whole: bool
    outcome: PutOutcome | None
    error: OrchestratorError | None = None

    @property
    def failure(self) -> str | None:
        """What the record says of it; None where nothing is missing."""
        if self.error is not None:
            return self.error.message
        if self.is_whole:
            return None
        return f"salvaged: it ends at byte {self.size_bytes:,}, where its writer was lost"


@dataclass(frozen=True, slots=True)
class Salvaged:
    """The salvaged logs of an execution, and its record afterwards."""

    logs: list[SalvagedLog]
    metadata: ExecutionMetadata


def salvage(
    store: ArtifactStore,
    engine: TransferEngine,
    execution_id: str,
    older_than: timedelta,
    now: datetime,
) -> Salvaged:
    """Store the logs as far as their segments reach, and finish the execution as `error`.

    Repeating it changes nothing. Raises NotFoundError where there is nothing to salvage, and
    ConflictError where the writer has been there within `older_than`, or has stored all its logs.
    """
    metadata = read_execution(store, execution_id).metadata
    names = list_live_logs(store, execution_id)
    if not names:
        raise NotFoundError(f"{execution_id} has no live logs", hint="they are kept for seven days")
    age = timedelta(seconds=Heartbeat(store, execution_id).silent_seconds(names))
    if age < older_than and _is_complete(store, metadata, names):
        raise ConflictError(
            f"{execution_id} is finished with result {metadata.result}, and its logs are stored: "
            "there is nothing to salvage"
        )
    if age < older_than:
        raise ConflictError(
            f"the writer of {execution_id} was there {age.total_seconds():,.0f} s ago; "
            "nothing was changed",
            hint="--older-than says how long it must have been silent",
        )
    logs = [_salvage_log(store, engine, execution_id, log) for log in names]
    is_running = metadata.status is Status.RUNNING
    # A record that is finished learns of what is new, and of nothing that it has judged already.
    news = [log for log in logs if is_running or log.outcome is PutOutcome.CREATED]
    if news:
        failed = {log.path: log.failure for log in news if log.failure is not None}
        metadata = record_upload_result(store, execution_id, failed, set())
    if is_running:
        # Its end stays open: `run --resume` may still record it.
        lost = metadata.run and metadata.run.model_copy(update={"summary": _LOST})
        metadata = finish_execution(store, execution_id, Result.ERROR, now - age, lost)
    return Salvaged(logs, metadata)


def _is_complete(store: ArtifactStore, metadata: ExecutionMetadata, names: list[str]) -> bool:
    """Say whether the execution is complete and each of its live logs is stored."""
    if metadata.artifact_status is not ArtifactStatus.COMPLETE:
        return False
    paths = [live_log_path(name) or name for name in names]
    return all(is_stored(store, metadata, path) for path in paths)


def _salvage_log(
    store: ArtifactStore, engine: TransferEngine, execution_id: str, log: str
) -> SalvagedLog:
    reader = LiveReader(store, execution_id, log)
    path = live_log_path(log) or log
    try:
        reader.join()
        if reader.offset:
            raise NotFoundError(f"its first {reader.offset:,} bytes have expired")
        outcome, goes_on = _store(store, engine, artifact_key(execution_id, path), reader)
    except OrchestratorError as error:
        if error.is_fatal:
            raise
        return SalvagedLog(path, reader.offset, reader.has_ended, None, error)
    conflict = None
    if outcome is PutOutcome.CONFLICT:
        conflict = ConflictError(f"{path}: the key holds other content; nothing was changed")
    return SalvagedLog(path, reader.offset, reader.has_ended or goes_on, outcome, conflict)


def _store(
    store: ArtifactStore, engine: TransferEngine, key: str, reader: LiveReader
) -> tuple[PutOutcome, bool]:
    """Store a log create-only; return whether one that is there goes on beyond the segments.

    Its writer has stored that one, and so the whole log.
    """
    head = store.head_for_compare(key)
    if head is None:
        return _upload(store, engine, key, SegmentStream(reader)), False
    digest = create_hash("sha256")
    for chunk in reader.read_new():
        digest.update(chunk.data)
    if head.size_bytes < reader.offset:
        return PutOutcome.CONFLICT, False
    stored = store.run(hash_stored_range(key, "sha256", 0, reader.offset))
    if stored != digest.digest():
        return PutOutcome.CONFLICT, False
    return PutOutcome.IDENTICAL, head.size_bytes > reader.offset


def _upload(
    store: ArtifactStore, engine: TransferEngine, key: str, stream: SegmentStream
) -> PutOutcome:
    item = PlannedFile(key, key, key, 0, content_type_of(key))
    arrivals = Arrivals(lambda: stream.time_ms)
    result = upload_stream(engine, DirectTarget(store), item, stream, arrivals)
    if result.outcome is None:
        raise result.error or OrchestratorError(f"{printable(key)}: not stored")
    return result.outcome


class SegmentStream:
    """What the segments of a log hold, as a stream that is read once; one segment in memory.

    `time_ms` is when what was read last arrived.
    """

    def __init__(self, reader: LiveReader) -> None:
        self.time_ms = 0
        self._chunks: Iterator[LiveChunk] = reader.read_new()
        self._left = memoryview(b"")

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill a buffer as far as the segment reaches; 0 at the end of the last one."""
        while not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._left = memoryview(chunk.data)
            self.time_ms = chunk.time_ms or 0
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size

    def fileno(self) -> int:
        """Raise OSError: there is always something to read, or the end."""
        raise io.UnsupportedOperation("fileno")
