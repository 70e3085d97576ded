"""The logs of a test that runs: never stored short, however long they pause."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import faults
from tests.support.bench_tree import DAY, OLD_ID, BenchTree
from tests.support.engine import impatient
from tests.support.executions import read_record
from tests.support.objects import bucket_contents
from tests.support.proxy import Proxy
from tests.support.running import Processes, RunCommand

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Later = Callable[[timedelta], None]
LOG_NAMES = ("bench.log", "runner.log", "stderr.log", "stdout.log")


def stored(s3: S3Client, bucket: str) -> dict[str, bytes]:
    prefix = f"executions/{OLD_ID}/"
    found = bucket_contents(s3, bucket, prefix)
    return {key.removeprefix(prefix): data for key, data in found.items() if "metadata" not in key}


@pytest.fixture
def sync(tree: BenchTree) -> tuple[str, ...]:
    """The command with the default for logs; all other files settle at once."""
    return ("sync-efs", "--root", str(tree.root), "--settle", "0s")


@pytest.mark.parametrize("folder", ["raw", "raw/logs"])
def test_a_log_that_pauses_is_stored_in_whole_once_its_execution_is_finished(
    cli: RunCommand,
    tree: BenchTree,
    sync: tuple[str, ...],
    s3: S3Client,
    bucket: str,
    folder: str,
) -> None:
    cli("new", "--id", OLD_ID, "--runner-type", "onprem", "--bench-id", "b1").ok()
    logs = [tree.write(f"{folder}/{name}", b"waiting for the oven") for name in LOG_NAMES]
    tree.write("raw/deep/bench.log", b"no log of the layout")
    tree.write("raw/results.json", b"{}")
    first = cli(*sync, "--json").ok().json_lines()
    assert first[-1]["pass"]["settling"] == 4
    others = {
        "artifacts/custom/deep/bench.log": b"no log of the layout",
        "artifacts/results.json": b"{}",
    }
    assert stored(s3, bucket) == others
    for log in logs:
        with log.open("ab") as file:
            file.write(b", and it is warm")
    cli("finish", OLD_ID, "--result", "pass").ok()
    assert read_record(s3, bucket, OLD_ID)["artifact_status"] == "pending"
    cli(*sync).ok()
    whole = b"waiting for the oven, and it is warm"
    assert stored(s3, bucket) == others | {f"logs/{name}": whole for name in LOG_NAMES}
    record = read_record(s3, bucket, OLD_ID)
    assert (record["artifact_status"], record["failures"]) == ("complete", [])


def test_a_log_of_an_execution_that_nobody_finishes_is_stored_after_an_hour_of_quiet(
    cli: RunCommand,
    tree: BenchTree,
    sync: tuple[str, ...],
    later: Later,
    s3: S3Client,
    bucket: str,
) -> None:
    tree.write("raw/stdout.log", b"the last words")
    later(timedelta(minutes=59))
    assert "1 still being written" in cli(*sync).ok().err
    assert bucket_contents(s3, bucket) == {}
    later(timedelta(minutes=61))
    cli(*sync).ok()
    assert stored(s3, bucket) == {"logs/stdout.log": b"the last words"}
    assert read_record(s3, bucket, OLD_ID)["status"] == "running"


@pytest.mark.parametrize(("settle", "log_settle"), [("5m", "10m"), ("10m", "5m")])
def test_a_log_rests_for_the_longer_of_both_times(
    cli: RunCommand,
    tree: BenchTree,
    later: Later,
    s3: S3Client,
    bucket: str,
    settle: str,
    log_settle: str,
) -> None:
    tree.write("raw/stdout.log", b"x")
    arguments = ("sync-efs", "--root", tree.root, "--settle", settle, "--log-settle", log_settle)
    later(timedelta(minutes=9))
    cli(*arguments).ok()
    assert stored(s3, bucket) == {}
    later(timedelta(minutes=11))
    cli(*arguments).ok()
    assert stored(s3, bucket) == {"logs/stdout.log": b"x"}


def test_a_log_of_a_finished_execution_settles_like_any_file(
    cli: RunCommand, tree: BenchTree, later: Later, s3: S3Client, bucket: str
) -> None:
    cli("new", "--id", OLD_ID, "--runner-type", "onprem", "--bench-id", "b1").ok()
    cli("finish", OLD_ID, "--result", "pass").ok()
    tree.write("raw/stdout.log", b"x")
    arguments = ("sync-efs", "--root", tree.root)
    assert "1 still being written" in cli(*arguments).ok().err
    later(timedelta(minutes=2))
    cli(*arguments).ok()
    assert stored(s3, bucket) == {"logs/stdout.log": b"x"}


def test_a_dry_run_takes_no_log_for_final(
    cli: RunCommand, tree: BenchTree, sync: tuple[str, ...], bucket: str
) -> None:
    tree.write("raw/stdout.log")
    tree.write("raw/a.txt")
    planned = cli(*sync, "--dry-run", "--json").ok().json_lines()
    waiting = [line["path"] for line in planned if line.get("outcome") == "settling"]
    assert waiting == ["logs/stdout.log"]
    assert [line["path"] for line in planned if "key" in line] == ["artifacts/custom/a.txt"]


def test_a_watch_stores_the_log_once_its_execution_is_finished(
    cli: RunCommand,
    cli_process: Processes,
    tree: BenchTree,
    sync: tuple[str, ...],
    s3: S3Client,
    bucket: str,
) -> None:
    cli("new", "--id", OLD_ID, "--runner-type", "onprem", "--bench-id", "b1").ok()
    tree.write("raw/bench.log", b"x")
    process = cli_process.start(*sync, "--watch", "--interval", "20ms", "--json")
    assert process.stdout is not None
    for _ in range(6):
        assert b"created" not in process.stdout.readline().split(b'"pass"')[0]
    cli("finish", OLD_ID, "--result", "pass").ok()
    deadline = time.monotonic() + 60
    while read_record(s3, bucket, OLD_ID)["artifact_status"] != "complete":
        assert time.monotonic() < deadline, "the log never came"
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert stored(s3, bucket) == {"logs/bench.log": b"x"}


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
    cli: RunCommand,
    tree: BenchTree,
    sync: tuple[str, ...],
    later: Later,
    recorder: Proxy,
    s3: S3Client,
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    impatient(monkeypatch)
    log = tree.write("raw/stdout.log", b"before")
    # It has been quiet for a day, and goes on while it is sent.
    later(timedelta(days=1))
    recorder.inject(GoOn(log, time.time() + DAY), "PutObject", nth=2, times=6)
    result = cli(*sync, "--json").ok()
    assert result.json_lines()[-1]["pass"]["settling"] == 1
    assert stored(s3, bucket) == {}
    record = read_record(s3, bucket, OLD_ID)
    assert (record["artifact_status"], record["failures"]) == ("pending", [])
