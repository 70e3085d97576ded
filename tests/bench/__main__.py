"""Run the benchmarks; see `make bench`."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Any, cast

from tests.bench.delaying import run_delaying_proxy
from tests.bench.fixtures import (
    AGAIN_ID,
    DOWN_ID,
    NEW_ID,
    Fixtures,
    Sizes,
    fill_sink,
    make_fixtures,
)
from tests.bench.measuring import CommandFailed, Figures, Run, run_command
from tests.bench.peers import BUCKET, OURS, Tools, find_tools, versions
from tests.bench.real import run_real_server
from tests.bench.report import as_record, print_record, write_json
from tests.bench.serving import NAME as SERVING
from tests.bench.serving import bench_serving
from tests.bench.sink import client_environment, find_nginx, run_sink
from tests.bench.workloads import Workload, build_workloads

_REAL = Sizes(2000, 256 << 20, 64 << 20, 4, 64 << 20)
_QUICK = Sizes(200, 64 << 20, 64 << 20, 4, 16 << 20)


@dataclass(frozen=True, slots=True)
class Server:
    """What is measured against. `forget` removes what was uploaded, where that is kept."""

    name: str
    environment: dict[str, str]
    endpoint_url: str
    ca_file: Path | None
    forget: Callable[[], None] = lambda: None


def main() -> None:
    """Measure what was asked for, print it, and write it where asked."""
    options = _parse()
    # A run takes minutes: what is known is told at once, into a file too.
    cast("TextIOWrapper", sys.stdout).reconfigure(line_buffering=True)
    tools = find_tools(options.peers)
    if tools.missing:
        print(f"left out, not installed: {', '.join(tools.missing)}")
    facts = _facts(tools, options)
    for name, fact in facts.items():
        print(f"{name}: {fact}")
    if not options.only or SERVING in options.only:
        bench_serving(options, facts)
    if options.only == [SERVING]:
        return
    records = []
    with ExitStack() as stack:
        made = tempfile.TemporaryDirectory(prefix="bench-", dir=options.dir)
        home = Path(stack.enter_context(made))
        files = make_fixtures(home, _sizes(options))
        server = stack.enter_context(_real(files) if options.real else _sink(home, files, options))
        environment = _environment(home) | server.environment
        workloads = build_workloads(tools, files, server.endpoint_url, server.ca_file, home)
        for workload in workloads:
            if options.only and workload.name not in options.only:
                continue
            figures = _measure(workload, environment, options.repeat, server.forget)
            records.append(as_record(workload, figures, server.name))
            print_record(records[-1])
    if options.json:
        write_json(options.json, facts, records)


def _sizes(options: argparse.Namespace) -> Sizes:
    if options.quick:
        return _QUICK
    if options.real:
        return _REAL
    large = int(options.large_gib * (1 << 30))
    return Sizes(options.small_files, large, sparse=options.sparse)


@contextmanager
def _sink(home: Path, files: Fixtures, options: argparse.Namespace) -> Iterator[Server]:
    nginx = find_nginx()
    if nginx is None:
        sys.exit("nginx is needed for the sink: apt-get install nginx-light, brew install nginx")
    ids = {"new": NEW_ID, "again": AGAIN_ID, "down": DOWN_ID}
    with ExitStack() as stack:
        sink = stack.enter_context(run_sink(nginx, home, ids, fill_sink(home, files)))
        where, environment, name = sink.endpoint_url, client_environment(sink), "sink"
        if options.latency_ms:
            port = int(where.rpartition(":")[2])
            proxy = run_delaying_proxy(port, options.latency_ms / 1000)
            where = f"https://localhost:{stack.enter_context(proxy)}"
            environment |= {"AWS_ENDPOINT_URL": where, "S3_ENDPOINT_URL": where}
            name = f"sink, {options.latency_ms} ms away"
        yield Server(name, environment, where, sink.ca_file)


@contextmanager
def _real(files: Fixtures) -> Iterator[Server]:
    with run_real_server(files) as (environment, forget):
        where = environment["AWS_ENDPOINT_URL"]
        yield Server("moto", environment | {"S3_ENDPOINT_URL": where}, where, None, forget)


def _measure(
    workload: Workload, environment: Mapping[str, str], repeat: int, forget: Callable[[], None]
) -> dict[str, Figures]:
    """Run each tool once to warm up, then all in turn, each time another one first."""
    names = list(workload.commands)
    runs: dict[str, list[Run]] = {name: [] for name in names}
    for number in range(repeat + 1):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            forget()
            workload.before_each()
            try:
                run = run_command(workload.commands[name], environment, workload.stdin)
                workload.check()
            except CommandFailed as error:
                if name == OURS:
                    sys.exit(str(error))
                print(f"left out: {error}")
                del runs[name]
                names.remove(name)
                continue
            if number:
                runs[name].append(run)
    return {name: Figures.of(those) for name, those in runs.items()}


def _environment(home: Path) -> dict[str, str]:
    """Return an environment in which nothing of this machine's leads a tool elsewhere."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "ORCHESTRATOR_BUCKET": BUCKET,
        "NO_PROXY": "localhost,127.0.0.1",
    }


def _facts(tools: Tools, options: argparse.Namespace) -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "repetitions": options.repeat,
        **versions(tools),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench BENCH_ARGS=…", description=__doc__)
    parser.add_argument("--peers", type=Path, default=Path(".venv-bench/bin"))
    parser.add_argument("--only", type=lambda text: text.split(","), help="workloads, with commas")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--latency-ms", type=int, default=0, help="round trip to the server")
    parser.add_argument("--real", action="store_true", help="against moto instead of the sink")
    parser.add_argument("--large-gib", type=float, default=4.0)
    parser.add_argument("--sparse", action="store_true", help="the large file takes no disk")
    parser.add_argument("--small-files", type=int, default=2000)
    parser.add_argument("--quick", action="store_true", help="small sizes, to try the benchmark")
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--dir", type=Path, help="where the files go; the default is TMPDIR")
    return parser.parse_args()


if __name__ == "__main__":
    main()
