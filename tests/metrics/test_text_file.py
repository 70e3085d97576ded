"""`--metrics-file`: what commands count, merged across runs and processes, and never in the way."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator_cli.core.base.errors import EXIT_CODES, REASONS, OrchestratorError
from orchestrator_cli.core.metrics.recorder import MetricsSnapshot
from orchestrator_cli.core.metrics.registry import FAILURES, METRICS, SIZE, MetricKind
from orchestrator_cli.core.metrics.text_file import add_to_file
from orchestrator_cli.core.metrics.totals import Totals, parse, render
from tests.files.flipping import flipping
from tests.support.commands.forkserver import ForkServer
from tests.support.commands.running import process_environment
from tests.support.proxy import faults
from tests.support.scene import Scene
from tests.support.stored.bench_tree import watching_line
from tests.support.stored.engine import PART, content
from tests.support.stored.samples import Samples, parse_samples


def samples(path: Path) -> Samples:
    return parse_samples(path.read_text())


def value(path: Path, name: str, **labels: str) -> float:
    return samples(path)[name, tuple(sorted(labels.items()))]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "metrics" / "orchestrator.prom"


@pytest.fixture(autouse=True)
def _directory(file: Path) -> None:
    file.parent.mkdir()


def test_an_upload_counts_its_files(scene: Scene, file: Path) -> None:
    tree = scene.directory / "tree"
    tree.mkdir()
    for number in range(3):
        (tree / f"{number}.txt").write_bytes(b"x" * 2000)
    execution_id = scene.new_execution()
    scene.cli("upload", execution_id, tree, "--metrics-file", file).ok()
    created = {"command": "upload", "outcome": "created"}
    assert value(file, "artifact_size_bytes_count", **created) == 3
    assert value(file, "artifact_size_bytes_sum", **created) == 6000
    assert value(file, "artifact_size_bytes_bucket", le="1024.0", **created) == 0
    assert value(file, "artifact_size_bytes_bucket", le="4096.0", **created) == 3
    assert value(file, "artifact_upload_duration_count", **created) == 3
    assert 0 < value(file, "artifact_upload_duration_sum", **created) < 300
    # A first failure shows as an increase only after a zero.
    for reason in REASONS.values():
        assert value(file, "artifact_failures_total", command="upload", reason=reason) == 0

    scene.cli(
        "upload", execution_id, tree, env={"ORCHESTRATOR_UPLOAD_METRICS_FILE": str(file)}
    ).ok()
    assert value(file, "artifact_size_bytes_count", **created) == 3
    again = {"command": "upload", "outcome": "identical"}
    assert value(file, "artifact_size_bytes_count", **again) == 3


def test_runs_add_up(scene: Scene, file: Path) -> None:
    execution_id = scene.new_execution()
    for number in range(2):
        source = scene.directory / f"{number}.txt"
        source.write_text("new")
        scene.cli("upload", execution_id, source, "--metrics-file", file).ok()
    created = {"command": "upload", "outcome": "created"}
    assert value(file, "artifact_upload_duration_count", **created) == 2
    assert value(file, "artifact_upload_duration_bucket", le="+Inf", **created) == 2


def test_failures_count_by_reason(scene: Scene, file: Path) -> None:
    execution_id = scene.new_execution()
    source = scene.directory / "a.txt"
    source.write_text("one")
    scene.cli("upload", execution_id, source).ok()
    source.write_text("two")
    scene.cli("upload", execution_id, source, "--metrics-file", file).expect(6)
    assert value(file, "artifact_failures_total", command="upload", reason="conflict") == 1
    assert str(source) not in file.read_text()


def test_retries_are_counted(scene: Scene, file: Path) -> None:
    execution_id = scene.new_execution()
    source = scene.directory / "a.txt"
    source.write_text("one")
    scene.recorder.inject(faults.slow_down(), "PutObject")
    scene.cli("upload", execution_id, source, "--metrics-file", file).ok()
    assert value(file, "artifact_retries_total", command="upload", reason="unavailable") == 1


def test_a_stream_is_measured(scene: Scene, file: Path) -> None:
    execution_id = scene.new_execution()
    name = ("--name", "stdout.log", "--metrics-file", file)
    scene.cli("upload", execution_id, "-", *name, stdin=b"abc").ok()
    created = {"command": "upload", "outcome": "created"}
    assert value(file, "artifact_size_bytes_sum", **created) == 3


def test_a_run_counts_and_keeps_its_code(scene: Scene, forks: ForkServer, file: Path) -> None:
    script = f"echo out; until [ -e {scene.directory}/go ]; do sleep 0.05; done; exit 7"
    line = ("run", "--live", "0.2s", "--metrics-file", str(file), "--", "sh", "-c", script)
    running = forks.start(*line)
    # Its streams are read from then on.
    scene.recorder.wait_for(lambda made: any(one.key.startswith("live/") for one in made), 90)
    (scene.directory / "go").touch()
    running.wait(60).expect(7)
    created = {"command": "run", "outcome": "created"}
    # Standard output, standard error and runner.log.
    assert value(file, "artifact_size_bytes_count", **created) == 3
    # The streams are not timed.
    assert value(file, "artifact_upload_duration_count", **created) <= 1


def test_a_sync_tells_its_backlog(scene: Scene, raw: Path, file: Path) -> None:
    (raw / "old.txt").write_text("old")
    (raw / "fresh.txt").write_text("fresh")
    line = ("sync-efs", "--root", scene.directory / "efs", "--keep", "--metrics-file", file)
    scene.cli(*line, "--settle", "1d").ok()
    assert value(file, "efs_sync_backlog_files") == 2
    assert value(file, "efs_sync_last_pass_timestamp_seconds") > 1_700_000_000
    assert not any(name.startswith("artifact_size") for name, _ in samples(file))
    # A gauge is replaced.
    scene.cli(*line, "--settle", "0s").ok()
    assert value(file, "efs_sync_backlog_files") == 0
    created = {"command": "sync-efs", "outcome": "created"}
    assert value(file, "artifact_size_bytes_count", **created) == 2


def test_a_watch_writes_after_each_pass(
    scene: Scene, raw: Path, forks: ForkServer, file: Path
) -> None:
    watching = forks.start(*watching_line(scene.directory / "efs", "--metrics-file", str(file)))
    created = {"command": "sync-efs", "outcome": "created"}
    series = ("artifact_size_bytes_count", tuple(sorted(created.items())))
    for number in (1, 2):
        # Renamed into place, so that no pass finds it half written.
        (scene.directory / "new").write_text("new")
        (scene.directory / "new").rename(raw / f"{number}.txt")
        given_up_at = time.monotonic() + 60
        while not file.exists() or samples(file).get(series) != number:
            assert time.monotonic() < given_up_at, file.exists() and samples(file)
            time.sleep(0.05)
    watching.signal(signal.SIGTERM)
    watching.wait(60).expect(0)
    assert value(file, "artifact_size_bytes_count", **created) == 2


@pytest.mark.parametrize(
    "damaged",
    [
        b"other_metric_total 3\n",
        b'artifact_failures_total{command="upload"} 3\n',
        b"# TYPE artifact_failures_total gauge\nartifact_failures_total 3\n",
        b'# TYPE artifact_failures_total counter\nartifact_failures_total{command="a"',
        b"\xff\xfe\n",
        b"{\n",
    ],
)
def test_a_foreign_file_is_left_and_told(scene: Scene, file: Path, damaged: bytes) -> None:
    file.write_bytes(damaged)
    source = scene.directory / "a.txt"
    source.write_text("one")
    result = scene.cli("upload", scene.new_execution(), source, "--metrics-file", file).ok()
    assert f"warning: metrics: {file} holds what orchestrator did not write" in result.err
    assert file.read_bytes() == damaged


def test_a_file_that_cannot_be_written_changes_no_exit_code(scene: Scene) -> None:
    source = scene.directory / "a.txt"
    source.write_text("one")
    nowhere = scene.directory / "missing" / "a.prom"
    result = scene.cli("upload", scene.new_execution(), source, "--metrics-file", nowhere).ok()
    assert f"warning: metrics: cannot write {nowhere}: No such file" in result.err


def test_a_missing_extra_is_told_before_anything_is_sent(
    scene: Scene, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    before = scene.recorder.count()
    result = scene.cli("upload", "@latest", ".", "--metrics-file", file).expect(2)
    assert "pip install 'orchestrator-cli[metrics]'" in result.err
    assert scene.recorder.count() == before


def test_without_the_option_nothing_is_imported(scene: Scene) -> None:
    probe = (
        "import sys; from orchestrator_cli.cli.main import main\n"
        "try: main(['upload', sys.argv[1], '.'])\n"
        "except SystemExit: pass\n"
        "heavy = {'prometheus_client', 'opentelemetry', 'orchestrator_cli.core.metrics.registry'}\n"
        "loaded = heavy & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    (scene.directory / "a.txt").write_text("one")
    line = [sys.executable, "-c", probe, scene.new_execution()]
    subprocess.run(
        line, env=process_environment(None), check=True, timeout=100, cwd=scene.directory
    )


ADD = """
import sys
from pathlib import Path
from orchestrator_cli.core.metrics.recorder import MetricsSnapshot
from orchestrator_cli.core.metrics.registry import FAILURES, SIZE
from orchestrator_cli.core.metrics.text_file import add_to_file
for _ in range(int(sys.argv[2])):
    measured = MetricsSnapshot()
    measured.count(FAILURES, ("upload", "access"))
    measured.observe(SIZE, ("upload", "created"), 5)
    add_to_file(Path(sys.argv[1]), measured)
    print("added", flush=True)
