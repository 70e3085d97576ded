"""Copy files that others write, such as a serial console's capture, into the spool as they grow."""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections.abc import Iterator

from orchestrator_cli.core.executions.keys import live_log_path
from orchestrator_cli.core.files.checks import same_file
from orchestrator_cli.core.files.symlinks import open_through_links
from orchestrator_cli.runner.spool_log import SpooledRun, SpoolLog
from orchestrator_cli.runner.threads import start_thread

_POLL_SECONDS = 0.25
_CHUNK_BYTES = 1024 * 1024


class FollowedFile:
    """One file that grows. It may appear later, be cut short, or be replaced, as by rotation."""

    def __init__(self, run: SpooledRun, name: str, path: str) -> None:
        self._run = run
        self._name = name
        self._path = path
        self._file: io.FileIO | None = None
        self._log: SpoolLog | None = None
        self._problem: str | None = None

    def copy_new(self) -> None:
        """Append new bytes to the spool; a file that cannot be read now is tried again later."""
        try:
            for data in self._read_new():
                self._spool_log().append(data)
        except OSError as error:
            self._note(error.strerror or str(error))
        else:
            self._problem = None

    def loss_message(self) -> str | None:
        """How many bytes the spool had no room for, as a message; None where all are there."""
        return self._log.loss_message if self._log is not None else None

    def close(self) -> None:
        """Close the file and its copy."""
        for one in (self._file, self._log):
            if one is not None:
                one.close()

    def _read_new(self) -> Iterator[bytes]:
        if self._file is None:
            self._file = open_through_links(self._path)
        yield from self._read_to_end(self._file)
        with contextlib.suppress(FileNotFoundError):
            found = open_through_links(self._path)
            if same_file(os.fstat(found.fileno()), os.fstat(self._file.fileno())):
                found.close()
                return
            self._file.close()
            self._file = found
            yield from self._read_to_end(self._file)

    @staticmethod
    def _read_to_end(file: io.FileIO) -> Iterator[bytes]:
        """Read up to the present end: it may move faster than we read."""
        end = os.fstat(file.fileno()).st_size
        if end < file.tell():
            file.seek(0)
        while (left := end - file.tell()) > 0:
            data = file.read(min(left, _CHUNK_BYTES))
            if not data:
                return
            yield data

    def _spool_log(self) -> SpoolLog:
        if self._log is None:
            self._log = self._run.open_log(self._name)
        return self._log

    def _note(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            self._run.log.write(f"{self._name}: {self._path}: {problem}")


class FollowedFiles:
    """Copies the files that a run follows, in a thread of its own."""

    def __init__(self, run: SpooledRun) -> None:
        self._files = {
            name: FollowedFile(run, name, path) for name, path in run.start.followed.items()
        }
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, where there are any; without a thread they are copied at the end."""
        if self._files:
            self._thread = start_thread(self._follow, "files")

    def end(self) -> None:
        """Stop following the files."""
        self._ended.set()

    def join(self) -> dict[str, str]:
        """Copy the present content; return the losses by storage path."""
        if self._thread is not None:
            self._thread.join()
        losses = {}
        for name, file in self._files.items():
            file.copy_new()
            loss = file.loss_message()
            if loss is not None:
                losses[live_log_path(name) or name] = loss
            file.close()
        return losses

    def _follow(self) -> None:
        while not self._ended.wait(_POLL_SECONDS):
            for file in self._files.values():
                file.copy_new()
