"""The spool of a run: a private local directory that holds what S3 may not have yet.

<spool>/run.json      how the run began and ended
<spool>/logs/<log>    the logs, under the names of the layout
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import stat
from pathlib import Path

from orchestrator_cli.core.base.errors import OrchestratorError, UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.files.checks import (
    UnsafeFileError,
    check_private,
    check_written_by_us,
    same_file,
)
from orchestrator_cli.core.files.directory import Directory, private_directory
from orchestrator_cli.core.files.lock import try_lock
from orchestrator_cli.core.files.removal import remove_tree
from orchestrator_cli.core.files.tree import Tree, TreeFile
from orchestrator_cli.runner.run_record import RunEnd, RunStart

STATE_NAME = "run.json"
RUN_LOGS = ("stdout.log", "stderr.log")
RUNNER_LOG = "runner.log"
LOGS_NAME = "logs"
_TAIL_BYTES = 4096
_TAIL_LINES = 20
_MOST_STATE_BYTES = 16 * 1024 * 1024


class Spool:
    """A spool directory that is held open and locked.

    Where none could be made there is no `directory`, and `problem` says why: then output is lost,
    but the command runs. One process at a time owns a directory; its lock ends with the last
    process that holds it.
    """

    def __init__(self, directory: Path | None, root: Directory | None, problem: str = "") -> None:
        self.directory = directory
        self.problem = problem
        self._root = root
        self._logs = root.open_directory(LOGS_NAME) if root is not None else None

    def descriptors(self) -> set[int]:
        """Return the descriptors that a child process needs to own the directory as well."""
        return {one.fileno() for one in (self._root, self._logs) if one is not None}

    # --- logs --------------------------------------------------------------------------------

    def open_log(self, name: str) -> io.FileIO:
        """Open a log for appending. Raises OSError."""
        if self._logs is None:
            raise OSError(0, self.problem)
        log = self._logs.open_own_file(name, 0o600)
        fcntl.fcntl(log.fileno(), fcntl.F_SETFL, os.O_APPEND)
        return log

    def log_file(self, name: str) -> TreeFile | None:
        """Return a log as a file to read; None where there is no such log."""
        if self._logs is None or self._logs.find(name) is None:
            return None
        return TreeFile(Tree(self._logs), (name,))

    def stderr_tail(self) -> list[str]:
        """Return the last lines of the command's standard error."""
        file = self.log_file("stderr.log")
        with contextlib.suppress(OSError):
            if file is not None:
                with file.open() as log:
                    log.seek(max(0, file.stat().st_size - _TAIL_BYTES))
                    text = (log.read(_TAIL_BYTES) or b"").decode("utf-8", "replace")
                return text.splitlines()[-_TAIL_LINES:]
        return []

    # --- state -------------------------------------------------------------------------------

    def write_state(self, start: RunStart, end: RunEnd | None, *, log_closed: bool = False) -> None:
        """Keep how the run began and ended, and whether runner.log is final. Raises OSError."""
        if self._root is None:
            return
        record = {
            "start": start.to_dict(),
            "end": end.to_dict() if end else None,
            "log_closed": log_closed,
        }
        fresh = f".{STATE_NAME}.new"
        with self._root.open_own_file(fresh, 0o600) as file:
            file.truncate()
            buffered = io.BufferedWriter(file)
            buffered.write(json.dumps(record).encode())
            buffered.flush()
            os.fsync(file.fileno())
        self._root.rename(fresh, STATE_NAME)

    def read_state(self) -> tuple[RunStart, RunEnd | None, bool]:
        """Return start, end and whether runner.log is final. Raises UsageError."""
        if self._root is None:
            raise _no_spool(self.directory)
        try:
            with self._root.open_file(STATE_NAME) as file:
                record = json.loads(file.read(_MOST_STATE_BYTES) or b"")
            end = RunEnd.from_dict(record["end"]) if record["end"] else None
            return RunStart.from_dict(record["start"]), end, bool(record["log_closed"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise _no_spool(self.directory) from error

    def last_change(self) -> float:
        """Return the time of the last change of any file, in seconds since 1970."""
        directories = [one for one in (self._root, self._logs) if one is not None]
        times = [one.stat(found.name).st_mtime for one in directories for found in one.scan()]
        return max(times, default=0.0)

    def remove(self) -> None:
        """Remove the spool, as far as that is possible."""
        if self.directory is None or self._root is None:
            return
        with contextlib.suppress(OSError), Directory.open_root(self.directory.parent) as parent:
            if same_file(parent.stat(self.directory.name), self._root.status()):
                remove_tree(parent, self.directory.name)


def create_spool(roots: list[Path], execution_id: str, *, named: bool) -> Spool:
    """Make a fresh spool below the first root that can be used, or one that keeps nothing.

    A root that the user has not `named` must be ours alone, or somebody may have made it for us.
    """
    problem: OSError | None = None
    for root in roots:
        try:
            with _open_named(root) if named else _open_own(root) as parent:
                return _create_below(root.absolute(), parent, execution_id)
        except OSError as error:
            problem = error
    if problem is None:
        return Spool(None, None, "there is no directory for it")
    return Spool(None, None, f"{printable(roots[-1])}: {problem.strerror or problem}")


def _open_named(root: Path) -> Directory:
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Directory.open_root(root)


def _open_own(root: Path) -> Directory:
    directory = private_directory(root)
    if stat.S_IMODE(directory.status().st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
        directory.close()
        raise UnsafeFileError("other users may look into it", str(root))
    return directory


def _create_below(root: Path, parent: Directory, execution_id: str) -> Spool:
    number = 1
    while True:
        name = execution_id if number == 1 else f"{execution_id}-{number}"
        try:
            directory = parent.make_directory(name, 0o700, fresh=True)
            break
        except FileExistsError:
            # An earlier run with this id left what it could not store.
            number += 1
    directory.make_directory(LOGS_NAME, 0o700, fresh=True).close()
    try_lock(directory.fileno())
    return Spool(root / name, directory)


def open_spool(path: Path) -> Spool:
    """Open and lock the spool of an earlier run.

    Raises OrchestratorError while another process has it, and UsageError where anything in it may
    be another user's: what a run.json names would be read and stored with our rights.
    """
    path = path.absolute()
    try:
        with Directory.open_root(path.parent) as parent:
            root = parent.open_directory(path.name)
        _check_ours(root, path)
        if not try_lock(root.fileno()):
            message = f"the run of {printable(path)} is still under way"
            raise OrchestratorError(message, retryable=True)
        return Spool(path, root)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _no_spool(path) from error
    except OSError as error:
        name = printable(error.filename or path)
        raise UsageError(
            f"{printable(path)} cannot be resumed: {name}: {error.strerror}",
            hint="only the user who ran it can store a spool, and nothing in it may be a link",
        ) from error


def _check_ours(root: Directory, path: Path) -> None:
    check_private(root.status(), str(path))
    with root.open_directory(LOGS_NAME) as logs:
        check_private(logs.status(), LOGS_NAME)
        for directory, kept in ((root, {LOGS_NAME}), (logs, set[str]())):
            for found in directory.scan():
                if found.name not in kept:
                    check_written_by_us(directory.stat(found.name), found.name)


def _no_spool(path: Path | None) -> UsageError:
    return UsageError(
        f"{printable(path)} is not the spool of a run",
        hint="name the directory that holds run.json",
    )
