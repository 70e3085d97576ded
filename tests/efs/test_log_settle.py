"""The logs of a test that runs: never stored short, however long they pause."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.commands.running import Processes
from tests.support.proxy import faults
from tests.support.scene import Scene
from tests.support.stored.bench_tree import DAY, OLD_ID, BenchTree
from tests.support.stored.engine import impatient

Later = Callable[[timedelta], None]
LOG_NAMES = ("bench.log", "runner.log", "stderr.log", "stdout.log")


@pytest.fixture
def sync(tree: BenchTree) -> tuple[str, ...]:
    """The command with the default for logs; all other files settle at once."""
    return ("sync-efs", "--root", str(tree.root), "--settle", "0s")


@pytest.mark.parametrize("folder", ["raw", "raw/logs"])
def test_a_log_that_pauses_is_stored_in_whole_once_its_execution_is_finished(
    scene: Scene, tree: BenchTree, sync: tuple[str, ...], folder: str
) -> None:
    scene.cli("new", "--id", OLD_ID, "--runner-type", "onprem", "--bench-id", "b1").ok()
    logs = [tree.write(f"{folder}/{name}", b"waiting for the oven") for name in LOG_NAMES]
    tree.write("raw/deep/bench.log", b"no log of the layout")
    tree.write("raw/results.json", b"{}")
    first = scene.cli(*sync, "--json").ok().json_lines()
    assert first[-1]["pass"]["settling"] == 4
    others = {
        "artifacts/custom/deep/bench.log": b"no log of the layout",
        "artifacts/results.json": b"{}",
    }
    assert scene.files(OLD_ID) == others
    for log in logs:
        with log.open("ab") as file:
            file.write(b", and it is warm")
    scene.cli("finish", OLD_ID, "--result", "pass").ok()
    assert scene.record(OLD_ID)["artifact_status"] == "pending"
    scene.cli(*sync).ok()
    whole = b"waiting for the oven, and it is warm"
    assert scene.files(OLD_ID) == others | {f"logs/{name}": whole for name in LOG_NAMES}
    record = scene.record(OLD_ID)
    assert (record["artifact_status"], record["failures"]) == ("complete", [])


def test_a_log_of_an_execution_that_nobody_finishes_is_stored_after_an_hour_of_quiet(
    scene: Scene, tree: BenchTree, sync: tuple[str, ...], later: Later
) -> None:
    tree.write("raw/stdout.log", b"the last words")
    later(timedelta(minutes=59))
    assert "1 still being written" in scene.cli(*sync).ok().err
    assert scene.contents() == {}
    later(timedelta(minutes=61))
    scene.cli(*sync).ok()
    assert scene.files(OLD_ID) == {"logs/stdout.log": b"the last words"}
    assert scene.record(OLD_ID)["status"] == "running"


@pytest.mark.parametrize(("settle", "log_settle"), [("5m", "10m"), ("10m", "5m")])
def test_a_log_rests_for_the_longer_of_both_times(
    scene: Scene, tree: BenchTree, later: Later, settle: str, log_settle: str
) -> None:
    tree.write("raw/stdout.log", b"x")
    arguments = ("sync-efs", "--root", tree.root, "--settle", settle, "--log-settle", log_settle)
    later(timedelta(minutes=9))
    scene.cli(*arguments).ok()
    assert scene.files(OLD_ID) == {}
    later(timedelta(minutes=11))
    scene.cli(*arguments).ok()
    assert scene.files(OLD_ID) == {"logs/stdout.log": b"x"}


def test_a_log_of_a_finished_execution_settles_like_any_file(
    scene: Scene, tree: BenchTree, later: Later
) -> None:
    scene.cli("new", "--id", OLD_ID, "--runner-type", "onprem", "--bench-id", "b1").ok()
    scene.cli("finish", OLD_ID, "--result", "pass").ok()
    tree.write("raw/stdout.log", b"x")
    arguments = ("sync-efs", "--root", tree.root)
    assert "1 still being written" in scene.cli(*arguments).ok().err
    later(timedelta(minutes=2))
    scene.cli(*arguments).ok()
    assert scene.files(OLD_ID) == {"logs/stdout.log": b"x"}


def test_a_dry_run_takes_no_log_for_final(
    scene: Scene, tree: BenchTree, sync: tuple[str, ...]
) -> None:
    tree.write("raw/stdout.log")
    tree.write("raw/a.txt")
    planned = scene.cli(*sync, "--dry-run", "--json").ok().json_lines()
    waiting = [line["path"] for line in planned if line.get("outcome") == "settling"]
    assert waiting == ["logs/stdout.log"]
    assert [line["path"] for line in planned if "key" in line] == ["artifacts/custom/a.txt"]


def test_a_watch_stores_the_log_once_its_execution_is_finished(
    scene: Scene, cli_process: Processes, tree: BenchTree, sync: tuple[str, ...]
) -> None:
    scene.cli("new", "--id", OLD_ID, "--runner-type", "onprem", "--bench-id", "b1").ok()
    tree.write("raw/bench.log", b"x")
    process = cli_process.start(*sync, "--watch", "--interval", "20ms", "--json")
    assert process.stdout is not None
    for _ in range(6):
        assert b"created" not in process.stdout.readline().split(b'"pass"')[0]
    scene.cli("finish", OLD_ID, "--result", "pass").ok()
    deadline = time.monotonic() + 60
    while scene.record(OLD_ID)["artifact_status"] != "complete":
        assert time.monotonic() < deadline, "the log never came"
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert scene.files(OLD_ID) == {"logs/bench.log": b"x"}


class GoOn(faults.Answer):
    """Refuses a request, and lets the test go on writing to its log meanwhile."""

    def __init__(self, log: Path, written_at: float) -> None:
        super().__init__(500, "InternalError")
        self.log = log
        self.written_at = written_at

    def request_head(self, waiting: faults.Waiting) -> None:
        self.log.write_bytes(b"more than before")
        os.utime(self.log, (self.written_at, self.written_at))
        super().request_head(waiting)


def test_a_log_that_goes_on_after_a_failure_is_not_sent_again(
    scene: Scene,
    tree: BenchTree,
    sync: tuple[str, ...],
    later: Later,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    impatient(monkeypatch)
    log = tree.write("raw/stdout.log", b"before")
    # It has been quiet for a day, and goes on while it is sent.
    later(timedelta(days=1))
    scene.recorder.inject(GoOn(log, time.time() + DAY), "PutObject", nth=2, times=6)
    result = scene.cli(*sync, "--json").ok()
    assert result.json_lines()[-1]["pass"]["settling"] == 1
    assert scene.files(OLD_ID) == {}
    record = scene.record(OLD_ID)
    assert (record["artifact_status"], record["failures"]) == ("pending", [])
