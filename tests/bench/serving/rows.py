"""`orchestrator serve` under load: requests a second, their times, and what they cost the server.

Client, server and store share the machine, so what bounds is told too: the CPU of each.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.bench.measuring.peers import BUCKET
from tests.bench.measuring.report import write_json
from tests.bench.servers.nginx import find_nginx
from tests.bench.serving.load import Answers, Load, request_head, run_load
from tests.bench.serving.process import (
    Serving,
    cpu_seconds,
    group_cpu_seconds,
    make_token,
    resident_mib,
    run_serving,
)
from tests.bench.serving.store import Store, run_store

NAME = "serve"
_FILES = 20
_PROCESSES = ("server", "store", "client")
_LEAST_PER_SECOND = 600
_MOST_GROWTH_MIB = 8


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is asked: `requests` of each kind, so often.

    The default is more executions than a server keeps manifests of, so that each is looked at as
    for the first time.
    """

    requests: int = 2000
    repeat: int = 5
    connections: int = 16
    executions: int = 2000


_QUICK = Extent(requests=100, repeat=1, executions=20)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of request: to which server, what is sent, which status is right."""

    name: str
    serving: Serving
    heads: list[str]
    status: int = 200


@dataclass(frozen=True, slots=True)
class Served:
    """What one kind of request came to. CPU is that of each process for one request."""

    per_second: float
    p50_ms: float
    p99_ms: float
    server_cpu_ms: float
    store_cpu_ms: float
    client_cpu_ms: float
    body_bytes: float


@dataclass(frozen=True, slots=True)
class Setting:
    """A store, a server that asks for no token, one that does, and the token."""

    store: Store
    open: Serving
    guarded: Serving
    token: str


def bench_serving(options: argparse.Namespace, facts: Mapping[str, Any]) -> None:
    """Measure, print, and write where asked."""
    nginx = find_nginx()
    if nginx is None or not Path("/proc/self/stat").exists():
        print(f"left out: {NAME}, which needs nginx and Linux' /proc")
        return
    extent = _QUICK if options.quick else Extent(repeat=options.repeat)
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=options.dir) as home,
        run_setting(nginx, Path(home), extent) as setting,
    ):
        record = measure_serving(setting, extent)
    print_serving(record)
    if options.json:
        write_json(options.json, facts, [record])


@contextmanager
def run_setting(nginx: str, home: Path, extent: Extent) -> Iterator[Setting]:
    """Run the store and both servers until the block ends."""
    with ExitStack() as stack:
        store = stack.enter_context(run_store(nginx, home, extent.executions, _FILES))
        environment = _environment(home, store)
        file = home / "tokens"
        token = make_token(file, environment)
        yield Setting(
            store,
            stack.enter_context(run_serving(home / "open.log", environment)),
            stack.enter_context(
                run_serving(home / "guarded.log", environment, "--tokens", str(file))
            ),
            token,
        )


def _environment(home: Path, store: Store) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": store.endpoint_url,
        "AWS_CA_BUNDLE": str(store.ca_file),
        "ORCHESTRATOR_BUCKET": BUCKET,
    }


def measure_serving(setting: Setting, extent: Extent) -> dict[str, Any]:
    """Ask once to warm up, then each kind in turn; return the record of it."""
    kinds = build_kinds(setting)
    runs: dict[str, list[Served]] = {one.name: [] for one in kinds}
    for kind in kinds:
        measure(kind, setting.store, extent)
    began_mib = resident_mib(setting.open.pid)
    for _ in range(extent.repeat):
        for kind in kinds:
            runs[kind.name].append(measure(kind, setting.store, extent))
    asked = sum(kind.serving is setting.open for kind in kinds) * extent.requests * extent.repeat
    memory = {
        "requests": asked,
        "began_mib": began_mib,
        "ended_mib": resident_mib(setting.open.pid),
    }
    return as_record({name: _median(those) for name, those in runs.items()}, memory, extent)


def measure(kind: Kind, store: Store, extent: Extent) -> Served:
    """Ask, and say what it took. Ends the program where an answer is not the right one."""
    load = Load(kind.serving.port, extent.connections, extent.requests, kind.heads)
    server_seconds, store_seconds = cpu_seconds(kind.serving.pid), group_cpu_seconds(store.pid)
    answers = run_load(load)
    server_seconds = cpu_seconds(kind.serving.pid) - server_seconds
    store_seconds = group_cpu_seconds(store.pid) - store_seconds
    if answers.statuses != {str(kind.status): extent.requests}:
        sys.exit(f"{NAME}, {kind.name}: {kind.status} expected, not {answers.statuses}")
    return _served(answers, server_seconds, store_seconds)


def _served(answers: Answers, server_seconds: float, store_seconds: float) -> Served:
    count = sum(answers.statuses.values())
    return Served(
        answers.per_second,
        answers.p50_ms,
        answers.p99_ms,
        server_seconds / count * 1000,
        store_seconds / count * 1000,
        answers.cpu_seconds / count * 1000,
        answers.body_bytes / count,
    )


def build_kinds(setting: Setting) -> list[Kind]:
    """Return what is asked, after a look at one answer of each server."""
    bearer = {"Authorization": f"Bearer {setting.token}"}
    metadata = [f"/executions/{one}" for one in setting.store.execution_ids]
    artifacts = [f"{path}/artifacts" for path in metadata]
    logs = [f"{path}/logs/stdout" for path in metadata]
    _check(_ask(setting.open, artifacts[0], {})[1])
    _check(_ask(setting.guarded, artifacts[0], bearer)[1])
    etag = _ask(setting.open, metadata[0], {})[0]
    return [
        Kind("artifacts", setting.open, [request_head(path) for path in artifacts]),
        Kind("the same again", setting.open, [request_head(artifacts[0])]),
        Kind("with a token", setting.guarded, [request_head(path, **bearer) for path in artifacts]),
        Kind("in gzip", setting.open, [request_head(p, Accept_Encoding="gzip") for p in artifacts]),
        Kind("metadata", setting.open, [request_head(path) for path in metadata]),
        Kind("unchanged", setting.open, [request_head(metadata[0], If_None_Match=etag)], 304),
        Kind("link to a log", setting.open, [request_head(path) for path in logs], 307),
    ]


def _ask(serving: Serving, path: str, headers: Mapping[str, str]) -> tuple[str, bytes]:
    """Return ETag and body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=60)
    connection.request("GET", path, headers=dict(headers))
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.headers["ETag"], body


