"""What `make bench` can be told."""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.bench.fixtures import Sizes
from tests.bench.servers.sink_config import Settings
from tests.bench.serving.rows import NAME as SERVING

# Those that have a server of their own, which counts.
_COUNTED = ("resume", "ls", "ls-records")
_LIMITS = "limits"
_SANDBOX = "download-moto"
_SLOW = "slow-upload"
OWN_SERVER = (SERVING, _LIMITS, _SANDBOX, *_COUNTED)
WORKLOADS = (
    SERVING,
    _LIMITS,
    "small-upload",
    "again",
    "sync-efs",
    "large-upload",
    "several-large",
    "stdin",
    "log-small",
    "log-large",
    "log-grep",
    "download",
    "download-large",
    "grep",
    "help",
    _SLOW,
    _SANDBOX,
    *_COUNTED,
)
_USE_SMALL = {"small-upload", "again", "download"}
_USE_LARGE = {"large-upload", "stdin", "resume", "download-large"}
_UNUSED_BYTES = 1 << 20

# The embedded S3 is slow, and keeps everything in memory.
_REAL = {"large_gib": 0.25, "log_mib": 64, "several": (4, 64)}
_QUICK = {
    "small_files": 200,
    "large_gib": 1 / 16,
    "log_mib": 64,
    "several": (4, 16),
    "executions": 3000,
    "logs": 50,
    "answer_ms": (30, 150),
    "slow_files": 100,
    "efs_files": 500,
    "sandbox_mb": 16,
    "records": (500, 200),
}
_DEFAULTS = {
    "small_files": 2000,
    "large_gib": 4.0,
    "log_mib": 1024,
    "several": (8, 64),
    "executions": 100_000,
    "logs": 1000,
    "answer_ms": (300, 1500),
    "slow_files": 1000,
    "efs_files": 20_000,
    "sandbox_mb": 500,
    "records": (10_000, 2000),
}
_MOST_SMALL_BYTES = 8 << 20


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the options, the sizes that were not given filled in."""
    parser = argparse.ArgumentParser(
        prog="make bench BENCH_ARGS=…",
        description="Measure this tool beside its peers: the same work in the same run, in turn.",
    )
    parser.add_argument("--peers", type=Path, default=Path(".venv-bench/bin"))
    parser.add_argument("--only", type=_names, help=f"with commas between: {', '.join(WORKLOADS)}")
    parser.add_argument("--repeat", type=_count, default=5)
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--dir", type=Path, help="where the files go; the default is TMPDIR")
    parser.add_argument("--scale", action="store_true", help="no workload, but how cost grows")
    _add_sizes(parser)
    _add_server(parser)
    options = parser.parse_args(arguments)
    if options.only is None or options.scale:
        options.only = _all_that_fit(options)
    chosen = _QUICK if options.quick else _REAL if options.real else {}
    for name, value in (_DEFAULTS | chosen).items():
        if getattr(options, name, None) is None:
            setattr(options, name, value)
    return options


def _add_sizes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--small-files", type=_count)
    parser.add_argument(
        "--small-bytes", type=_small_size, default=4096, help="of each; up to 8 MiB"
    )
    parser.add_argument("--large-gib", type=float)
    parser.add_argument("--sparse", action="store_true", help="the large file takes no disk")
    parser.add_argument("--log-mib", type=_count)
    parser.add_argument("--executions", type=_count, help="of which those of an hour are listed")
    parser.add_argument("--logs", type=_count, help="of 64 KiB, to search")
    parser.add_argument("--quick", action="store_true", help="small sizes, to try the benchmark")


def _add_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--real", action="store_true", help="against moto instead of the sink")
    parser.add_argument("--latency-ms", type=int, default=0, help="round trip to the server")
    parser.add_argument(
        "--answer-ms",
        type=_counts,
        help=f"what a response takes in {_SLOW}; with commas between",
    )
    parser.add_argument("--tls", choices=("1.2", "1.3"), help="this version alone")
    parser.add_argument("--rsa", action="store_true", help="an RSA certificate")
    parser.add_argument(
        "--keepalive-requests",
        type=_count,
        default=Settings().keepalive_requests,
        help="after which the server closes a connection; S3 does after 100",
    )
    parser.add_argument("--workers", type=_count, default=Settings().workers, help="nginx's")


def sizes_of(options: argparse.Namespace) -> Sizes:
    """Return how much work there is; of files that nothing chosen uses, next to none."""
    count, mib = options.several
    chosen = set(options.only)
    large_bytes = int(options.large_gib * (1 << 30)) if chosen & _USE_LARGE else _UNUSED_BYTES
    log_bytes = options.log_mib << 20 if "log-large" in chosen else _UNUSED_BYTES
    return Sizes(
        small_files=options.small_files if chosen & _USE_SMALL else 1,
        small_bytes=options.small_bytes,
        large_bytes=large_bytes,
        log_bytes=log_bytes,
        text_bytes=options.log_mib << 20 if "log-grep" in chosen else _UNUSED_BYTES,
        several_files=count,
        several_bytes=mib << 20 if "several-large" in chosen else _UNUSED_BYTES,
        sparse=options.sparse,
        logs=options.logs if "grep" in chosen else 1,
        slow_files=options.slow_files if _SLOW in chosen else 1,
        efs_files=options.efs_files if "sync-efs" in chosen else 1,
    )


def sandbox_sizes_of(options: argparse.Namespace) -> Sizes:
    """Return next to no work but one file that is downloaded."""
    least = _UNUSED_BYTES
    return Sizes(
        small_files=1,
        small_bytes=1,
        large_bytes=options.sandbox_mb * 10**6,
        log_bytes=least,
        text_bytes=least,
        several_files=1,
        several_bytes=least,
        logs=1,
        slow_files=1,
        efs_files=1,
    )


def settings_of(options: argparse.Namespace) -> Settings:
    """Return how the sink is set up."""
    return Settings(options.tls, options.rsa, options.keepalive_requests, options.workers)


def _all_that_fit(options: argparse.Namespace) -> list[str]:
    """Return the workloads that the choice of a server leaves."""
    if options.scale:
        return []
    without: tuple[str, ...] = ()
    if options.real:
        without = (*OWN_SERVER, _SLOW)
    elif options.latency_ms:
        # Its store and its clients are beside it, and the limits are no server's. What waits for
        # responses is not nearer elsewhere.
        without = (SERVING, _LIMITS, _SANDBOX, _SLOW)
    return [name for name in WORKLOADS if name not in without]


def _names(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in WORKLOADS:
            raise argparse.ArgumentTypeError(f"no such workload: {name}")
    return names


def _counts(text: str) -> tuple[int, ...]:
    return tuple(_count(one) for one in text.split(","))


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return count


def _small_size(text: str) -> int:
    size = _count(text)
    if size > _MOST_SMALL_BYTES:
        raise argparse.ArgumentTypeError(f"at most {_MOST_SMALL_BYTES}: more is sent in parts")
    return size
