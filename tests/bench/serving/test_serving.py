"""The benchmark of `orchestrator serve`, on a small scale; and the memory that requests leave."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator_cli.docgen.pages import benchmarks
from tests.bench.servers.nginx import find_nginx
from tests.bench.serving.load import Load, request_head, run_load
from tests.bench.serving.process import resident_mib
from tests.bench.serving.rows import Extent, build_kinds, run_setting
from tests.support.commands.running import PROJECT, process_environment
from tests.support.commands.serving import Serve

on_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="what a process uses is read from Linux' /proc"
)
with_nginx = pytest.mark.skipif(find_nginx() is None, reason="nginx is not installed")


@on_linux
@with_nginx
def test_every_kind_of_request_is_measured(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--only", "serve", "--quick", "--json", str(file)],
        cwd=PROJECT,
        env=process_environment(None),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (record,) = json.loads(file.read_text())["results"]
    assert (record["workload"], len(record["requests"])) == ("serve", 7)
    for name, one in record["requests"].items():
        assert 0 < one["p50_ms"] <= one["p99_ms"]
        assert one["per_second"] > 0
        assert (one["body_bytes"] > 0) == (name not in ("unchanged", "link to a log"))
        assert name in done.stdout
    sizes = {name: one["body_bytes"] for name, one in record["requests"].items()}
    assert sizes["in gzip"] < sizes["artifacts"] / 3
    assert record["requests"]["artifacts"]["server_cpu_ms"] > 0
    assert re.search(
        r"cores in use for artifacts: server [\d.]+, store [\d.]+, client", done.stdout
    )
    assert record["memory"]["requests"] == 600
    assert [one["target"] for one in record["targets"]] == [
        "artifacts a second ≥ 600",
        "memory grows ≤ 8 MiB",
    ]
    # The manual page shows it too.
    shown = benchmarks._describe(record)
    assert "Serve: 20 executions of 20 files" in shown
    assert re.search(r"\n    with a token +\d+ +[\d.]+ +[\d.]+ +[\d.]+\n", shown)
    assert "600 requests later" in shown


def test_the_load_is_what_was_asked_for(serve: Serve) -> None:
    port = serve().port
    heads = [request_head("/healthz"), request_head("/nothing", Accept_Encoding="gzip")]
    answers = run_load(Load(port, connections=3, requests=50, heads=heads))
    assert answers.statuses == {"200": 25, "404": 25}
    # Fewer requests than connections: the others are not made.
    answers = run_load(Load(port, connections=30, requests=2, heads=heads))
    assert answers.statuses == {"200": 1, "404": 1}
    # A connection that is not kept would make the next figure another one.
    with pytest.raises(subprocess.CalledProcessError):
        run_load(Load(port, 1, 2, ["GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n"]))


@on_linux
def test_requests_that_are_refused_leave_nothing(serve: Serve) -> None:
    """A leak of 400 bytes a request would be seen."""
    server = serve()
    paths = [f"/nothing/{number}" for number in range(500)]
    paths += [f"/executions/{number}" for number in range(500)]
    paths += [f"/executions?since={number}x" for number in range(500)]
    paths += ["/healthz", "/metrics", "/docs"]
    heads = [request_head(path) for path in paths]
    run_load(Load(server.port, 16, 2000, heads))
    before = resident_mib(server.process.pid)
    run_load(Load(server.port, 16, 5000, heads))
    assert resident_mib(server.process.pid) - before < 2


@on_linux
@with_nginx
@pytest.mark.slow
def test_requests_that_are_answered_leave_nothing(tmp_path: Path) -> None:
    """A leak of 1 KiB a request would be seen."""
    nginx = find_nginx()
    assert nginx is not None
    with run_setting(nginx, tmp_path, Extent(executions=100)) as setting:
        kinds = [one for one in build_kinds(setting) if one.serving is setting.open]
        # Each kind in turn, so that each connection sees all of them.
        heads = [kind.heads[number % len(kind.heads)] for number in range(100) for kind in kinds]
        load = Load(setting.open.port, 16, 1500, heads)
        assert run_load(load).statuses.keys() == {"200", "304", "307"}
        before = resident_mib(setting.open.pid)
        for _ in range(2):
            run_load(load)
        assert resident_mib(setting.open.pid) - before < 2.7
