"""Follow a log through a server, from any byte to the end of the final object."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from orchestrator_cli.core.base.errors import NotFoundError, UnavailableError, suppress_unless_fatal
from orchestrator_cli.core.gateway.client.logs.served_log import ServedLog, ServedPart
from orchestrator_cli.core.live.reading.follower import WriterLostError, poll_seconds
from orchestrator_cli.core.live.reading.heartbeat import (
    GiveUpPolicy,
    Notice,
    OnNotice,
    Reachability,
)
from orchestrator_cli.core.live.reading.passed_log import PassedLog
from orchestrator_cli.core.live.reading.reader import LiveChunk
from orchestrator_cli.core.live.state import LOST_AFTER_SECONDS


class ServedLogFollower:
    """Yields the bytes of one log as the server has them; see `LogFollower`.

    The server alone sees the heartbeat: it calls a writer lost after five minutes, never before.
    """

    def __init__(
        self,
        log: ServedLog,
        offset: int,
        give_up: GiveUpPolicy,
        on_notice: OnNotice,
        is_running: Callable[[], bool],
    ) -> None:
        self._log = log
        self._give_up = give_up
        self._tell = on_notice
        self._is_running = is_running
        self._clock, self._wait = log.objects.retry.clock, log.objects.retry.wait
        self._passed = PassedLog(log.name, offset)
        self._grew_at = self._clock()
        self._reachability = Reachability(self._clock, give_up, on_notice)
        self._is_told_lost = False
        self._has_looked = False
        self._has_ended = False

    def chunks(self) -> Iterator[LiveChunk]:
        """Yield the bytes in order, and return at the log's end.

        Raises WriterLostError, IntegrityError where the final object is another log, and
        UnavailableError where the server is away for too long.
        """
        while not self._has_ended:
            try:
                part = self._read()
            except UnavailableError as error:
                self._reachability.note_unreachable(error)
                # Whoever is back is told anew that the writer is lost.
                self._is_told_lost = False
                self._wait(poll_seconds(self._reachability.seconds_away))
                continue
            if part is None:
                self._wait(poll_seconds(self._clock() - self._grew_at))
            else:
                yield from self._take(part)

    def _read(self) -> ServedPart | None:
        """Return what comes next; None where there is no such log as yet."""
        part = None
        with suppress_unless_fatal(NotFoundError):
            part = self._log.read(self._passed.offset, waits=self._has_looked)
        self._reachability.note_reached()
        if part is None:
            self._check_running()
        self._has_looked = part is not None
        return part

    def _take(self, part: ServedPart) -> Iterator[LiveChunk]:
        chunk = part.chunk
        if part.is_final:
            self._passed.check_size(part.size_bytes)
        if chunk.data:
            self._passed.add(chunk)
            self._grew_at = self._clock()
            if self._is_told_lost:
                self._is_told_lost = False
                self._tell(Notice.ALIVE_AGAIN, 0.0)
            yield chunk
        elif part.is_lost:
            self._check_lost()
        if part.is_final and self._passed.offset >= part.size_bytes:
            self._passed.check_content(self._log.head)
            self._has_ended = True

    def _check_running(self) -> None:
        """Raise WriterLostError where an execution has ended without a log that was there."""
        if not self._is_running():
            log = self._log
            raise WriterLostError.not_stored(log.name, log.execution_id, self._passed.offset)

    def _check_lost(self) -> None:
        """Raise WriterLostError where the writer is given up."""
        self._check_running()
        silent_seconds = LOST_AFTER_SECONDS + self._clock() - self._grew_at
        if self._give_up.waits_forever:
            if not self._is_told_lost:
                self._is_told_lost = True
                self._tell(Notice.LOST, silent_seconds)
        elif silent_seconds >= self._give_up.lost_after_seconds:
            log = self._log
            raise WriterLostError.lost(log.name, log.execution_id, self._passed.offset, "is lost")
