"""Notes in an execution's record what an upload could not store, however it ends."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from orchestrator_cli.core.base.cancellation import run_cancellable
from orchestrator_cli.core.base.errors import InterruptedByUser, NotFoundError, OrchestratorError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.s3.types import UploadResult
from orchestrator_cli.core.transfer.upload.session import UploadSession

# Who interrupts does not wait for a storage that is away.
_GOODBYE_SECONDS = 3.0


def was_never_a_file(error: OrchestratorError | None) -> bool:
    """Return True for the error of a path that is not there: a caller's mistake, no lost file."""
    return isinstance(error, NotFoundError) and not error.is_fatal


class UploadRecorder:
    """What has become of the files of one upload, for the record of their execution."""

    def __init__(
        self,
        session: UploadSession,
        open_session: Callable[[], UploadSession],
        roots: tuple[str, ...],
    ) -> None:
        """`open_session` makes another session, for when this one was told to stop."""
        self._session = session
        self._open_session = open_session
        self._names = [printable(Path(root)) for root in roots]
        self.failing: set[str] = set()
        self._failed: dict[str, str] = {}
        self._resolved: set[str] = set()

    def add(self, result: UploadResult) -> None:
        """Take note of a result."""
        if result.stored and result.path in self.failing:
            self._resolved.add(str(result.path))
        # A refused overwrite loses nothing that was stored, and what was never a file was not lost.
        never = result.path is None and was_never_a_file(result.error)
        if result.error is not None and result.outcome is None and not never:
            self._failed[result.path or printable(result.source)] = str(result.error)

    def record(self, *, all_stored: bool) -> None:
        """Write the record after all files were tried. Raises what keeps it from being written."""
        if all_stored:
            # A file that could not be stored and is gone, or renamed, is no failure any more.
            self._resolved |= {path for path in self.failing if self._is_below(path)}
        self._session.record(self._failed, self._resolved)

    @contextlib.contextmanager
    def early_end_recorded(self) -> Iterator[None]:
        """Write that not all was tried where that ends early, if the record can be reached."""
        try:
            yield
        except BaseException as error:
            is_interrupted = isinstance(error, InterruptedByUser | KeyboardInterrupt)
            self._record_early_end(_why(error), _GOODBYE_SECONDS if is_interrupted else None)
            raise

    def _record_early_end(self, why: str, seconds: float | None) -> None:
        failed = self._failed | dict.fromkeys(self._names, f"not all of it is stored: {why}")

        def record() -> None:
            self._open_session().record(failed, self._resolved)

        with contextlib.suppress(OrchestratorError, TimeoutError):
            run_cancellable(record, seconds)

    def _is_below(self, path: str) -> bool:
        return any(path == name or path.startswith(name + "/") for name in self._names)


def _why(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return error.message if isinstance(error, OrchestratorError) else type(error).__name__
