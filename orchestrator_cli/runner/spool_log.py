"""A run and its logs in the spool: begun, written, and opened again by a later command."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from orchestrator_cli.core.base.quantities import rfc3339
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.content_type import content_type_of
from orchestrator_cli.core.executions.keys import LOG_NAMES, artifact_key, live_log_path
from orchestrator_cli.core.transfer.upload.plan import PlannedFile
from orchestrator_cli.runner.run_record import RunEnd, RunStart, unseen_end
from orchestrator_cli.runner.spool import (
    LOGS_NAME,
    RUN_LOGS,
    RUNNER_LOG,
    Spool,
    create_spool,
    open_spool,
)


class SpoolLog:
    """A log being spooled. Appending never fails: bytes without room are counted as lost."""

    def __init__(self, spool: Spool, name: str) -> None:
        self.size_bytes = 0
        self.lost_bytes = 0
        self.problem: str | None = None
        self._file: io.FileIO | None = None
        try:
            self._file = spool.open_log(name)
        except OSError as error:
            self.problem = error.strerror or str(error)

    def append(self, data: memoryview | bytes) -> None:
        """Write all of the data, or count it as lost, and all that follows."""
        rest = memoryview(data)
        while rest and self.problem is None and self._file is not None:
            try:
                written = os.write(self._file.fileno(), rest)
            except OSError as error:
                self.problem = error.strerror or str(error)
            else:
                self.size_bytes += written
                rest = rest[written:]
        self.lost_bytes += len(rest)

    def settle(self) -> None:
        """Sync the log to the disk. Raises OSError, also where something was lost."""
        if self._file is None or self.problem is not None:
            raise OSError(0, self.problem or "it is closed")
        os.fsync(self._file.fileno())

    def descriptors(self) -> set[int]:
        """Return the descriptor of the file, if there is one."""
        return {self._file.fileno()} if self._file is not None else set()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def loss_message(self) -> str | None:
        """How many bytes were lost and why, as a message; None where all are there."""
        if not self.lost_bytes:
            return None
        return f"{self.lost_bytes:,} bytes after the first {self.size_bytes:,} lost: {self.problem}"


class RunnerLog:
    """`runner.log`: timestamped lines from every process of a run, until it is closed."""

    def __init__(
        self, spool: Spool, clock: Callable[[], datetime], *, closed: bool = False
    ) -> None:
        self._log = SpoolLog(spool, RUNNER_LOG)
        self._clock = clock
        self.closed = closed

    @property
    def loss_message(self) -> str | None:
        """How many bytes were lost and why, as a message; None where all are there."""
        return self._log.loss_message

    def descriptors(self) -> set[int]:
        """Return the descriptors that a child process needs to write to it as well."""
        return self._log.descriptors()

    def write(self, text: str) -> None:
        """Append one line, unless the log is closed: a log must not change while it is stored."""
        if not self.closed:
            now = rfc3339(self._clock())
            self._log.append(f"{now} {printable(text)}\n".encode("utf-8", "backslashreplace"))


@dataclass(frozen=True, slots=True)
class SpooledRun:
    """A run with the place where its output waits for S3, and its own log there."""

    start: RunStart
    spool: Spool
    log: RunnerLog

    @property
    def log_names(self) -> list[str]:
        """The logs of the command and the files that are followed, without runner.log."""
        return [*RUN_LOGS, *self.start.followed]

    def planned_log(self, name: str) -> PlannedFile | None:
        """Return a spooled log as a file to upload; None where there is none."""
        file = self.spool.log_file(self._file_name(name))
        path = live_log_path(name)
        if file is None or path is None or self.spool.directory is None:
            return None
        key = artifact_key(self.start.execution_id, path)
        source = self.spool.directory / LOGS_NAME / self._file_name(name)
        size_bytes = file.stat().st_size
        return PlannedFile(str(source), path, key, size_bytes, content_type_of(path), file)

    def open_log(self, name: str) -> SpoolLog:
        """Open a log of the spool for appending, or make it."""
        return SpoolLog(self.spool, self._file_name(name))

    def _file_name(self, name: str) -> str:
        # What goes below artifacts/ may have any name.
        if name in LOG_NAMES:
            return name
        return f"followed-{list(self.start.followed).index(name) + 1}"


def begin_run(
    roots: list[Path],
    start: RunStart,
    clock: Callable[[], datetime],
    warn: Callable[[str], None],
    *,
    named: bool,
) -> SpooledRun:
    """Make the spool of a run below the first root that can be used; see `create_spool`.

    The command runs without one, too: `warn` is told what will not be stored then.
    """
    spool = create_spool(roots, start.execution_id, named=named)
    if spool.directory is None:
        warn(f"no spool: {spool.problem}: the output of CMD will not be stored")
    log = RunnerLog(spool, clock)
    try:
        spool.write_state(start, None)
    except OSError as error:
        warn(f"the spool cannot be written: {error.strerror}")
    log.write(f"orchestrator {start.tool_version} on {start.host}: execution {start.execution_id}")
    log.write(f"command: {shlex.join(start.command) or 'not stored'}")
    return SpooledRun(start, spool, log)


def open_run(directory: Path, clock: Callable[[], datetime]) -> tuple[SpooledRun, RunEnd]:
    """Open the spool of an earlier run, and return how it ended. Raises as `open_spool` does."""
    spool = open_spool(directory)
    start, end, log_closed = spool.read_state()
    if end is None:
        end = unseen_end(start, datetime.fromtimestamp(spool.last_change(), UTC))
        # The next command must find the same end, and not the time of what is written here.
        with contextlib.suppress(OSError):
            spool.write_state(start, end, log_closed=log_closed)
    run = SpooledRun(start, spool, RunnerLog(spool, clock, closed=log_closed))
    run.log.write("what is left is stored by a later command")
    return run, end
