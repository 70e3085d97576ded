"""Follow a log while it is written: its segments, then what the final object has beyond them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from orchestrator_cli.core.base.errors import OrchestratorError, UnavailableError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.keys import artifact_key, live_log_path
from orchestrator_cli.core.executions.record.status_probe import may_be_running
from orchestrator_cli.core.live.reading.heartbeat import LivenessWatch, Reachability
from orchestrator_cli.core.live.reading.passed_log import PassedLog
from orchestrator_cli.core.live.reading.reader import LiveChunk, LiveReader
from orchestrator_cli.core.live.state import Liveness
from orchestrator_cli.core.s3.bucket.reader import ObjectReader
from orchestrator_cli.core.s3.types import ObjectMetadata
from orchestrator_cli.core.transfer.download.range_reader import iter_range

FASTEST_SECONDS = 1.0
SLOWEST_SECONDS = 5.0
# Polling slows down only after a while of silence: the next line may come soon.
_QUIET_SHARE = 0.1
# New bytes are a sign of life. Without them, this is how soon and how often others are looked for.
_QUIET_SECONDS = 15.0
LOOK_SECONDS = 30.0


class WriterLostError(OrchestratorError):
    """The log has not ended, and nothing more of it will come by itself."""

    exit_code = 3

    @classmethod
    def not_stored(cls, log: str, execution_id: str, offset: int) -> WriterLostError:
        """Return the error where the execution has ended without the log."""
        return cls(
            f"{log} was not stored; it ends at byte {offset:,}",
            hint=f"`orchestrator show {execution_id}` may say why",
        )

    @classmethod
    def lost(cls, log: str, execution_id: str, offset: int, why: str) -> WriterLostError:
        """Return the error where the writer is given up; `why` says what shows that it is lost."""
        return cls(
            f"{log} ends at byte {offset:,} for now: its writer {why}",
            hint="`orchestrator run --resume` on its host goes on; "
            f"`orchestrator salvage {execution_id}` keeps what is there",
        )


def poll_seconds(quiet_seconds: float) -> float:
    """Return how long to wait before the next look at a log that has been quiet for so long."""
    return min(SLOWEST_SECONDS, max(FASTEST_SECONDS, _QUIET_SHARE * quiet_seconds))


class LogFollower:
    """Yields the bytes of one log as they come, to the end of the final object.

    Where the reader begins with the log's first byte, all of them are compared with the final
    object's checksum.
    """

    def __init__(
        self,
        store: ObjectReader,
        execution_id: str,
        log: str,
        reader: LiveReader,
        watch: LivenessWatch,
        wait: Callable[[float], None] | None = None,
    ) -> None:
        self._store = store
        self._execution_id = execution_id
        self._log = log
        self._key = artifact_key(execution_id, live_log_path(log) or log)
        self._reader = reader
        self._watch = watch
        self._give_up = watch.give_up
        self._clock = store.retry.clock
        self._wait = wait or store.retry.wait
        self._passed = PassedLog(printable(self._key), reader.offset)
        self._line = 0
        self._grew_at, self._looked_at = self._clock(), float("-inf")
        self._reachability = Reachability(self._clock, watch.give_up, watch.tell)
        self.has_ended = False

    def chunks(self) -> Iterator[LiveChunk]:
        """Yield the bytes in order, and return at the log's end.

        Raises WriterLostError where the writer shows no sign of life for too long, IntegrityError
        where the final object is another log, UnavailableError where S3 is away for as long.
        """
        while not self.has_ended:
            try:
                yield from self._step()
                self._reachability.note_reached()
            except UnavailableError as error:
                self._reachability.note_unreachable(error)
            if not self.has_ended:
                self._wait(poll_seconds(self._clock() - self._grew_at))

    def _step(self) -> Iterator[LiveChunk]:
        for chunk in self._reader.read_new():
            yield from self._pass_on(chunk)
        if not self._is_look_due():
            return
        head = self._store.head_for_compare(self._key)
        self._looked_at = self._clock()
        if head is None:
            self._check_writer()
        else:
            yield from self._pass_on_rest(head)

    def _pass_on(self, chunk: LiveChunk) -> Iterator[LiveChunk]:
        self._passed.add(chunk)
        self._line = chunk.line + chunk.data.count(b"\n")
        self._grew_at = self._clock()
        self._watch.note(Liveness.ALIVE)
        yield chunk

    # --- the end -----------------------------------------------------------------------------

    def _is_look_due(self) -> bool:
        if self._reader.has_ended:
            return True
        now, soon = self._clock(), self._give_up.lost_after_seconds
        is_quiet = now - self._grew_at >= min(_QUIET_SECONDS, soon)
        return is_quiet and now - self._looked_at >= min(LOOK_SECONDS, soon)

    def _pass_on_rest(self, head: ObjectMetadata) -> Iterator[LiveChunk]:
        """Yield what the final object has beyond the segments, and compare it with all that passed.

        The writer stores it once the log has ended, or where the segments were given up.
        """
        passed = self._passed
        passed.skip_to(self._reader.offset)
        passed.check_size(head.size_bytes)
        if passed.offset < head.size_bytes:
            for block in iter_range(self._store, self._key, passed.offset, head.size_bytes):
                yield from self._pass_on(LiveChunk(passed.offset, bytes(block), self._line))
        passed.check_content(lambda: self._store.head(self._key))
        self.has_ended = True

    # --- no end ------------------------------------------------------------------------------

    def _check_writer(self) -> None:
        """Raise WriterLostError where the final object will not be stored without intervention."""
        quiet_seconds = self._clock() - self._grew_at
        seen = self._watch.look(quiet_seconds)
        if seen.liveness is Liveness.ALIVE and not seen.has_ended:
            return
        is_finished = not may_be_running(self._store, self._execution_id)
        if is_finished and self._store.head_for_compare(self._key) is None:
            raise WriterLostError.not_stored(self._log, self._execution_id, self._passed.offset)
        if seen.liveness is Liveness.LOST and not self._give_up.waits_forever:
            why = f"has shown no sign of life for {seen.silent_seconds:,.0f} s"
            raise WriterLostError.lost(self._log, self._execution_id, self._passed.offset, why)
