"""The spool of a run: a private local directory that holds what S3 may not have yet.

<spool>/run.json      how the run began and ended
<spool>/logs/<log>    the logs, under the names of the layout
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.runner.run_record import RunEnd, RunStart

STATE_NAME = "run.json"
RUN_LOGS = ("stdout.log", "stderr.log")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})
_POLL_SECONDS = 0.1
_TAIL_BYTES = 4096
_TAIL_LINES = 20


class Spool:
    """A spool directory, or none where the disk is full: then all is lost but the command runs.

    One process at a time owns a directory: its lock ends with the last process that holds it.
    """

    def __init__(self, directory: Path | None) -> None:
        self.directory = directory
        self._lock: int | None = None

    def log_path(self, name: str) -> Path | None:
        """Return where a log is spooled."""
        return self.directory / "logs" / name if self.directory else None

    def lock(self) -> bool:
        """Own the directory; False where another process does. Raises OSError."""
        if self.directory is None:
            return True
        self._lock = os.open(self.directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def descriptors(self) -> set[int]:
        """Return what a child process needs to own the directory as well."""
        return set() if self._lock is None else {self._lock}

    def write_state(self, start: RunStart, end: RunEnd | None, sealed: bool = False) -> None:
        """Keep how the run began and ended, and whether runner.log is final. Raises OSError."""
        if self.directory is None:
            return
        record = {
            "start": start.to_dict(),
            "end": end.to_dict() if end else None,
            "sealed": sealed,
        }
        fresh = self.directory / f".{STATE_NAME}.new"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(record, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.directory / STATE_NAME)

    def read_state(self) -> tuple[RunStart, RunEnd | None, bool]:
        """Return start, end and whether runner.log is final. Raises UsageError."""
        file = (self.directory or Path()) / STATE_NAME
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
            end = RunEnd.from_dict(record["end"]) if record["end"] else None
            return RunStart.from_dict(record["start"]), end, bool(record["sealed"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UsageError(
                f"{printable(self.directory)} is not the spool of a run",
                hint="name the directory that holds run.json",
            ) from error

    def stderr_tail(self) -> list[str]:
        """Return the last lines of the command's standard error."""
        path = self.log_path("stderr.log")
        with contextlib.suppress(OSError):
            if path is not None:
                with path.open("rb") as file:
                    file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
                    text = file.read(_TAIL_BYTES).decode("utf-8", "replace")
                return text.splitlines()[-_TAIL_LINES:]
        return []

    def last_change(self) -> float:
        """Return the time of the last change of any file, in seconds since 1970."""
        if self.directory is None:
            return 0
        return max(path.stat().st_mtime for path in self.directory.rglob("*"))

    def remove(self) -> None:
        """Remove everything; what cannot be removed stays."""
        if self.directory is not None:
            shutil.rmtree(self.directory, ignore_errors=True)


def create_spool(roots: list[Path], named: bool, execution_id: str) -> Spool:
    """Make a fresh spool below the first root that can be used.

    A root that was `named` must be usable, unless its disk is full. Raises UsageError.
    """
    problem: OSError | None = None
    for root in roots:
        try:
            return Spool(_make_directory(root, execution_id))
        except OSError as error:
            problem = error
            if named and error.errno not in _FULL:
                break
    if problem is not None and problem.errno in _FULL:
        return Spool(None)
    reason = problem.strerror if problem else "nowhere to look"
    raise UsageError(
        f"no place for the spool at {printable(roots[-1])}: {reason}",
        hint="name a directory that can be written with --spool",
    )


def _make_directory(root: Path, execution_id: str) -> Path:
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    number = 1
    while True:
        directory = root / (execution_id if number == 1 else f"{execution_id}-{number}")
        try:
            directory.mkdir(mode=0o700)
            break
        except FileExistsError:
            # An earlier run with this id left what it could not store.
            number += 1
    (directory / "logs").mkdir(mode=0o700)
    return directory


class SpoolLog:
    """A log being spooled. Appending never fails: what finds no room is counted as lost."""

    def __init__(self, path: Path | None) -> None:
        self.size_bytes = 0
        self.lost_bytes = 0
        self.problem: str | None = None if path else "no space for the spool"
        self._descriptor = -1
        if path is not None:
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
                self._descriptor = os.open(path, flags, 0o600)
            except OSError as error:
                self.problem = error.strerror or str(error)

    def append(self, data: memoryview | bytes) -> None:
        """Write all of the data, or count it as lost, and all that follows."""
        rest = memoryview(data)
        while rest and self.problem is None:
            try:
                written = os.write(self._descriptor, rest)
            except OSError as error:
                self.problem = error.strerror or str(error)
            else:
                self.size_bytes += written
                rest = rest[written:]
        self.lost_bytes += len(rest)

    def descriptors(self) -> set[int]:
        """Return the descriptor of the file, if there is one."""
        return {self._descriptor} if self._descriptor >= 0 else set()

    @property
    def loss(self) -> str | None:
        """Say what was lost."""
        if not self.lost_bytes:
            return None
        return f"{self.lost_bytes:,} bytes after the first {self.size_bytes:,} lost: {self.problem}"


class RunnerLog:
    """`runner.log`: timestamped lines from every process of a run, until it is sealed."""

    def __init__(self, path: Path | None, clock: Callable[[], datetime]) -> None:
        self._log = SpoolLog(path)
        self._clock = clock
        self.sealed = False

    def descriptors(self) -> set[int]:
        """Return what a child process needs to write to it as well."""
        return self._log.descriptors()

    def note(self, text: str) -> None:
        """Append one line."""
        if not self.sealed:
            now = self._clock().isoformat(timespec="milliseconds").replace("+00:00", "Z")
            self._log.append(f"{now} {printable(text)}\n".encode("utf-8", "backslashreplace"))


class TailReader:
    """Reads a spooled log while it grows; its end is the end of the file once `ended` is set."""

    def __init__(self, path: Path, ended: threading.Event) -> None:
        self._file = path.open("rb", buffering=0)
        self._ended = ended

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill the buffer as far as there is data, or wait for some; 0 at the end."""
        while True:
            ended = self._ended.is_set()
            size = self._file.readinto(buffer)
            if size or ended:
                return size or 0
            self._ended.wait(_POLL_SECONDS)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
