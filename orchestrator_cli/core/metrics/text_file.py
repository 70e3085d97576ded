"""Metrics in a file of Prometheus' text format, as the node exporter's textfile collector reads.

Runs add up in one file: it is read, added to and replaced under a lock beside it.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

from orchestrator_cli.core.base.descriptors import write_all
from orchestrator_cli.core.base.errors import OrchestratorError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.files.directory import Directory
from orchestrator_cli.core.files.lock import lock_file
from orchestrator_cli.core.files.new_file import create_atomically
from orchestrator_cli.core.metrics.recorder import MetricsSnapshot
from orchestrator_cli.core.metrics.totals import Totals, parse, render

# A merge takes milliseconds; whoever holds the lock for longer hangs.
_LOCK_SECONDS = 5.0
_MOST_BYTES = 4 * 1024 * 1024


def add_to_file(path: Path, snapshot: MetricsSnapshot) -> None:
    """Add what was counted to a file, which is made where there is none.

    Readers see the file before or after, never between. Raises OrchestratorError, and leaves the
    file as it is, where it cannot be written or holds anything but our own metrics.
    """
    try:
        with locked(path) as directory:
            totals = read_totals(directory, path.name)
            totals.add(snapshot)
            with create_atomically(directory, path.name, replace=True) as file:
                write_all(file.fileno(), render(totals))
    except OSError as error:
        raise OrchestratorError(f"cannot write {printable(path)}: {error.strerror}") from error
    except ValueError as error:
        raise OrchestratorError(
            f"{printable(path)} holds what orchestrator did not write: {printable(error)}; "
            "it is left as it is"
        ) from error


def read_totals(directory: Directory, name: str) -> Totals:
    """Return what a file holds, nothing where there is none.

    Raises OSError, and ValueError for what we did not write.
    """
    try:
        with io.BufferedReader(directory.open_file(name)) as file:
            content = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return Totals()
    if len(content) > _MOST_BYTES:
        raise ValueError("it is too large")
    if content and not content.endswith(b"\n"):
        raise ValueError("its last line is cut")
    return parse(content.decode())


@contextlib.contextmanager
def locked(path: Path) -> Iterator[Directory]:
    """Hold the lock of a file, in its directory. The kernel drops it when its holder dies.

    Nothing that was planted there is followed, waited for or written to. Raises BlockingIOError
    where another process holds it for seconds, and other OSError.
    """
    with (
        Directory.open_root(path.parent) as directory,
        lock_file(directory, f".{path.name}.lock", _LOCK_SECONDS),
    ):
        yield directory
