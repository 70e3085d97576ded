"""Time a command as a whole process: wall clock, CPU of it and its children, peak memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_KEPT_BYTES = 2000


class CommandFailed(Exception):  # noqa: N818 - what it says
    """A measured command did not end with exit code 0; no figure of it counts."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run. `peak_kib` is that of the largest process of the tree."""

    wall_seconds: float
    cpu_seconds: float
    peak_kib: int


@dataclass(frozen=True, slots=True)
class Figures:
    """The runs of one command: medians, and the span of the wall clock."""

    wall_seconds: float
    cpu_seconds: float
    peak_mib: float
    fastest_seconds: float
    slowest_seconds: float

    @classmethod
    def of(cls, runs: Sequence[Run]) -> Figures:
        """Summarise at least one run."""
        walls = [run.wall_seconds for run in runs]
        return cls(
            wall_seconds=statistics.median(walls),
            cpu_seconds=statistics.median(run.cpu_seconds for run in runs),
            peak_mib=max(run.peak_kib for run in runs) / 1024,
            fastest_seconds=min(walls),
            slowest_seconds=max(walls),
        )


def run_command(
    command: Sequence[str], environment: Mapping[str, str], stdin: Path | None = None
) -> Run:
    """Run a command to its end, its output read and dropped. Raises CommandFailed.

    Output goes through a pipe to a reader of its own, as it does in a script.
    """
    with (
        open(stdin or os.devnull, "rb") as given,
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as reader,
    ):
        begun = time.monotonic()
        process = subprocess.Popen(
            command, env=dict(environment), stdin=given, stdout=reader.stdin, stderr=errors
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - begun
        # Popen must not wait for what has been waited for.
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            errors.seek(0)
            told = errors.read()[-_KEPT_BYTES:].decode("utf-8", "replace")
            raise CommandFailed(f"{' '.join(command)}: exit {process.returncode}\n{told}")
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
