"""Run the benchmarks; see `make bench`."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.delaying import run_delaying_proxy
from tests.bench.fixtures import AGAIN_ID, DOWN_ID, NEW_ID, Sizes, fill_sink, make_fixtures
from tests.bench.measuring import CommandFailed, Figures, Run, run_command
from tests.bench.peers import BUCKET, OURS, Tools, find_tools, versions
from tests.bench.report import as_record, print_record, write_json
from tests.bench.sink import client_environment, find_nginx, run_sink
from tests.bench.workloads import Workload, build_workloads

_QUICK = Sizes(200, 64 << 20, 64 << 20, 4, 16 << 20)


def main() -> None:
    """Measure what was asked for, print it, and write it where asked."""
    options = _parse()
    tools = find_tools(options.peers)
    if tools.missing:
        print(f"left out, not installed: {', '.join(tools.missing)}")
    nginx = find_nginx()
    if nginx is None:
        sys.exit("nginx is needed for the sink: apt-get install nginx-light, brew install nginx")
    facts = _facts(tools, options)
    for name, fact in facts.items():
        print(f"{name}: {fact}")
    sizes = _QUICK if options.quick else Sizes(large_bytes=int(options.large_gib * (1 << 30)))
    with ExitStack() as stack:
        made = tempfile.TemporaryDirectory(prefix="bench-", dir=options.dir)
        home = Path(stack.enter_context(made))
        files = make_fixtures(home, sizes)
        ids = {"new": NEW_ID, "again": AGAIN_ID, "down": DOWN_ID}
        sink = stack.enter_context(run_sink(nginx, home, ids, fill_sink(home, files)))
        environment = _environment(home) | client_environment(sink)
        where = sink.endpoint_url
        if options.latency_ms:
            port = int(where.rpartition(":")[2])
            delay = options.latency_ms / 1000
            delayed = stack.enter_context(run_delaying_proxy(port, delay))
            where = f"https://localhost:{delayed}"
            environment |= {"AWS_ENDPOINT_URL": where, "S3_ENDPOINT_URL": where}
        server = f"sink, {options.latency_ms} ms away" if options.latency_ms else "sink"
        workloads = build_workloads(tools, files, where, sink.ca_file, home)
        records = []
        for workload in workloads:
            if options.only and workload.name not in options.only:
                continue
            figures = _measure(workload, environment, options.repeat)
            records.append(as_record(workload, figures, server))
            print_record(records[-1])
    if options.json:
        write_json(options.json, facts, records)


def _measure(workload: Workload, environment: Mapping[str, str], repeat: int) -> dict[str, Figures]:
    """Run each tool once to warm up, then all in turn, each time another one first."""
    names = list(workload.commands)
    runs: dict[str, list[Run]] = {name: [] for name in names}
    for number in range(repeat + 1):
        first = number % len(names)
        for name in names[first:] + names[:first]:
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
    parser.add_argument("--large-gib", type=float, default=4.0)
    parser.add_argument("--quick", action="store_true", help="small sizes, to try the benchmark")
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--dir", type=Path, help="where the files go; the default is TMPDIR")
    return parser.parse_args()


if __name__ == "__main__":
    main()
