"""The running `orchestrator serve` that is measured, and what processes use, as Linux' /proc says.

The server is a child, but what it has used is to be known while it runs.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.measuring.peers import OURS, find_tools

_START_SECONDS = 60
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Serving:
    """A running server; `pid` is that of its one process."""

    pid: int
    port: int


@contextmanager
def run_serving(log: Path, environment: Mapping[str, str], *options: str) -> Iterator[Serving]:
    """Run `orchestrator serve` until the block ends; its log goes to a file."""
    command = _command("serve", "--port", "0", *options)
    with (
        log.open("wb") as written,
        subprocess.Popen(command, env=dict(environment), stderr=written) as process,
    ):
        try:
            yield Serving(process.pid, _await_port(process, log))
        finally:
            process.terminate()


def _await_port(process: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"serving on http://[\d.]+:(\d+) ", log.read_text())
        if found:
            return int(found[1])
        time.sleep(0.05)
    raise OSError(f"serve did not start: {log.read_text()}")


def make_token(file: Path, environment: Mapping[str, str]) -> str:
    """Return a token that reads, and write the file of tokens that has it."""
    made = subprocess.run(
        _command("serve", "--new-token", "bench"),
        env=dict(environment),
        capture_output=True,
        text=True,
        check=True,
    )
    file.write_text(made.stdout)
    return made.stderr.strip()


def _command(*arguments: str) -> list[str]:
    return find_tools(Path()).command(OURS, *arguments)


def cpu_seconds(pid: int) -> float:
    """Return the CPU that a process has used, user and system, in all its threads."""
    return _cpu_seconds(_stat(Path(f"/proc/{pid}/stat")))


def group_cpu_seconds(group: int) -> float:
    """Return the CPU that the processes of a group have used."""
    total = 0.0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = _stat(path)
        except OSError:
            # It has ended meanwhile.
            continue
        if int(fields[2]) == group:
            total += _cpu_seconds(fields)
    return total


def resident_mib(pid: int) -> float:
    """Return what a process has in memory."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def _stat(path: Path) -> list[str]:
    """Return the fields behind the name, which may hold anything: the first is the state."""
    return path.read_text().rpartition(")")[2].split()


def _cpu_seconds(fields: list[str]) -> float:
    return (int(fields[11]) + int(fields[12])) / _TICKS
