"""The benchmark's own arithmetic, and a run of it on small sizes where nginx is there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.measuring import CommandFailed, Figures, Run, run_command
from tests.bench.options import OWN_SERVER, WORKLOADS
from tests.bench.report import judge, write_json
from tests.bench.sink import find_nginx
from tests.bench.workloads import Target
from tests.support.running import PROJECT, process_environment

OURS = Figures(1.0, 0.5, 100, 0.9, 1.2)
PEER = Figures(2.0, 0.4, 50, 1.9, 2.2)


def test_figures_are_medians() -> None:
    figures = Figures.of([Run(3.0, 1.0, 2048), Run(1.0, 5.0, 1024), Run(2.0, 2.0, 1024)])
    assert figures == Figures(2.0, 2.0, 2.0, 1.0, 3.0)


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


def test_the_processes_of_a_command_are_measured() -> None:
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'sum(range(10**6))'])"
    run = run_command([sys.executable, "-c", script], process_environment(None))
    assert run.cpu_seconds > 0
    assert run.peak_kib > 1024
    with pytest.raises(CommandFailed, match="exit 3"):
        run_command([sys.executable, "-c", "raise SystemExit(3)"], process_environment(None))
    with pytest.raises(CommandFailed, match="No such file"):
        run_command(["/nonexistent"], process_environment(None))


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


@pytest.mark.skipif(find_nginx() is None, reason="nginx is not installed")
def test_this_tool_alone_against_the_sink(tmp_path: Path) -> None:
    """Every workload ends well, without peers: they are not there in the tests."""
    file = tmp_path / "results.json"
    quick = ("--quick", "--repeat", "1", "--peers", "/nonexistent", "--json", str(file))
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
    results = json.loads(file.read_text())["results"]
    assert [one["workload"] for one in results] == list(WORKLOADS)
    assert all(one["tools"].keys() >= {"orchestrator"} for one in results if "tools" in one)
    others = {one["workload"]: one["targets"] for one in results if one["workload"] in OWN_SERVER}
    assert others["ls"] == [
        {"target": "requests ≤ 1 × that hour alone", "measured": 1.0, "met": True}
    ]
    assert others["resume"][0]["target"] == "sent again ≤ 1 × parts in flight"
    assert others["resume"][0]["met"]
