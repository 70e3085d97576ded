"""Write the logs of one execution to S3 while they grow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator_cli.core.base.errors import AccessError, OrchestratorError
from orchestrator_cli.core.base.retry import RetryPolicy
from orchestrator_cli.core.live.claim import LiveClaim, LiveConflictError
from orchestrator_cli.core.live.schedule import LiveSchedule
from orchestrator_cli.core.live.segment import Segment
from orchestrator_cli.core.live.segmented_log import SegmentedLog
from orchestrator_cli.core.live.state import HEARTBEAT_SECONDS, LiveState
from orchestrator_cli.core.live.store import LiveStore

# How long the last segments may take; the rest of a backlog is in the final log only.
_FINISH_TIMEOUT_SECONDS = 10.0
_BACKOFF = RetryPolicy(first_wait_seconds=1.0, longest_wait_seconds=30.0)


@dataclass(frozen=True, slots=True)
class LiveClock:
    """Seconds that only grow, ms since 1970, and how to wait; tests hand in their own."""

    monotonic: Callable[[], float] = time.monotonic
    wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    sleep: Callable[[float], None] = time.sleep


class LiveWriter:
    """Writes live logs, one step an interval. Nothing that goes wrong is an error of the caller.

    Where something is wrong for good it stops, `off` says why, and `note` is told once.
    """

    def __init__(
        self,
        store: LiveStore,
        state: LiveState,
        logs: Sequence[SegmentedLog],
        schedule: LiveSchedule,
        note: Callable[[str], None],
        clock: LiveClock | None = None,
    ) -> None:
        """`state` names the writer; its other values are those of a first one."""
        self.off: str | None = None
        self._store = store
        self._claim = LiveClaim(store, state)
        self._logs = logs
        self._schedule = schedule
        self._note = note
        self._clock = clock or LiveClock()
        self._began = self._clock.monotonic()
        self._beat_at = 0.0
        self._failures = 0

    def follow(
        self,
        ended: threading.Event,
        *,
        resumed: bool = False,
        is_left: Callable[[], bool] = lambda: False,
    ) -> None:
        """Store what is new until the logs have ended, and then their rest unless that `is_left`.

        Logs that end before the first step are not live at all, unless what an earlier process has
        begun is `resumed`.
        """
        wait = None if resumed else self._schedule.next_wait_seconds(0)
        while wait is not None and not ended.wait(wait):
            wait = self.step()
        if (resumed or self._claim.held) and not is_left():
            self.finish(_FINISH_TIMEOUT_SECONDS)

    def step(self) -> float | None:
        """Store what is new; return the seconds to the next step, None where there is none."""
        failure = self._attempt(self._write_new)
        if self.off is not None:
            return None
        if failure is not None:
            return _BACKOFF.backoff_seconds(self._failures)
        return self._schedule.next_wait_seconds(self._elapsed())

    def finish(self, timeout_seconds: float) -> None:
        """Store the rest, and that the logs have ended. Call it when they grow no more.

        A backlog that takes longer is left to the final log: the end marker says where it begins.
        """
        deadline = self._clock.monotonic() + timeout_seconds
        while (failure := self._attempt(lambda: self._write_rest(deadline))) is not None:
            seconds = _BACKOFF.backoff_seconds(self._failures)
            if self._clock.monotonic() + seconds > deadline:
                self._turn_off(f"their end is not stored: {failure}")
                return
            self._clock.sleep(seconds)

    def _attempt(self, work: Callable[[], None]) -> OrchestratorError | None:
        """Do work; return what went wrong and may pass. Anything else turns this off."""
        try:
            if self.off is None:
                work()
        except OrchestratorError as error:
            self._failures += 1
            if error.retryable:
                return error
            self._turn_off(_reason(error))
        except OSError as error:
            self._turn_off(error.strerror or str(error))
        except Exception as error:  # noqa: BLE001 - the final logs are stored whatever happens here
            self._turn_off(f"unexpected {type(error).__name__}: {error}")
        else:
            self._failures = 0
        return None

    def _turn_off(self, reason: str) -> None:
        self.off = reason
        self._note(f"live logs are off: {reason}")

    # --- what is stored ----------------------------------------------------------------------

    def _write_new(self) -> None:
        self._take_claim()
        for log in self._logs:
            self._look(log)
            while (following := self._next_segment(log, final=False)) is not None:
                self._put(log, *following)
                self._beat_if_due()
        self._beat_if_due()

    def _write_rest(self, deadline: float) -> None:
        self._take_claim()
        for log in self._logs:
            self._look(log)
            while self._clock.monotonic() < deadline:
                following = self._next_segment(log, final=True)
                if following is None:
                    break
                self._put(log, *following)
            self._end(log)
        self._beat()

    def _end(self, log: SegmentedLog) -> None:
        while not log.position.ended:
            if log.is_shorter_than_stored() or not self._claim.is_settled(log):
                raise LiveConflictError(f"{log.name} is shorter than what is stored of it")
            self._put(log, log.end_marker(self._claim.writer), b"")

    def _look(self, log: SegmentedLog) -> None:
        log.look(self._clock.wall_ms())
        self._claim.settle(log)

    def _next_segment(self, log: SegmentedLog, *, final: bool) -> tuple[Segment, bytes] | None:
        if log.position.ended or not self._claim.is_settled(log):
            return None
        most_bytes = self._store.max_segment_bytes
        return log.next_segment(self._claim.writer, most_bytes, final=final)

    def _put(self, log: SegmentedLog, segment: Segment, data: bytes) -> None:
        stored = self._store.put_segment(log.name, segment, data)
        if stored == segment:
            log.advance(segment, data)
        else:
            self._claim.accept(log, stored)

    # --- the heartbeat -----------------------------------------------------------------------

    def _take_claim(self) -> None:
        if not self._claim.held:
            self._claim.take(self._logs, self._interval())
            self._beat_at = self._clock.monotonic()

    def _beat_if_due(self) -> None:
        if self._clock.monotonic() - self._beat_at >= HEARTBEAT_SECONDS:
            self._beat()

    def _beat(self) -> None:
        self._claim.renew(self._logs, self._interval())
        self._beat_at = self._clock.monotonic()

    def _interval(self) -> float:
        return self._schedule.interval_seconds(self._elapsed())

    def _elapsed(self) -> float:
        return self._clock.monotonic() - self._began


def _reason(error: OrchestratorError) -> str:
    if isinstance(error, AccessError):
        return f"{error.message}; IAM policies of `orchestrator deploy iam` allow it"
    return error.message
