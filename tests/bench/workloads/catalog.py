"""What is measured, and what it should come to beside the peers."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from tests.bench.fixtures import AGAIN_ID, LOG_ID, NEW_ID, SEARCHED_BYTES, Fixtures, Sizes
from tests.bench.measuring.command import CommandFailed
from tests.bench.measuring.peers import OURS, Tools, rclone_options
from tests.bench.measuring.workload import Target, Workload
from tests.bench.servers.server import Server
from tests.bench.workloads.commands import CURL_AND_GREP, UPLOAD, Commands

_KEPT_BYTES = 64 << 20
# Of memory, for any upload.
_MOST_MIB = 100
_FAR_MS = 50


def build_workloads(
    tools: Tools, files: Fixtures, endpoint_url: str, ca_file: Path | None, scratch: Path
) -> list[Workload]:
    """Return all workloads for the tools that are there."""
    make = Commands(tools, rclone_options(endpoint_url, ca_file))
    down = scratch / "down"
    log = f"executions/{LOG_ID}/logs"
    sizes = files.sizes
    gib = sizes.large_bytes / (1 << 30)
    small = _small(sizes.small_files, sizes)
    return [
        Workload(
            "small-upload",
            f"upload {small}",
            make.copy(files.tree, NEW_ID, small=True),
            (
                Target("wall_seconds", "s5cmd", 0.2),
                Target("cpu_seconds", "s5cmd", 0.2),
                Target("wall_seconds", "rclone", 0.5),
                Target("peak_mib", None, _MOST_MIB),
                Target("wall_seconds", "s5cmd", 0.35, _FAR_MS),
            ),
        ),
        Workload(
            "again",
            "upload them again: ours compares contents, the others size and time",
            make.sync(files.tree, AGAIN_ID),
            (Target("wall_seconds", "s5cmd", 0.8), Target("peak_mib", None, _MOST_MIB)),
        ),
        Workload(
            "sync-efs",
            f"store {_small(sizes.efs_files, sizes)} of a bench with sync-efs, beside their upload",
            make.sync_efs(files),
            (Target("cpu_seconds", UPLOAD, 1.0), Target("peak_mib", None, _MOST_MIB)),
        ),
        Workload(
            "large-upload",
            f"upload one file of {gib:g} GiB",
            make.copy(files.large, NEW_ID),
            (
                Target("wall_seconds", "s5cmd", 0.75),
                Target("cpu_seconds", "s5cmd", 0.55),
                Target("peak_mib", None, _MOST_MIB),
            ),
            warm_up=False,
        ),
        Workload(
            "several-large",
            f"upload {sizes.several_files} files of {sizes.several_bytes >> 20} MiB",
            make.copy(files.several, NEW_ID),
            (
                Target("wall_seconds", "s5cmd", 0.8),
                Target("peak_mib", None, _MOST_MIB),
                Target("wall_seconds", "s5cmd", 0.9, _FAR_MS),
            ),
        ),
        Workload(
            "stdin",
            f"upload {gib:g} GiB from standard input",
            make.pipe(),
            (Target("wall_seconds", "s5cmd", 1.0), Target("peak_mib", None, _MOST_MIB)),
            stdin=files.large,
            warm_up=False,
        ),
        Workload(
            "log-small",
            "print a log of 4 KiB",
            make.cat(f"{log}/stdout.log", "stdout", small=True),
            (Target("wall_seconds", "s5cmd", 1.3), Target("cpu_seconds", "s5cmd", 1.3)),
        ),
        Workload(
            "log-large",
            f"print a log of {sizes.log_bytes >> 20} MiB to a pipe",
            make.cat(f"{log}/runner.log", "runner"),
            (
                Target("wall_seconds", "s5cmd", 0.65),
                Target("peak_mib", None, 128),
                Target("wall_seconds", "s5cmd", 0.8, _FAR_MS),
            ),
        ),
        Workload(
            "log-grep",
            f"count the lines of a log of {sizes.text_bytes >> 20} MiB that match a pattern",
            make.count_matches(endpoint_url, ca_file),
            (Target("wall_seconds", CURL_AND_GREP, 1.2), Target("peak_mib", None, 128)),
        ),
        Workload(
            "download",
            f"download {small}",
            make.download(down),
            (Target("wall_seconds", "s5cmd", 0.25),),
            before_each=lambda: _clear(down, sizes.small_files * sizes.small_bytes),
            after_each=lambda: _check_files(down, sizes.small_files),
        ),
        Workload(
            "download-large",
            f"download one file of {gib:g} GiB",
            make.download_large(down),
            (Target("wall_seconds", "s5cmd", 0.7), Target("peak_mib", None, 128)),
            warm_up=False,
            before_each=lambda: _clear(down, sizes.large_bytes),
            after_each=lambda: _check_files(down, 1),
        ),
        Workload(
            "grep",
            f"search {sizes.logs:,} logs of {SEARCHED_BYTES >> 10} KiB; the others copy them first",
            make.search(down),
            (Target("wall_seconds", "aws", 0.33), Target("peak_mib", None, _MOST_MIB)),
            before_each=lambda: _clear(down, sizes.logs * SEARCHED_BYTES),
        ),
        Workload(
            "help",
            "--help, beside `import click`",
            {
                OURS: tools.command(OURS, "--help"),
                "import click": [sys.executable, "-c", "import click"],
            },
            (Target("cpu_seconds", "import click", 1.1),),
        ),
    ]


def build_slow_workload(tools: Tools, files: Fixtures, server: Server) -> Workload:
    """Return an upload to a server that takes a while for each response, beside who sends many."""
    make = Commands(tools, rclone_options(server.endpoint_url, server.ca_file))
    commands = make.copy(files.slow, NEW_ID)
    return Workload(
        "slow-upload",
        f"upload {_small(files.sizes.slow_files, files.sizes)}",
        {name: line for name, line in commands.items() if name in (OURS, "s5cmd")},
        (Target("wall_seconds", "s5cmd", 0.9), Target("peak_mib", None, _MOST_MIB)),
        warm_up=False,
    )


def _small(count: int, sizes: Sizes) -> str:
    return f"{count:,} files of {sizes.small_bytes / 1024:g} KiB"


def _check_files(directory: Path, count: int) -> dict[str, float]:
    found = sum(path.is_file() for path in directory.rglob("*"))
    if found != count:
        raise CommandFailed(f"{found:,} files instead of {count:,} in {directory}")
    return {}


def _clear(directory: Path, size_bytes: int) -> None:
    """Let the next run find no such directory, where there is one of so many bytes."""
    if size_bytes > _KEPT_BYTES:
        shutil.rmtree(directory, ignore_errors=True)
    elif directory.exists():
        # Kept until the end: for minutes, ext4 looks in vain at each inode that was freed before
        # it takes one, which would be counted as time of whoever makes the next files.
        directory.rename(Path(tempfile.mkdtemp(dir=directory.parent)) / directory.name)
