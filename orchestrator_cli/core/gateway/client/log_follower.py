"""Follow a log through a server, from any byte to the end of the final object."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from orchestrator_cli.core.base.errors import IntegrityError, NotFoundError, UnavailableError
from orchestrator_cli.core.executions.logs.finding import open_log_with_prefix
from orchestrator_cli.core.gateway.client.log_server import LogServer, ServedPart
from orchestrator_cli.core.live.reading.digests import GrowingDigests
from orchestrator_cli.core.live.reading.follower import WriterGoneError, poll_seconds
from orchestrator_cli.core.live.reading.heartbeat import Notice, OnNotice, Patience
from orchestrator_cli.core.live.reading.reader import LiveChunk
from orchestrator_cli.core.live.state import GONE_AFTER_SECONDS
from orchestrator_cli.core.s3.bucket.reader import ObjectReader


class ServedLogFollower:
    """Yields the bytes of one log as the server has them; see `LogFollower`.

    The server alone sees the heartbeat: it calls a writer lost after five minutes, never before.
    """

    def __init__(  # noqa: PLR0913
        self,
        server: LogServer,
        objects: ObjectReader,
        execution_id: str,
        name: str,
        offset: int,
        patience: Patience,
        on_notice: OnNotice,
        is_running: Callable[[], bool],
    ) -> None:
        self._server = server
        self._objects = objects
        self._execution_id = execution_id
        self._name = name
        self._offset = offset
        self._patience = patience
        self._tell = on_notice
        self._is_running = is_running
        self._clock, self._wait = objects.retry.clock, objects.retry.wait
        self._digests = GrowingDigests() if offset == 0 else None
        self._grew_at = self._reached_at = self._clock()
        self._told: Notice | None = None
        self._has_looked = False
        self._has_ended = False

    def chunks(self) -> Iterator[LiveChunk]:
        """Yield the bytes in order, and return at the log's end.

        Raises WriterGoneError, IntegrityError where the final object is another log, and
        UnavailableError where the server is away for too long.
        """
        while not self._has_ended:
            try:
                part = self._read()
            except UnavailableError as error:
                self._note_unreachable(error)
                self._wait(poll_seconds(self._clock() - self._reached_at))
                continue
            if part is None:
                self._wait(poll_seconds(self._clock() - self._grew_at))
            else:
                yield from self._take(part)

    def _read(self) -> ServedPart | None:
        """Return what comes next; None where there is no such log as yet."""
        try:
            part = self._server.read(
                self._execution_id, self._name, self._offset, waits=self._has_looked
            )
        except NotFoundError as error:
            if error.is_fatal:
                raise
            part = None
        self._reached_at = self._clock()
        if self._told is Notice.UNREACHABLE:
            self._note(Notice.REACHED_AGAIN)
        if part is None:
            self._check_running()
        self._has_looked = part is not None
        return part

    def _take(self, part: ServedPart) -> Iterator[LiveChunk]:
        chunk = part.chunk
        if part.is_final and part.size_bytes < self._offset:
            raise IntegrityError(
                f"{self._name} has {part.size_bytes:,} bytes, but {self._offset:,} bytes of this "
                "log were there before"
            )
        if chunk.data:
            if chunk.offset != self._offset:
                self._digests = None
            if self._digests is not None:
                self._digests.update(chunk.data)
            self._offset, self._grew_at = chunk.end, self._clock()
            if self._told is Notice.LOST:
                self._note(Notice.ALIVE_AGAIN)
            yield chunk
        elif part.is_lost:
            self._check_lost()
        if part.is_final and self._offset >= part.size_bytes:
            self._compare()
            self._has_ended = True

    def _compare(self) -> None:
        if self._digests is None:
            return
        stored, _ = open_log_with_prefix(self._objects, self._execution_id, self._name)
        if self._digests.differ(stored):
            raise IntegrityError(
                f"{self._name}: its bytes are not those that were there while it grew"
            )

    def _check_running(self) -> None:
        """Raise WriterGoneError where an execution has ended without a log that was there."""
        if self._is_running():
            return
        raise WriterGoneError(
            f"{self._name} was not stored; it ends at byte {self._offset:,}",
            hint=f"`orchestrator show {self._execution_id}` may say why",
        )

    def _check_lost(self) -> None:
        """Raise WriterGoneError where the writer is given up."""
        self._check_running()
        silent_seconds = GONE_AFTER_SECONDS + self._clock() - self._grew_at
        if self._patience.has_no_end:
            if self._told is not Notice.LOST:
                self._note(Notice.LOST, silent_seconds)
        elif silent_seconds >= self._patience.gone_after_seconds:
            raise WriterGoneError(
                f"{self._name} ends at byte {self._offset:,} for now: its writer is lost",
                hint="`orchestrator run --resume` on its host goes on; "
                f"`orchestrator salvage {self._execution_id}` keeps what is there",
            )

    def _note_unreachable(self, error: UnavailableError) -> None:
        seconds = self._clock() - self._reached_at
        if seconds > self._patience.gone_after_seconds and not self._patience.has_no_end:
            raise error
        if self._told is not Notice.UNREACHABLE:
            self._note(Notice.UNREACHABLE, seconds)

    def _note(self, notice: Notice, seconds: float = 0.0) -> None:
        self._told = notice
        self._tell(notice, seconds)