"""


def test_processes_at_once_lose_no_count(file: Path) -> None:
    line = [sys.executable, "-c", ADD, str(file), "10"]

    def add(_: int) -> int:
        return subprocess.run(line, check=False, timeout=100, capture_output=True).returncode

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(add, range(4))) == [0] * 4
    assert value(file, "artifact_failures_total", command="upload", reason="access") == 40
    assert value(file, "artifact_size_bytes_sum", command="upload", outcome="created") == 200


def test_a_killed_writer_leaves_a_whole_file(file: Path) -> None:
    line = [sys.executable, "-c", ADD, str(file), "100000"]
    for _ in range(3):
        with subprocess.Popen(line, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(5):
                assert writer.stdout.readline()
            writer.kill()
        parse(file.read_text())
    # What the killed one held, lock or half a file, is in nobody's way.
    add_to_file(file, MetricsSnapshot())


def test_a_lock_that_is_never_given_back_ends_in_an_error(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator_cli.core.metrics.text_file._LOCK_SECONDS", 0.1)
    with open(file.with_name(f".{file.name}.lock"), "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(OrchestratorError, match="cannot write"):
            add_to_file(file, MetricsSnapshot())


@pytest.mark.parametrize("name", [".{}.lock", ".{}.new", "{}"])
@pytest.mark.parametrize("target", ["victim", "nowhere"])
def test_links_that_others_have_planted_are_not_written_through(
    file: Path, name: str, target: str
) -> None:
    victim = file.parent / "victim"
    victim.write_text("kept")
    planted = file.with_name(name.format(file.name))
    planted.symlink_to(target)
    with contextlib.suppress(OrchestratorError):
        add_to_file(file, MetricsSnapshot())
    assert victim.read_text() == "kept"
    assert not (file.parent / "nowhere").exists()
    assert planted.readlink() == Path(target)


@pytest.mark.parametrize("name", [".{}.lock", "{}"])
def test_a_fifo_in_the_place_of_a_file_ends_in_an_error(file: Path, name: str) -> None:
    os.mkfifo(file.with_name(name.format(file.name)))
    with pytest.raises(OrchestratorError, match="not a regular file"):
        add_to_file(file, MetricsSnapshot())


def test_a_link_that_comes_and_goes_is_never_written_through(file: Path) -> None:
    victim = file.parent / "victim"
    victim.write_text("kept")
    for name in (file.name, f".{file.name}.lock"):
        file.with_name(name).touch()
        file.with_name("link").symlink_to("victim")
        with flipping(file.parent, name, "link"):
            for _ in range(300):
                with contextlib.suppress(OrchestratorError):
                    add_to_file(file, MetricsSnapshot())
                assert victim.read_text() == "kept"
        for left in file.parent.iterdir():
            if left != victim:
                left.unlink()


def test_others_may_read_the_file(file: Path) -> None:
    before = os.umask(0o022)
    try:
        add_to_file(file, MetricsSnapshot())
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


def test_what_is_written_is_read_back() -> None:
    measured = MetricsSnapshot()
    measured.count(FAILURES, ("run", 'a"b\\\n'), 3)
    measured.observe(SIZE, ("run", "created"), 1e20)
    measured.observe(SIZE, ("run", "created"), 0)
    totals = Totals()
    totals.add(measured)
    assert parse(render(totals).decode()) == totals
    assert MetricsSnapshot.from_list(json.loads(json.dumps(measured.to_list()))) == measured


def test_names_and_reasons_are_closed() -> None:
    assert len(set(REASONS.values())) == len(EXIT_CODES) - 1
    for metric in METRICS:
        assert metric.name.endswith("_total") == (metric.kind is MetricKind.COUNTER)
        assert list(metric.buckets) == sorted(metric.buckets)
        assert not set(metric.labels) - {"command", "outcome", "reason"}


def test_resumed_bytes_are_counted(scene: Scene, file: Path) -> None:
    source = scene.directory / "large.bin"
    source.write_bytes(content(2 * PART + 5))
    execution_id = scene.new_execution()
    scene.recorder.inject(faults.access_denied(), "CompleteMultipartUpload")
    scene.cli("upload", execution_id, source, "--metrics-file", file).expect(5)
    assert value(file, "artifact_failures_total", command="upload", reason="access") == 1
    scene.cli("upload", execution_id, source, "--metrics-file", file).ok()
    assert value(file, "artifact_resumed_bytes_total", command="upload") == 2 * PART + 5
