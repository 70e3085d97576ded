"""What a user is told of a log that is still being written."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from orchestrator_cli.cli.app import App
from orchestrator_cli.core.live.reading.heartbeat import GiveUpPolicy, Notice
from orchestrator_cli.core.live.reading.live_logs import WriterState
from orchestrator_cli.core.live.reading.reader import LiveChunk
from orchestrator_cli.core.live.state import Liveness
from orchestrator_cli.library.source import ExecutionSource

_NOTICES = {
    Notice.SILENT: "no sign of life from the writer for {seconds:,.0f} s",
    Notice.LOST: "the writer is lost: no sign of life for {seconds:,.0f} s; "
    "`orchestrator salvage {id}` keeps what is there",
    Notice.ALIVE_AGAIN: "the writer is there again",
    Notice.UNREACHABLE: "{server} does not answer; trying again",
    Notice.REACHED_AGAIN: "{server} answers again",
}

# The number of the first line that comes, and the bytes from there on.
NumberedChunks = tuple[int, Iterator[LiveChunk]]


class AnnouncedLogs:
    """The live logs of one execution; what happens to them is noted on standard error."""

    def __init__(
        self, app: App, source: ExecutionSource, execution_id: str, give_up: GiveUpPolicy
    ) -> None:
        self._app = app
        self._execution_id = execution_id
        self._has_noted = False
        self.logs = source.live_logs(execution_id, give_up, self._on_notice)

    def note_running(self) -> None:
        """Say, once, whether the execution is running, its writer lost, or the log not stored."""
        if self._has_noted:
            return
        self._has_noted = True
        what = _describe(self.logs.writer_state())
        self._app.messages.note(f"{self._execution_id} {what}; this is what is stored of it so far")

    def snapshot(self, name: str, lines: int | None) -> NumberedChunks | None:
        """Return the log as it is now, or its last lines; None where there is no such log."""
        chunks = self.logs.snapshot(name, lines)
        if chunks is None:
            return None
        self.note_running()
        return _with_line_number(self._note_expired(name, lines, chunks))

    def follow(self, name: str, lines: int | None) -> NumberedChunks | None:
        """Return a log from its beginning or its last lines on, to its end once that has come.

        None where no such log is being written, nor may be yet.
        """
        if not self.logs.may_come(name):
            return None
        return _with_line_number(self._note_expired(name, lines, self.logs.follow(name, lines)))

    def _note_expired(
        self, name: str, lines: int | None, chunks: Iterator[LiveChunk]
    ) -> Iterator[LiveChunk]:
        """Yield the chunks; where all lines were wanted, note how much of the log has expired."""
        first = next(chunks, None)
        if first is None:
            return
        if first.offset and lines is None:
            self._app.messages.note(f"{name}: the first {first.offset:,} bytes have expired")
        yield first
        yield from chunks

    def _on_notice(self, notice: Notice, seconds: float) -> None:
        text = _NOTICES[notice]
        self._app.messages.note(
            text.format(seconds=seconds, id=self._execution_id, server=self.logs.server)
        )


def _describe(state: WriterState) -> str:
    if not state.is_running:
        return "has ended without storing this log"
    if state.liveness not in (Liveness.SILENT, Liveness.LOST):
        return "is still running"
    seconds = state.silent_seconds
    silent = f"no sign of life for {'a while' if seconds is None else f'{seconds:,.0f} s'}"
    lost = "is lost: it " if state.liveness == Liveness.LOST else ""
    return f"{lost}has shown {silent}"


def _with_line_number(chunks: Iterator[LiveChunk]) -> NumberedChunks:
    """Return the number of the first line that comes, once it is there, and the chunks."""
    first = next(chunks, None)
    if first is None:
        return 1, iter(())
    return first.line + 1, chain([first], chunks)
