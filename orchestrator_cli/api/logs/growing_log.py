"""Logs that are still being written, read once for all who listen; nothing here knows HTTP."""

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

# What is kept of a log's end: whoever listens has read what was before.
_KEPT_BYTES = MAX_READ_BYTES
_MAX_LOGS = 64
# A log that was read so short a time ago is not asked for again.
_FRESH_SECONDS = 0.8
# Without new bytes, this is how often it is looked whether the log is stored, or its writer gone.
_LOOK_SECONDS = 15.0


class GrowingLog:
    """One log that is being written. Safe to share between threads.

    `state` is `final` once the whole log is stored. It may be longer than what is read here, so
    this one never says that of what it reads: it is of no use any more.
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
        self._kept = LiveChunk(0, b"", 0)
        self._polled_at = self._looked_at = float("-inf")
        self._began_at = self._grew_at = clock()
        self.state = LogState.GROWING
        self.size_bytes = 0

    @property
    def poll_seconds(self) -> float:
        """How long to wait before the next look at it."""
        return poll_seconds(self._clock() - self._grew_at)

    def begin(self, found: StoredState) -> None:
        """Begin near the end, as the heartbeat has it."""
        position = found.state.logs.get(self._log)
        self._judge(found)
        self._reader.join(max(0, position.offset - _KEPT_BYTES) if position else 0)
        self._kept = LiveChunk(self._reader.offset, b"", 0)
        self.size_bytes = self._reader.offset

    def poll(self) -> None:
        """Read new bytes, unless another thread has just done so."""
        with self._lock:
            if self._clock() - self._polled_at < _FRESH_SECONDS:
                return
            is_first = self._polled_at < self._began_at
            for chunk in self._reader.read_new():
                self._keep(chunk)
                # What was there before we looked is no sign of life.
                self.state = self.state if is_first else LogState.GROWING
            self._polled_at = self._clock()
            if self._is_look_due():
                self._look()

    def tail(self, lines: int, most_bytes: int) -> bytes:
        """Return the last lines that are there, so many bytes of them at most."""
        end = start = self.read(0, 0).size_bytes
        data = b""
        while start > max(0, end - most_bytes) and data.count(b"\n", 0, -1) < lines:
            wanted = max(0, end - most_bytes, start - MAX_READ_BYTES)
            part = self.read(wanted, start - wanted)
            data = bytes(part.data) + data
            # Where it begins later than was asked for, what is before has expired.
            start = wanted if part.offset == wanted else 0
        before, *found = data[:-1].rsplit(b"\n", lines) if lines else (data,)
        return data[len(before) + 1 :] if len(found) == lines else data

    def content(self) -> GrowingContent:
        """Return all that is there of it, for one who reads it once."""
        return GrowingContent(self._store, self._execution_id, self._log)

    def read(self, offset: int, length: int, wait_seconds: float = 0.0) -> LogBytes:
        """Return a part of it; only its beginning is read from the storage anew."""
        self.poll()
        kept, size = self._kept, self.size_bytes
        start = max(0, size + offset) if offset < 0 else min(offset, size)
        wanted = min(length, MAX_READ_BYTES)
        if start < kept.offset:
            return self._read_before(start, wanted)
        before = kept.data[: start - kept.offset]
        data = kept.data[len(before) : len(before) + wanted]
        line = kept.line + before.count(b"\n")
        return LogBytes(
            start, data, size, self._told_state, line if kept.data or not start else None
        )

    def _read_before(self, start: int, wanted: int) -> LogBytes:
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
        return LogBytes(first, data, self.size_bytes, self._told_state, line, time_ms=time_ms)

    @property
    def _told_state(self) -> LogState:
        return LogState.LOST if self.state is LogState.LOST else LogState.GROWING

    def _keep(self, chunk: LiveChunk) -> None:
        kept = self._kept if self._kept.data else LiveChunk(chunk.offset, b"", chunk.line)
        data = kept.data + chunk.data
        cut = max(0, len(data) - _KEPT_BYTES)
        line = kept.line + data.count(b"\n", 0, cut)
        self._kept = LiveChunk(kept.offset + cut, data[cut:], line)
        self.size_bytes = self._kept.end
        self._grew_at = self._clock()

    def _is_look_due(self) -> bool:
        # Whoever is called lost may be there again: nobody may give up for want of a look.
        if self._reader.has_ended or self.state is LogState.LOST:
            return True
        return self._polled_at - max(self._grew_at, self._looked_at) >= _LOOK_SECONDS

    def _look(self) -> None:
        self._looked_at = self._clock()
        if self._store.head_for_compare(self._key) is not None:
            self.state = LogState.FINAL
            return
        found = self._store.session.run(read_state(self._execution_id))
        if found is not None:
            self._judge(found)

    def _judge(self, found: StoredState) -> None:
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
        """Return a log that was found before and is not stored yet, as it is now."""
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
        """Return a log that is still being written; None where there is none."""
        try:
            found = self._store.session.run(read_state(execution_id))
        except AccessError:
            # Who may not read what is live may serve what is stored.
            return None
        if found is None or log not in found.state.logs:
            return None
        growing = GrowingLog(self._store, execution_id, log, self._clock)
        growing.begin(found)
        with self._lock:
            # Of several that were found at once, the first one is for all.
            growing = self._logs.setdefault((execution_id, log), growing)
            self._logs.move_to_end((execution_id, log))
            while len(self._logs) > _MAX_LOGS:
                self._logs.popitem(last=False)
        return growing
