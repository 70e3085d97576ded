"""Time a command as a whole process: wall clock, CPU of it and its children, peak memory."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tests.bench.measuring.launching import family

_KEPT_BYTES = 2000
_LAUNCHER = Path(__file__).with_name("launching.py")


class CommandFailed(Exception):  # noqa: N818 - what it says
    """A measured command did not end as it should; no figure of it counts."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run, begun at a time of `time.monotonic`.

    `peak_kib` is that of the largest process, or the most that all held together where a look at
    them found more.
    """

    wall_seconds: float
    cpu_seconds: float
    peak_kib: int
    begun: float = 0.0


@dataclass(frozen=True, slots=True)
class Figures:
    """The runs of one command: medians, the span of the wall clock, the highest peak.

    `more` is what else was measured, by what a table calls it.
    """

    wall_seconds: float
    cpu_seconds: float
    peak_mib: float
    fastest_seconds: float
    slowest_seconds: float
    more: Mapping[str, float] = field(default_factory=dict)
    runs: int = 1

    @classmethod
    def of(cls, runs: Sequence[Run], more: Sequence[Mapping[str, float]] = ()) -> Figures:
        """Summarise at least one run, and what else each brought."""
        walls = [run.wall_seconds for run in runs]
        return cls(
            wall_seconds=statistics.median(walls),
            cpu_seconds=statistics.median(run.cpu_seconds for run in runs),
            peak_mib=max(run.peak_kib for run in runs) / 1024,
            fastest_seconds=min(walls),
            slowest_seconds=max(walls),
            more={
                name: statistics.median(one[name] for one in more) for name in (more or ({},))[0]
            },
            runs=len(runs),
        )


class Running:
    """A command that is running."""

    def __init__(self, command: Sequence[str], told: IO[str], errors: IO[bytes]) -> None:
        self._command = command
        self._told = told
        self._errors = errors
        self.pid = int(self._line())

    def kill(self) -> None:
        """End it, and what it began, as a loss of power would; nothing where it has ended."""
        for pid in family(self.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    @property
    def has_ended(self) -> bool:
        """Whether it has ended, and its figures can be had at once."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        return False

    def end(self, exit_code: int = 0) -> Run:
        """Wait for its end. Raises CommandFailed for another exit code, a signal being negative."""
        code, begun, wall, cpu, peak_kib = self._line().split()
        if int(code) != exit_code:
            self._errors.seek(0)
            said = self._errors.read()[-_KEPT_BYTES:].decode("utf-8", "replace")
            raise CommandFailed(f"{' '.join(self._command)}: exit {code}\n{said}")
        return Run(float(wall), float(cpu), int(peak_kib), float(begun))

    def _line(self) -> str:
        line = self._told.readline()
        if not line:
            self._errors.seek(0)
            raise CommandFailed(f"{' '.join(self._command)}: {self._errors.read().decode()}")
        return line


@contextmanager
def start_command(
    command: Sequence[str], environment: Mapping[str, str], stdin: Path | None = None
) -> Iterator[Running]:
    """Start a command, its output read and dropped; leaving waits for its end.

    Output goes through a pipe to a reader of its own, as it does in a script.
    """
    with ExitStack() as stack:
        given = stack.enter_context(open(stdin or os.devnull, "rb"))
        errors = stack.enter_context(tempfile.TemporaryFile())
        reader = stack.enter_context(
            subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        )
        told_fd, figures_fd = os.pipe()
        told = stack.enter_context(open(told_fd, encoding="ascii"))
        with open(figures_fd, "wb"):
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-I", "-S", str(_LAUNCHER), *command],
                    env={**environment, "FIGURES_FD": str(figures_fd)},
                    stdin=given,
                    stdout=reader.stdin,
                    stderr=errors,
                    pass_fds=[figures_fd],
                )
            )
        running = Running(command, told, errors)
        try:
            yield running
        except BaseException:
            running.kill()
            raise


def run_command(
    command: Sequence[str], environment: Mapping[str, str], stdin: Path | None = None
) -> Run:
    """Run a command to its end. Raises CommandFailed where its exit code is not 0."""
    with start_command(command, environment, stdin) as running:
        return running.end()