def _check(body: bytes) -> None:
    artifacts = json.loads(body)["artifacts"]
    assert len(artifacts) == _FILES
    assert all(one["url"] and one["checksum"] for one in artifacts)


def _median(those: Sequence[Served]) -> Served:
    columns = zip(*(asdict(one).values() for one in those), strict=True)
    return Served(*(statistics.median(column) for column in columns))


def as_record(
    figures: Mapping[str, Served], memory: Mapping[str, float], extent: Extent
) -> dict[str, Any]:
    """Return what JSON has of it."""
    fewest = min(figures["artifacts"].per_second, figures["with a token"].per_second)
    growth = memory["ended_mib"] - memory["began_mib"]
    return {
        "workload": NAME,
        "says": f"serve: {extent.executions:,} executions of {_FILES} files, asked for over "
        f"{extent.connections} connections",
        "server": "nginx as the store",
        "requests": {name: asdict(one) for name, one in figures.items()},
        "memory": dict(memory),
        "targets": [
            {
                "target": f"artifacts a second ≥ {_LEAST_PER_SECOND}",
                "measured": round(fewest, 1),
                "met": fewest >= _LEAST_PER_SECOND,
            },
            {
                "target": f"memory grows ≤ {_MOST_GROWTH_MIB} MiB",
                "measured": round(growth, 2),
                "met": growth <= _MOST_GROWTH_MIB,
            },
        ],
    }


def print_serving(record: Mapping[str, Any]) -> None:
    """Print the record as a table."""
    print(f"\n{record['says']} ({record['server']})")
    print(f"  {'':16}{'a second':>9}{'p50 ms':>8}{'p99 ms':>8}  CPU ms: server   store  client")
    for name, one in record["requests"].items():
        print(
            f"  {name:16}{one['per_second']:9.0f}{one['p50_ms']:8.1f}{one['p99_ms']:8.1f}"
            f"{one['server_cpu_ms']:16.2f}{one['store_cpu_ms']:8.2f}{one['client_cpu_ms']:8.2f}"
        )
    one = record["requests"]["artifacts"]
    busy = {name: one["per_second"] * one[f"{name}_cpu_ms"] / 1000 for name in _PROCESSES}
    told = ", ".join(f"{name} {cores:.2f}" for name, cores in busy.items())
    # One process of Python computes on one core: at that it is what bounds.
    print(f"  cores in use for artifacts: {told}")
    memory = record["memory"]
    print(
        f"  memory: {memory['began_mib']:.1f} MiB, and {memory['ended_mib']:.1f} MiB "
        f"{memory['requests']:,} requests later"
    )
    for one in record["targets"]:
        print(f"  {'met   ' if one['met'] else 'MISSED'} {one['target']}: {one['measured']:.2f}")
