"""Logs that are still being written. Each is read from S3 once for all clients."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from orchestrator_cli.api.logs.growing_content import GrowingContent
from orchestrator_cli.api.logs.log_bytes import MAX_READ_BYTES, LogBytes, LogState
from orchestrator_cli.core.base.errors import AccessError
from orchestrator_cli.core.executions.keys import artifact_key, live_log_path
from orchestrator_cli.core.live.reading.follower import poll_seconds
from orchestrator_cli.core.live.reading.reader import LiveChunk, LiveReader
from orchestrator_cli.core.live.state import Liveness, StoredState, liveness_after, read_state
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore

# How much of a log's end is cached. Clients that follow a log have read what comes before.
_CACHED_BYTES = MAX_READ_BYTES
_MAX_LOGS = 64
# A log that was polled this recently is not polled again.
_MIN_POLL_SECONDS = 0.8
# While no bytes arrive, how often to check whether the log is stored or its writer lost.
_STATE_CHECK_SECONDS = 15.0


class GrowingLog:
    """One log that is being written. Safe to share between threads.

    `state` becomes `final` once the whole log is stored. This object is then discarded: the stored
    log may be longer than what was read here, so `read` never returns the state `final`.
    """

    def __init__(
        self, store: ArtifactStore, execution_id: str, log: str, clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._execution_id = execution_id
        self._log = log
        self._key = artifact_key(execution_id, live_log_path(log) or log)
        self._clock = clock
        self._lock = threading.Lock()
        self._reader = LiveReader(store, execution_id, log)
        self._cached = LiveChunk(0, b"", 0)
        self._polled_at = self._state_checked_at = float("-inf")
        self._began_at = self._grew_at = clock()
        self.state = LogState.GROWING
        self.size_bytes = 0

    @property
    def poll_seconds(self) -> float:
        """How long to wait before the next poll."""
        return poll_seconds(self._clock() - self._grew_at)

    def begin(self, found: StoredState) -> None:
        """Start reading near the end of the log, whose offset is in the heartbeat."""
        position = found.state.logs.get(self._log)
        self._set_liveness(found)
        self._reader.join(max(0, position.offset - _CACHED_BYTES) if position else 0)
        self._cached = LiveChunk(self._reader.offset, b"", 0)
        self.size_bytes = self._reader.offset

    def poll(self) -> None:
        """Read new bytes, unless another thread has just done so."""
        with self._lock:
            if self._clock() - self._polled_at < _MIN_POLL_SECONDS:
                return
            is_first = self._polled_at < self._began_at
            for chunk in self._reader.read_new():
                self._append(chunk)
                # Only bytes that arrive after the first poll prove that the writer is alive.
                self.state = self.state if is_first else LogState.GROWING
            self._polled_at = self._clock()
            if self._is_state_check_due():
                self._check_state()

    def tail(self, lines: int, max_bytes: int) -> bytes:
        """Return the last lines that are stored, at most `max_bytes` of them."""
        end = start = self.read(0, 0).size_bytes
        data = b""
        while start > max(0, end - max_bytes) and data.count(b"\n", 0, -1) < lines:
            wanted = max(0, end - max_bytes, start - MAX_READ_BYTES)
            part = self.read(wanted, start - wanted)
            data = bytes(part.data) + data
            # If the part begins later than requested, everything before it has expired.
            start = wanted if part.offset == wanted else 0
        before, *found = data[:-1].rsplit(b"\n", lines) if lines else (data,)
        return data[len(before) + 1 :] if len(found) == lines else data

    def content(self) -> GrowingContent:
        """Return a reader of everything that is stored of the log."""
        return GrowingContent(self._store, self._execution_id, self._log)

    def read(self, offset: int, length: int, wait_seconds: float = 0.0) -> LogBytes:
        """Return a part of the log, from the cache if it is near the end. It does not wait."""
        self.poll()
        cached, size = self._cached, self.size_bytes
        start = max(0, size + offset) if offset < 0 else min(offset, size)
        wanted = min(length, MAX_READ_BYTES)
        if start < cached.offset:
            return self._read_from_storage(start, wanted)
        before = cached.data[: start - cached.offset]
        data = cached.data[len(before) : len(before) + wanted]
        line = cached.line + before.count(b"\n") if cached.data or not start else None
        return LogBytes(start, data, size, self._reported_state, line)

    def _read_from_storage(self, start: int, wanted: int) -> LogBytes:
        reader = LiveReader(self._store, self._execution_id, self._log)
        reader.join(start, start + wanted)
        first, parts, size = reader.offset, [], 0
        line: int | None = None
        time_ms: int | None = None
        for chunk in reader.read_new():
            line = chunk.line if line is None else line
            time_ms = time_ms or chunk.time_ms
            parts.append(chunk.data[: wanted - size])
            size += len(parts[-1])
            if size >= wanted:
                break
        data = b"".join(parts)
        return LogBytes(first, data, self.size_bytes, self._reported_state, line, time_ms=time_ms)

    @property
    def _reported_state(self) -> LogState:
        return LogState.LOST if self.state is LogState.LOST else LogState.GROWING

    def _append(self, chunk: LiveChunk) -> None:
        cached = self._cached if self._cached.data else LiveChunk(chunk.offset, b"", chunk.line)
        data = cached.data + chunk.data
        cut = max(0, len(data) - _CACHED_BYTES)
        line = cached.line + data.count(b"\n", 0, cut)
        self._cached = LiveChunk(cached.offset + cut, data[cut:], line)
        self.size_bytes = self._cached.end
        self._grew_at = self._clock()

    def _is_state_check_due(self) -> bool:
        # A lost writer may come back, and clients stop following a lost log: check at each poll.
        if self._reader.has_ended or self.state is LogState.LOST:
            return True
        last = max(self._grew_at, self._state_checked_at)
        return self._polled_at - last >= _STATE_CHECK_SECONDS

    def _check_state(self) -> None:
        self._state_checked_at = self._clock()
        if self._store.head_for_compare(self._key) is not None:
            self.state = LogState.FINAL
            return
        found = self._store.run(read_state(self._execution_id))
        if found is not None:
            self._set_liveness(found)

    def _set_liveness(self, found: StoredState) -> None:
        is_lost = liveness_after(found.age_seconds) is Liveness.LOST
        self.state = LogState.LOST if is_lost else LogState.GROWING


class GrowingLogs:
    """A cache of the growing logs of one bucket."""

    def __init__(self, store: ArtifactStore, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._logs: OrderedDict[tuple[str, str], GrowingLog] = OrderedDict()

    def known(self, execution_id: str, log: str) -> GrowingLog | None:
        """Return a log that was found before, after polling it; None if it is final by now."""
        with self._lock:
            found = self._logs.get((execution_id, log))
        if found is None:
            return None
        found.poll()
        if found.state is not LogState.FINAL:
            return found
        with self._lock:
            self._logs.pop((execution_id, log), None)
        return None

    def find(self, execution_id: str, log: str) -> GrowingLog | None:
        """Return a log that is being written, by its heartbeat; None if there is none."""
        try:
            found = self._store.run(read_state(execution_id))
        except AccessError:
            # Credentials without access to live logs can still serve stored ones.
            return None
        if found is None or log not in found.state.logs:
            return None
        growing = GrowingLog(self._store, execution_id, log, self._clock)
        growing.begin(found)
        with self._lock:
            # If several threads have found the log at once, all use the first one's.
            growing = self._logs.setdefault((execution_id, log), growing)
            self._logs.move_to_end((execution_id, log))
            while len(self._logs) > _MAX_LOGS:
                self._logs.popitem(last=False)
        return growing
