"""The benchmark's own arithmetic, and a run of it on small sizes where nginx is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import pytest

from orchestrator_cli.docgen.pages.benchmarks import fill_placeholders
from tests.bench.measuring.command import CommandFailed, Figures, Run, run_command
from tests.bench.measuring.report import judge, write_json
from tests.bench.measuring.workload import Target
from tests.bench.options import OWN_SERVER, WORKLOADS
from tests.bench.servers.nginx import find_nginx
from tests.support.commands.running import PROJECT, process_environment

OURS = Figures(1.0, 0.5, 100, 0.9, 1.2)
PEER = Figures(2.0, 0.4, 50, 1.9, 2.2)
with_nginx = pytest.mark.skipif(find_nginx() is None, reason="nginx is not installed")
PAGE = {"ls", "machine", "beside", "targets", "boto3"}


def run_bench(directory: Path, *options: str) -> list[dict[str, Any]]:
    """Run the benchmark on small sizes, once and without peers, and return the results."""
    file, peers = directory / "results.json", str(directory / "missing")
    quick = ["--quick", "--repeat", "1", "--peers", peers, "--json", str(file), *options]
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", *quick],
        cwd=PROJECT,
        env=process_environment(None),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "left out, not installed: aws, boto3, rclone, s5cmd" in done.stdout
    results: list[dict[str, Any]] = json.loads(file.read_text())["results"]
    return results


def test_figures_are_medians() -> None:
    figures = Figures.of([Run(3.0, 1.0, 2048), Run(1.0, 5.0, 1024), Run(2.0, 2.0, 1024)])
    assert figures == Figures(2.0, 2.0, 2.0, 1.0, 3.0, runs=3)


@pytest.mark.parametrize(
    ("target", "value", "met"),
    [
        (Target("wall_seconds", "s5cmd", 0.6), 0.5, True),
        (Target("cpu_seconds", "s5cmd", 1.0), 1.25, False),
        (Target("peak_mib", None, 100), 100, True),
        (Target("peak_mib", None, 99), 100, False),
    ],
)
def test_a_target_is_judged(target: Target, value: float, met: bool) -> None:
    verdict = judge(target, {"orchestrator": OURS, "s5cmd": PEER})
    assert verdict is not None
    assert verdict.value == pytest.approx(value)
    assert verdict.met is met


def test_a_peer_that_is_missing_is_not_judged() -> None:
    assert judge(Target("wall_seconds", "s5cmd", 0.6), {"orchestrator": OURS}) is None


def test_the_processes_of_a_command_are_measured(tmp_path: Path) -> None:
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'sum(range(10**6))'])"
    run = run_command([sys.executable, "-c", script], process_environment(None))
    assert run.cpu_seconds > 0
    assert run.peak_kib > 1024
    with pytest.raises(CommandFailed, match="exit 3"):
        run_command([sys.executable, "-c", "raise SystemExit(3)"], process_environment(None))
    with pytest.raises(CommandFailed, match="No such file"):
        run_command([str(tmp_path / "missing")], process_environment(None))


def test_what_the_benchmark_holds_is_not_counted() -> None:
    """The kernel counts what was held before the program was loaded: that must be next to none."""
    held = b"x" * (200 << 20)
    run = run_command([sys.executable, "-S", "-c", "pass"], process_environment(None))
    assert len(held) > run.peak_kib * 1024 * 5


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc to look at")
def test_what_a_tree_holds_is_added_up() -> None:
    script = "import subprocess, sys, time; held = b'x' * (50 << 20)\nif sys.argv[1:]: subprocess"
    script += ".run([sys.executable, '-c', *sys.argv[1:]])\ntime.sleep(0.5)"
    run = run_command([sys.executable, "-c", script, script], process_environment(None))
    assert run.peak_kib > 100 << 10


def test_results_of_one_machine_are_kept_together(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    first, second = ({"workload": name, "server": "sink"} for name in ("a", "b"))
    write_json(file, {"cpu": "x"}, [first, second])
    write_json(file, {"cpu": "x"}, [{**first, "new": 1}])
    assert json.loads(file.read_text())["results"] == [second, {**first, "new": 1}]
    write_json(file, {"cpu": "y"}, [first])
    assert json.loads(file.read_text())["results"] == [first]


@with_nginx
def test_what_is_stopped_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.bench", "--only", "log-small", "--repeat", "1000"]
    command += ["--peers", str(tmp_path / "missing"), "--dir", str(tmp_path)]
    environment = process_environment(None)
    with subprocess.Popen(command, cwd=PROJECT, env=environment, stderr=subprocess.PIPE) as bench:
        # The file is there before the number is in it.
        nginx = ""
        while not nginx:
            assert bench.poll() is None
            time.sleep(0.05)
            nginx = "".join(one.read_text() for one in tmp_path.glob("bench-*/sink.pid"))
        bench.terminate()
        assert bench.wait(60) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(int(nginx), 0)
    assert list(tmp_path.iterdir()) == []


@with_nginx
def test_every_workload_ends_well_without_peers(tmp_path: Path) -> None:
    """Every workload ends well, without peers: they are not there in the tests.

    But `serve`, which has a test of its own.
    """
    chosen = [name for name in WORKLOADS if name != "serve"]
    results = run_bench(tmp_path, "--only", ",".join(chosen))
    assert list(dict.fromkeys(one["workload"] for one in results)) == chosen
    assert all(one["tools"].keys() >= {"orchestrator"} for one in results if "tools" in one)
    others = {one["workload"]: one["targets"] for one in results if one["workload"] in OWN_SERVER}
    assert others["ls"] == [
        {"target": "requests ≤ 1 × that hour alone", "measured": 1.0, "met": True}
    ]
    assert others["resume"][0]["target"] == "sent again ≤ 1 × parts in flight"
    assert others["resume"][0]["met"]
    slow = [one["server"] for one in results if one["workload"] == "slow-upload"]
    assert slow == ["sink, 0.03 s a response", "sink, 0.15 s a response"]
    (records,) = [one for one in results if one["workload"] == "ls-records"]
    # One listing, and each record once.
    assert records["tools"]["orchestrator"]["more"] == {"requests": 501}
    assert [one["target"] for one in records["targets"]] == [
        "CPU ≤ 1.5 s",
        "memory ≤ 1.1 × 200 of them",
    ]


@with_nginx
def test_how_cost_grows_is_measured(tmp_path: Path) -> None:
    results = run_bench(tmp_path, "--scale", "--dir", str(tmp_path))
    assert [one["workload"] for one in results] == ["scale-files", "scale-bytes", "scale-most"]
    assert results[-1]["tools"].keys() == {"orchestrator", "again"}
    assert [one["target"] for one in results[-1]["targets"]] == ["memory ≤ 100 MiB"]
    assert results[-1]["targets"][0]["met"]


def test_every_workload_has_its_place_on_the_page() -> None:
    """The text of the page speaks of each; one that is not measured yet says so."""
    source = resources.files("orchestrator_cli.docgen").joinpath("text", "benchmarks.md")
    places = set(Template(source.read_text(encoding="utf-8")).get_identifiers())
    tools = {"orchestrator": asdict(OURS), "s5cmd": asdict(PEER)}
    results: list[Any] = [
        {"workload": name, "says": "x", "server": server, "tools": tools, "targets": []}
        for name in (*WORKLOADS, "scale-files", "scale-bytes", "scale-most")
        for server in ("sink", "sink, 50 ms away")
    ]
    shown = fill_placeholders({"facts": {}, "results": results}, places)
    assert shown.keys() == places
    assert "1.00     0.90–1.20    0.50  100" in shown["ls"]
    assert shown["ls"].count("s5cmd") == 2
    lines = [line.split() for line in shown["beside"].splitlines()[:3]]
    far = ["serve,", "50", "ms", "away", "0.50x", "1.25x"]
    assert lines == [["wall", "CPU"], ["serve", "0.50x", "1.25x"], far]
    empty = fill_placeholders({"facts": {}, "results": []}, places)
    assert empty["ls_records"].strip() == "ls-records: not measured"
    with pytest.raises(ValueError, match="no placeholder for ls"):
        fill_placeholders({"facts": {}, "results": results}, places - {"ls"})


def test_the_page_shows_what_else_was_measured() -> None:
    figures = Figures.of([Run(1.0, 1.0, 1024)] * 2, [{"requests": 3.0}, {"requests": 5.0}])
    assert (figures.more, figures.runs) == ({"requests": 4.0}, 2)
    record = {"workload": "ls", "says": "x", "server": "y", "targets": []}
    one = fill_placeholders(
        {"facts": {}, "results": [record | {"tools": {"a": asdict(figures)}}]}, PAGE
    )
    assert "requests\n" in one["ls"]
    assert one["ls"].endswith("4.00")
    more = {"tools": {"a": asdict(OURS) | {"more": {"sent": 1, "kept": 2}}, "b": asdict(PEER)}}
    lines = fill_placeholders({"facts": {}, "results": [record | more]}, PAGE)["ls"].splitlines()
    assert [line.split() for line in lines[-3:]] == [["a", "b"], ["sent", "1.00"], ["kept", "2.00"]]
