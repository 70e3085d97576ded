"""The files that the workloads work on, made once for a run, and the ids of what is stored."""

from __future__ import annotations

import hashlib
import os
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata, RunnerType
from orchestrator_cli.core.executions.record.repository import serialise

NEW_ID = f"01J{'0' * 22}1"
AGAIN_ID = f"01J{'0' * 20}A6A"
DOWN_ID = f"01J{'0' * 20}D0N"
LOG_ID = f"01J{'0' * 20}10G"
LARGE_ID = f"01J{'0' * 20}B1G"
SYNC_ID = f"01J{'0' * 20}EF5"
IDS = {
    "new": NEW_ID,
    "again": AGAIN_ID,
    "down": DOWN_ID,
    "log": LOG_ID,
    "large": LARGE_ID,
    "sync": SYNC_ID,
}
_BENCH_ID = "bench-07"
SEARCHED_BYTES = 64 * 1024
# In each of the logs that are searched, once.
NEEDLE = "ERROR: the watchdog bit"
# It is found once in a mebibyte of the log of text.
PATTERN = "ERROR.*panic|FATAL"
_BLOCK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much work there is."""

    small_files: int = 2000
    small_bytes: int = 4096
    large_bytes: int = 4 << 30
    log_bytes: int = 1 << 30
    text_bytes: int = 1 << 30
    several_files: int = 8
    several_bytes: int = 64 << 20
    sparse: bool = False
    logs: int = 1000
    slow_files: int = 1000
    efs_files: int = 20_000


@dataclass(frozen=True, slots=True)
class Fixtures:
    """Local paths. Every small file holds `small`; the large ones hold no pattern.

    `slow` is what goes to a server that is slow; `raw` is what is to be stored of the EFS at `efs`.
    """

    tree: Path
    slow: Path
    efs: Path
    raw: Path
    small: bytes
    large: Path
    several: Path
    sizes: Sizes


def make_fixtures(home: Path, sizes: Sizes) -> Fixtures:
    """Write the local files."""
    chance = random.Random(1)
    small = chance.randbytes(sizes.small_bytes)
    tree, slow, efs, several = (home / name for name in ("tree", "slow", "efs", "several"))
    raw = efs / _BENCH_ID / SYNC_ID / "raw"
    for root, count in (
        (tree, sizes.small_files),
        (slow, sizes.slow_files),
        (raw, sizes.efs_files),
    ):
        write_tree(root, count, small)
    several.mkdir()
    for number in range(sizes.several_files):
        write_noise(several / f"{number}.bin", sizes.several_bytes)
    large = home / "large.bin"
    if sizes.sparse:
        write_sparse(large, sizes.large_bytes)
    else:
        write_noise(large, sizes.large_bytes)
    return Fixtures(tree, slow, efs, raw, small, large, several, sizes)


def make_record(execution_id: str) -> bytes:
    """Return the record of an execution that has begun; what is synced belongs to its bench."""
    is_synced = execution_id == SYNC_ID
    record = ExecutionMetadata(
        execution_id=execution_id,
        started_at=datetime.now(UTC),
        runner_type=RunnerType.ONPREM if is_synced else None,
        bench_id=_BENCH_ID if is_synced else None,
    )
    return serialise(record)


def small_paths(count: int) -> list[str]:
    """Return the small files' paths below their root, twenty directories of them."""
    return [f"d{number % 20:02}/f{number:06}.txt" for number in range(count)]


def write_tree(root: Path, count: int, content: bytes) -> None:
    """Write so many small files, of an hour ago: who compares times finds what is stored newer."""
    then = time.time() - 3600
    for path in small_paths(count):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        os.utime(file, (then, then))


def write_sparse(path: Path, size_bytes: int) -> None:
    """Make a file that takes no room on the disk."""
    with path.open("wb") as sparse:
        sparse.truncate(size_bytes)


def write_noise(path: Path, size_bytes: int) -> str:
    """Write bytes without a pattern; return their SHA-256 in hex."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        while size_bytes:
            block = os.urandom(min(_BLOCK, size_bytes))
            file.write(block)
            digest.update(block)
            size_bytes -= len(block)
    return digest.hexdigest()


def write_text(path: Path, size_bytes: int) -> str:
    """Write the lines of a log; return their SHA-256 in hex."""
    line = "2026-01-31T08:00:{:02}.{:03}Z INFO step {:05}: the voltage is as it should be\n"
    lines = [line.format(number % 60, number % 1000, number) for number in range(20_000)]
    lines[500] = "2026-01-31T08:00:00.000Z ERROR the kernel said: panic\n"
    block = "".join(lines).encode()[: _BLOCK - 1] + b"\n"
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(size_bytes // _BLOCK):
            file.write(block)
            digest.update(block)
    return digest.hexdigest()
