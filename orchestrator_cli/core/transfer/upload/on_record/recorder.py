"""Record in an execution's metadata what an upload could not store, however it ends."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator_cli.core.base.cancellation import run_cancellable
from orchestrator_cli.core.base.errors import (
    InterruptedByUser,
    NotFoundError,
    OrchestratorError,
    suppress_unless_fatal,
)
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.s3.types import UploadResult
from orchestrator_cli.core.transfer.engine import TransferEngine
from orchestrator_cli.core.transfer.upload.look_ahead import LookAhead
from orchestrator_cli.core.transfer.upload.on_record.begun_upload import BegunUpload
from orchestrator_cli.core.transfer.upload.on_record.session import UploadSession
from orchestrator_cli.core.transfer.upload.plan import PlanItem, PlannedFile
from orchestrator_cli.core.transfer.upload.uploader import Uploader, UploadHooks, UploadSummary

if TYPE_CHECKING:
    from orchestrator_cli.core.transfer.upload.parts.stream_parts import BinaryStream

# A user who interrupts does not wait for a storage that is away.
_GOODBYE_SECONDS = 3.0


def was_never_a_file(error: OrchestratorError | None) -> bool:
    """Return True for the error of a path that is not there: a caller's mistake, no lost file."""
    return isinstance(error, NotFoundError) and not error.is_fatal


class UploadRecorder:
    """Collects the outcomes of one upload's files for the execution's record."""

    def __init__(
        self,
        session: UploadSession,
        roots: tuple[str, ...],
        begun: BegunUpload,
    ) -> None:
        self.session = session
        self._names = [printable(Path(root)) for root in roots]
        self._begun = begun
        self._lock = threading.Lock()
        self._has_begun = False
        self._is_marked = False
        self._failed: dict[str, str] = {}
        self._resolved: set[str] = set()

    def begin(self, plan: Iterable[PlanItem]) -> Iterator[PlanItem]:
        """Look at which files are about to be stored, and return the plan."""
        self._has_begun = True
        items = self._begun.begin(plan)
        self._begun.watch(self.session.unfinished)
        return items

    def before_storing(self) -> None:
        """Write that the upload has begun, once: it is called before each file that S3 lacks.

        Raises what concerns all files. Where the record alone cannot be written, files are worth
        storing all the same. Any thread may call it.
        """
        with self._lock:
            if self._is_marked:
                return
            self._is_marked = True
            with suppress_unless_fatal(OrchestratorError):
                self.session.begin(self._begun.mark)

    def add(self, result: UploadResult) -> None:
        """Add the result of one file."""
        if result.path is not None:
            self._begun.add(result.path, is_stored=result.stored)
        if result.stored and result.path in self.session.known_failures:
            self._resolved.add(str(result.path))
        # What was never a file was not lost.
        never = result.path is None and was_never_a_file(result.error)
        if result.error is not None and not never:
            path = result.path or printable(result.source)
            # The path is said before every reason.
            self._failed[path] = str(result.error).removeprefix(f"{printable(path)}: ")

    def record(self, *, all_stored: bool) -> None:
        """Write the record after all files were tried. Raises what keeps it from being written."""
        if all_stored:
            # What could not be looked at, and is gone or renamed, is no failure any more.
            self._resolved |= {path for path in self.session.known_failures if self._is_below(path)}
        ended = self._ended(all_stored=all_stored)
        self.session.record(self._failed, self._resolved - self._failed.keys(), ended)

    @contextlib.contextmanager
    def early_end_recorded(self) -> Iterator[None]:
        """Write that not all was tried where that ends early, if the record can be reached.

        Nothing is written where it was not even looked at what to store.
        """
        try:
            yield
        except BaseException as error:
            if self._has_begun:
                # The mark may be under way in a thread that was told to stop.
                if self._lock.acquire(timeout=_GOODBYE_SECONDS):
                    self._lock.release()
                is_interrupted = isinstance(error, InterruptedByUser | KeyboardInterrupt)
                self._record_early_end(_why(error), _GOODBYE_SECONDS if is_interrupted else None)
            raise

    def _record_early_end(self, why: str, seconds: float | None) -> None:
        failed = self._failed | dict.fromkeys(self._begun.missing, f"not stored: {why}")
        # The mark stays, as it also stands for files whose names are not known.
        ended = set() if self._begun.mark.more else self._ended(all_stored=False)

        def record() -> None:
            self.session.reopened().record(failed, self._resolved - failed.keys(), ended)

        with contextlib.suppress(OrchestratorError, TimeoutError):
            run_cancellable(record, seconds)

    def _ended(self, *, all_stored: bool) -> set[str]:
        own = {self._begun.mark.upload_id} if self._is_marked else set()
        return own | self._begun.covered(all_stored=all_stored)

    def _is_below(self, path: str) -> bool:
        return any(path == name or path.startswith(name + "/") for name in self._names)


def upload_on_record(
    engine: TransferEngine,
    recorder: UploadRecorder,
    plan: Iterable[PlanItem],
    on_result: Callable[[UploadResult], object],
    wait_if_new_at: datetime | None,
) -> UploadSummary:
    """Upload everything; a failing file is a result, not an exception.

    An execution whose id is only seconds old at `wait_if_new_at` is waited for. While its record is
    read, the first files are looked up. Raises errors that concern all files.
    """

    def take(result: UploadResult) -> None:
        recorder.add(result)
        on_result(result)

    session = recorder.session
    with recorder.early_end_recorded(), engine:
        ahead = LookAhead(engine, session.target)
        _, items = ahead.while_reading(lambda: session.read_state(wait_if_new_at), plan)
        hooks = UploadHooks(take, before_storing=recorder.before_storing)
        summary = Uploader(engine, session.target, hooks, ahead=ahead).run(recorder.begin(items))
    recorder.record(all_stored=not summary.failures)
    return summary


def upload_stream_on_record(
    engine: TransferEngine,
    recorder: UploadRecorder,
    item: PlannedFile,
    stream: AbstractContextManager[BinaryStream],
    wait_if_new_at: datetime | None,
) -> UploadResult:
    """Upload a stream, as `upload_on_record` does files; a failure is in the result.

    The stream is opened once the record was read. Raises errors that concern all files.
    """
    from orchestrator_cli.core.transfer.upload.stream import upload_stream

    recorder.session.read_state(wait_if_new_at)
    with recorder.early_end_recorded(), engine, stream as opened:
        recorder.begin([item])
        recorder.before_storing()
        result = upload_stream(engine, recorder.session.target, item, opened)
    recorder.add(result)
    recorder.record(all_stored=result.stored)
    return result


def _why(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return error.message if isinstance(error, OrchestratorError) else type(error).__name__
