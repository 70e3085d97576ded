"""Executions are listed: an hour of very many, and all of many with what their records say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tests.bench.counted.counting import CountingServer, run_counting_server
from tests.bench.counted.crowd import HOUR_BUCKET, IN_THE_HOUR, Crowd
from tests.bench.measuring.peers import BUCKET, OURS, Tools
from tests.bench.measuring.workload import Target, Workload

_HOUR_ALONE = "that hour alone"
_FEWER_BUCKET = "fewer"
# Of the memory that fewer executions take: what is read ahead is the same, and buffers vary.
_FLAT = 1.1


@contextmanager
def run_last_hour(
    certificates: Path, tools: Tools, executions: int
) -> Iterator[tuple[CountingServer, Workload]]:
    """Serve so many executions until the block ends, and yield what lists those of an hour."""
    crowd = Crowd.of_last_hour(executions, datetime.now(UTC))
    with run_counting_server(crowd.answer, certificates) as server:
        yield server, _list_last_hour(tools, server, executions)


def _list_last_hour(tools: Tools, server: CountingServer, executions: int) -> Workload:
    ours = tools.command(OURS, "ls", "--since", "1h")
    alone = tools.command(OURS, "--bucket", HOUR_BUCKET, "ls", "--since", "1h")
    whole = f"s3://{BUCKET}/executions/"
    peers = {"s5cmd": ("ls", whole), "aws": ("s3", "ls", whole)}
    return Workload(
        "ls",
        f"list the last hour's {IN_THE_HOUR} of {executions:,} executions; the others list all",
        {
            OURS: ours,
            _HOUR_ALONE: alone,
            **{
                name: tools.command(name, *arguments)
                for name, arguments in peers.items()
                if name in tools.paths
            },
        },
        (Target("requests", _HOUR_ALONE, 1.0),),
        before_each=server.forget,
        after_each=lambda: _count(server),
    )


@contextmanager
def run_records(
    certificates: Path, tools: Tools, counts: Sequence[int]
) -> Iterator[tuple[CountingServer, Workload]]:
    """Serve executions until the block ends, and yield what lists them with their records.

    `counts` says how many, and how many fewer in a second bucket.
    """
    buckets = dict(zip((BUCKET, _FEWER_BUCKET), counts, strict=True))
    crowd = Crowd.of_finished(buckets, datetime.now(UTC))
    with run_counting_server(crowd.answer, certificates) as server:
        yield server, _list_records(tools, server, counts)


def _list_records(tools: Tools, server: CountingServer, counts: Sequence[int]) -> Workload:
    many, few = counts
    fewer = f"{few:,} of them"
    return Workload(
        "ls-records",
        f"list {many:,} executions, each with its metadata",
        {
            OURS: tools.command(OURS, "ls", "--since", "30d"),
            fewer: tools.command(OURS, "--bucket", _FEWER_BUCKET, "ls", "--since", "30d"),
        },
        (Target("cpu_seconds", None, 1.5), Target("peak_mib", fewer, _FLAT)),
        before_each=server.forget,
        after_each=lambda: _count(server),
    )


def _count(server: CountingServer) -> dict[str, float]:
    return {"requests": float(len(server.forget()))}
