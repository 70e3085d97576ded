"""`sync-efs`: what is stored, what is left alone, what is deleted and when."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestrator_cli.core.files.directory import Directory
from tests.support.commands.forkserver import ForkServer
from tests.support.commands.running import Processes
from tests.support.proxy import faults
from tests.support.scene import Scene
from tests.support.stored.bench_tree import DAY, OLD_ID, OTHER_ID, BenchTree
from tests.support.stored.engine import PART, content, impatient

Later = Callable[[timedelta], None]
PREFIX = f"executions/{OLD_ID}/"


def outcomes(lines: list[Any]) -> dict[str, str]:
    return {Path(line["source"]).name: line["outcome"] for line in lines if "source" in line}


# --- storing -----------------------------------------------------------------------------


def test_everything_goes_where_upload_would_put_it(scene: Scene, tree: BenchTree) -> None:
    large = content(PART + 5)
    tree.write("raw/stdout.log", b"out")
    tree.write("raw/shot.png", b"png")
    tree.write("raw/deep/er/large.bin", large)
    tree.write("raw/results.json", b"{}", execution_id=OTHER_ID, bench_id="b2")
    tree.write("temp/scratch", b"never")
    result = scene.cli(*tree.arguments).ok()
    assert scene.files(OLD_ID) == {
        "logs/stdout.log": b"out",
        "artifacts/screenshots/shot.png": b"png",
        "artifacts/custom/deep/er/large.bin": large,
    }
    assert scene.files(OTHER_ID) == {"artifacts/results.json": b"{}"}
    assert result.out == ""
    assert "synced 2 executions: 4 created" in result.err
    record = scene.record(OTHER_ID)
    assert (record["bench_id"], record["runner_type"]) == ("b2", "onprem")
    assert (record["status"], record["result"]) == ("running", None)
    assert record["started_at"].startswith("2023-")
    assert "b1/" + OLD_ID + "/temp/scratch" in tree.names()


def test_a_known_execution_keeps_its_record(scene: Scene, tree: BenchTree) -> None:
    scene.cli("new", "--id", OLD_ID, "--suite", "smoke", "--bench-id", "b1").ok()
    before = scene.record(OLD_ID)
    tree.write("raw/a.txt")
    scene.cli(*tree.arguments).ok()
    assert scene.record(OLD_ID) == before


def test_a_finished_execution_gets_a_longer_manifest(scene: Scene, tree: BenchTree) -> None:
    scene.cli("new", "--id", OLD_ID, "--runner-type", "onprem").ok()
    scene.cli("finish", OLD_ID, "--result", "pass").ok()
    tree.write("raw/a.txt", b"late")
    scene.cli(*tree.arguments).ok()
    record = scene.record(OLD_ID)
    assert [item["path"] for item in record["artifacts"]] == ["artifacts/custom/a.txt"]
    assert record["artifact_status"] == "complete"


def test_only_the_named_bench_or_execution_is_synced(scene: Scene, tree: BenchTree) -> None:
    for bench in ("b1", "b2"):
        for execution_id in (OLD_ID[:-1] + bench[1], OTHER_ID[:-1] + "7" + ""):
            tree.write("raw/a.txt", execution_id=execution_id, bench_id=bench)
    scene.cli(*tree.arguments, "--bench", "b2", "--execution", OLD_ID[:-1] + "2").ok()
    assert scene.list_keys() == [
        f"executions/{OLD_ID[:-1]}2/artifacts/custom/a.txt",
        f"executions/{OLD_ID[:-1]}2/metadata.json",
    ]
    assert scene.cli(*tree.arguments, "--execution", "nonsense").expect(2).out == ""


def test_what_settles_is_left_for_later(scene: Scene, tree: BenchTree) -> None:
    tree.write("raw/a.txt")
    result = scene.cli("sync-efs", "--root", tree.root, "--settle", "1h", "--json").ok()
    lines = result.json_lines()
    assert outcomes(lines) == {"a.txt": "settling"}
    assert lines[-1]["pass"]["settling"] == 1
    assert scene.list_keys() == []


def test_a_clock_ahead_does_not_keep_a_file_forever(scene: Scene, tree: BenchTree) -> None:
    tree.write("raw/a.txt", age_seconds=-30 * DAY)
    scene.cli(*tree.arguments).ok()
    assert scene.files(OLD_ID) == {"artifacts/custom/a.txt": b"x"}


def test_a_second_sync_asks_for_no_file(scene: Scene, tree: BenchTree) -> None:
    for number in range(40):
        tree.write(f"raw/{number}.txt", b"%d" % number)
    tree.wait_until_older("raw/39.txt")  # what is no younger than its file is compared
    scene.cli(*tree.arguments).ok()
    scene.recorder.clear()
    result = scene.cli(*tree.arguments).ok()
    assert "0 created, 40 stored before" in result.err
    assert [one.operation for one in scene.recorder.calls()] == ["ListObjectsV2", "GetObject"]


def test_very_many_files_are_looked_up_page_by_page(
    scene: Scene, tree: BenchTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the tree holds, and what the bench has promised, is found as in one short listing."""
    monkeypatch.setattr("orchestrator_cli.core.efs.sync._MOST_HELD", 5)
    for name in [*(f"{number}.txt" for number in range(8)), "shot.png", "stdout.log"]:
        tree.write(f"raw/{name}", name.encode())
    files = [{"path": "7.txt", "size_bytes": 5}, {"path": "3.txt", "size_bytes": 4}]
    tree.write("execution.json", json.dumps({"result": "pass", "files": files}).encode())
    tree.wait_until_older("execution.json")
    first = scene.cli(*tree.arguments).expect(3).err
    scene.recorder.clear()
    second = scene.cli(*tree.arguments).expect(3).err
    # Whether it was stored in this pass or before.
    for told in (first, second):
        assert "/raw/3.txt: promised with 4 bytes, stored with 5" in told
        assert "7.txt" not in told
    assert "10 created, 0 stored before" in first
    assert "0 created, 10 stored before" in second
    # The beginning, each place where files are, with the record's, and once more what is promised.
    asked = scene.recorder.calls()
    assert [one.operation for one in asked].count("ListObjectsV2") == 6
    assert not [one for one in asked if "/artifacts/" in one.key or "/logs/" in one.key]


def test_strangers_are_reported_and_never_touched(
    scene: Scene, tree: BenchTree, later: Later
) -> None:
    later(timedelta(days=9))
    secret = scene.directory / "secret"
    secret.write_text("secret")
    tree.write("raw/a.txt")
    place = tree.directory()
    (place / "raw/link").symlink_to(secret)
    (place / "raw/inner").symlink_to("a.txt")
    (place / "raw/dirlink").symlink_to(scene.directory)
    os.mkfifo(place / "raw/fifo")
    (place / "notes").write_text("?")
    (tree.root / "b1/not-a-ulid").mkdir()
    (tree.root / "b1/not-a-ulid/raw").mkdir()
    (tree.root / "b1/not-a-ulid/raw/b.txt").write_text("b")
    (tree.root / "b1" / OTHER_ID).symlink_to(place)
    (tree.root / "stray.txt").write_text("s")
    (tree.root / "b9").symlink_to(tree.root / "b1")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(place / "raw")
        server.bind("sock")
        os.chdir(here)
    before = tree.names() - {f"b1/{OLD_ID}/raw/a.txt"}
    result = scene.cli(*tree.arguments, "--json").ok()
    found = outcomes(result.json_lines())
    assert found.pop("a.txt") in ("created", "deleted")
    assert found.pop(OTHER_ID) == "skipped"
    assert found == dict.fromkeys(
        [
            "link",
            "inner",
            "dirlink",
            "fifo",
            "sock",
            "notes",
            "not-a-ulid",
            "stray.txt",
            "b9",
        ],
        "skipped",
    )
    assert tree.names() == before
    assert scene.files(OLD_ID) == {"artifacts/custom/a.txt": b"x"}
    for name in found:
        assert f"{name}: " in result.err


def test_dry_run_changes_nothing(scene: Scene, tree: BenchTree, later: Later) -> None:
    later(timedelta(days=9))
    tree.write("raw/old.txt")
    tree.write("raw/new.txt", age_seconds=-9 * DAY)
    before = tree.names()
    result = scene.cli(*tree.arguments, "--dry-run").ok()
    assert result.err == "would store 2 files, 2 B, unless S3 has them\n"
    root = tree.arguments[: tree.arguments.index("--settle")]
    settling = scene.cli(*root, "--dry-run", "--settle", "99d").ok()
    assert settling.err == "would store 0 files, 0 B, unless S3 has them; 2 still being written\n"
    assert sorted(result.out.splitlines()) == [
        f"{tree.directory()}/raw/new.txt -> {PREFIX}artifacts/custom/new.txt",
        f"{tree.directory()}/raw/old.txt -> {PREFIX}artifacts/custom/old.txt, then delete it here",
    ]
    assert (scene.list_keys(), tree.names()) == ([], before)


def test_no_mount_is_told(scene: Scene) -> None:
    result = scene.cli("sync-efs", "--root", scene.directory / "nowhere").expect(4)
    assert f"cannot read {scene.directory / 'nowhere'}" in result.err
    assert result.out == ""


# --- deleting ----------------------------------------------------------------------------


def test_old_stored_files_go_and_then_their_directories(
    scene: Scene, tree: BenchTree, later: Later
) -> None:
    later(timedelta(days=8))
    tree.write("raw/deep/a.txt", b"a")
    tree.write("raw/b.txt", content(PART + 5))
    tree.write("temp/deep/c")
    result = scene.cli(*tree.arguments, "--json").ok()
    assert list(scene.files(OLD_ID)) == ["artifacts/custom/b.txt", "artifacts/custom/deep/a.txt"]
    assert tree.names() == {"b1"}
    assert result.json_lines()[-1]["pass"]["deleted"] == 2
    assert result.json_lines()[-1]["pass"]["deleted_bytes"] == PART + 6


def test_young_files_stay_until_their_time(scene: Scene, tree: BenchTree, later: Later) -> None:
    later(timedelta(days=8))
    young = tree.write("raw/young.txt", b"y", age_seconds=-2 * DAY)
    tree.write("raw/old.txt", b"o")
    tree.write("temp/c")
    scene.cli(*tree.arguments).ok()
    left = {f"b1/{OLD_ID}/{name}" for name in ("raw", "raw/young.txt", "temp", "temp/c")}
    assert tree.names() == {"b1", f"b1/{OLD_ID}"} | left
    assert "1 deleted" in scene.cli(*tree.arguments, "--retain", "5d").ok().err
    assert not young.exists()


def test_what_is_young_in_temp_keeps_the_execution(
    scene: Scene, tree: BenchTree, later: Later
) -> None:
    later(timedelta(days=8))
    tree.write("raw/a.txt")
    tree.write("temp/c", age_seconds=-2 * DAY)
    scene.cli(*tree.arguments).ok()
    assert {f"b1/{OLD_ID}/raw", f"b1/{OLD_ID}/temp/c"} <= tree.names()
    assert not tree.directory().joinpath("raw/a.txt").exists()


def test_keep_deletes_nothing(scene: Scene, tree: BenchTree, later: Later) -> None:
    later(timedelta(days=80))
    tree.write("raw/a.txt")
    before = tree.names()
    scene.cli(*tree.arguments, "--keep").ok()
    assert tree.names() == before
    assert scene.files(OLD_ID) == {"artifacts/custom/a.txt": b"x"}


def test_other_content_in_s3_keeps_the_local_file(
    scene: Scene, tree: BenchTree, later: Later
) -> None:
    later(timedelta(days=8))
    tree.write("raw/a.txt", b"mine")
    scene.put_file(OLD_ID, "artifacts/custom/a.txt", b"them")
    result = scene.cli(*tree.arguments).expect(6)
    assert "a.txt" in result.err
    assert f"b1/{OLD_ID}/raw/a.txt" in tree.names()
    assert scene.files(OLD_ID) == {"artifacts/custom/a.txt": b"them"}


def test_same_size_and_younger_in_s3_is_no_proof(scene: Scene, tree: BenchTree) -> None:
    """Size and time let a file rest; to delete it, its bytes are compared."""
    path = tree.write("raw/a.txt", b"mine")
    tree.wait_until_older("raw/a.txt")
    scene.put_file(OLD_ID, "artifacts/custom/a.txt", b"them")
    assert "1 stored before" in scene.cli(*tree.arguments).ok().err
    scene.cli(*tree.arguments, "--retain", "1ms").expect(6)
    record = scene.record(OLD_ID)
    assert record["artifact_status"] == "artifact_error"
    assert [one["path"] for one in record["failures"]] == ["artifacts/custom/a.txt"]
    assert path.read_bytes() == b"mine"


class Grow(faults.Fault):
    """Writes to a file while it is compared."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def request_head(self, waiting: object) -> None:
        with self.path.open("ab") as file:
            file.write(b"more")


def test_a_stored_file_that_cannot_be_deleted_is_no_lost_file(
    scene: Scene, tree: BenchTree, later: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, expected: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    later(timedelta(days=8))
    tree.write("raw/a.txt")
    with monkeypatch.context() as patch:
        patch.setattr(Directory, "remove_file", refuse)
        result = scene.cli(*tree.arguments, "--json").expect(3)
    assert "1 file is stored and could not be deleted here" in result.err
    assert "not stored" not in result.err
    *lines, totals = result.json_lines()
    assert outcomes(lines[-1:]) == {"a.txt": "not-deleted"}
    assert (totals["pass"]["undeleted"], totals["pass"]["failed"]) == (1, 0)
    assert scene.record(OLD_ID)["failures"] == []
    scene.cli(*tree.arguments).ok()
    assert tree.names() == {"b1"}


def test_a_file_that_grows_while_it_is_compared_stays(
    scene: Scene, tree: BenchTree, later: Later
) -> None:
    later(timedelta(days=8))
    path = tree.write("raw/a.txt", b"first")
    tree.wait_until_older("raw/a.txt")  # so that the look-up below is the one before the deletion
    scene.cli(*tree.arguments, "--keep").ok()
    scene.recorder.inject(Grow(path), "HeadObject", times=1)
    scene.cli(*tree.arguments)
    assert path.read_bytes() == b"firstmore"
    assert scene.files(OLD_ID) == {"artifacts/custom/a.txt": b"first"}


def test_a_file_that_is_gone_meanwhile_is_no_failure(
    scene: Scene, tree: BenchTree, later: Later
) -> None:
    """Another host syncs the same tree."""
    later(timedelta(days=8))
    paths = [tree.write(f"raw/{number}.txt") for number in range(3)]

    class Vanish(faults.Fault):
        def request_head(self, waiting: object) -> None:
            for path in paths:
                path.unlink(missing_ok=True)

    scene.recorder.inject(Vanish(), "ListObjectsV2", times=1)
    scene.cli(*tree.arguments).ok()
    assert read_nothing(tree)


def read_nothing(tree: BenchTree) -> bool:
    return not [name for name in tree.names() if name.endswith(".txt")]


# --- failures ----------------------------------------------------------------------------


def test_a_failure_marks_the_execution_until_the_file_is_stored(
    scene: Scene, tree: BenchTree, monkeypatch: pytest.MonkeyPatch, later: Later
) -> None:
    later(timedelta(days=8))
    impatient(monkeypatch)
    bad = tree.write("raw/bad\x01name.txt")
    result = scene.cli(*tree.arguments).expect(3)
    assert "1 failed; what is not stored stays where it is" in result.err
    assert scene.record(OLD_ID)["artifact_status"] == "artifact_error"
    good = tree.write("raw/good.txt")
    scene.cli(*tree.arguments).expect(3)
    record = scene.record(OLD_ID)
    assert record["artifact_status"] == "artifact_error"
    (failure,) = record["failures"]
    assert "bad" in failure["path"]
    assert bad.exists()
    assert not good.exists()
    bad.rename(bad.with_name("badname.txt"))
    scene.cli(*tree.arguments).ok()
    record = scene.record(OLD_ID)
    assert (record["artifact_status"], record["failures"]) == ("pending", [])
    assert set(scene.files(OLD_ID)) == {"artifacts/custom/good.txt", "artifacts/custom/badname.txt"}


def test_a_damaged_answer_is_tried_again(
    scene: Scene, tree: BenchTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)
    tree.write("raw/a.txt", b"data")
    scene.recorder.inject(faults.internal_error(), "PutObject", times=2)
    scene.cli(*tree.arguments).ok()
    assert scene.files(OLD_ID) == {"artifacts/custom/a.txt": b"data"}


def test_a_broken_record_does_not_stop_the_others(scene: Scene, tree: BenchTree) -> None:
    tree.write("raw/a.txt")
    tree.write("raw/a.txt", execution_id=OTHER_ID)
    scene.s3.put_object(Bucket=scene.bucket, Key=PREFIX + "metadata.json", Body=b"broken")
    result = scene.cli(*tree.arguments).expect(3)
    assert OLD_ID in result.err
    assert scene.files(OTHER_ID) == {"artifacts/custom/a.txt": b"x"}


def test_s3_that_is_away_deletes_nothing(
    scene: Scene, tree: BenchTree, monkeypatch: pytest.MonkeyPatch, later: Later
) -> None:
    later(timedelta(days=8))
    impatient(monkeypatch)
    tree.write("raw/a.txt")
    before = tree.names()
    scene.recorder.inject(faults.internal_error(), times=None)
    scene.cli(*tree.arguments).expect(9)
    assert tree.names() == before


# --- the record ----------------------------------------------------------------------------


def test_a_finished_execution_is_complete_once_its_tree_is_stored(
    scene: Scene, tree: BenchTree
) -> None:
    tree.write("raw/bench.log", b"all of it")
    scene.cli("new", "--id", OLD_ID, "--runner-type", "onprem", "--bench-id", "b1").ok()
    scene.cli("finish", OLD_ID, "--result", "pass").ok()
    assert scene.record(OLD_ID)["artifact_status"] == "pending"
    scene.cli(*tree.arguments).ok()
    record = scene.record(OLD_ID)
    assert (record["artifact_status"], record["artifact_count"]) == ("complete", 1)
    (line,) = scene.contents("history/").values()
    assert json.loads(line)["artifact_status"] == "complete"


@pytest.mark.parametrize("declared", ["--runner-type=onprem", "--bench-id=b1"])
def test_what_comes_after_all_was_stored_makes_it_incomplete_before_it_is_sent(
    scene: Scene, declared: str, tree: BenchTree
) -> None:
    """Whatever kills a pass then, the record never promised what it has not stored."""
    tree.write("raw/early.txt", b"early")
    scene.cli("new", "--id", OLD_ID, declared).ok()
    scene.cli("finish", OLD_ID, "--result", "pass").ok()
    assert scene.record(OLD_ID)["artifact_status"] == "pending"
    scene.cli(*tree.arguments).ok()
    assert scene.record(OLD_ID)["artifact_status"] == "complete"
    seen = []

    class Witness(faults.Fault):
        def request_head(self, waiting: faults.Waiting) -> None:
            seen.append(scene.record(OLD_ID)["artifact_status"])

    tree.write("raw/one.txt", b"one")
    tree.write("raw/two.bin", bytes(6 * 1024 * 1024))
    scene.recorder.inject(Witness(), "PutObject", key="/artifacts/", times=None)
    scene.cli(*tree.arguments).ok()
    assert set(seen) == {"pending"}
    record = scene.record(OLD_ID)
    assert (record["artifact_status"], record["artifact_count"]) == ("complete", 3)


def test_a_tree_that_was_stored_before_the_finish_is_complete_at_the_next_pass(
    scene: Scene, tree: BenchTree
) -> None:
    tree.write("raw/bench.log", b"all of it")
    scene.cli(*tree.arguments).ok()
    scene.cli("new", "--id", OLD_ID, "--suite", "smoke").ok()
    tree.write("raw/more.txt", b"written since")
    scene.cli("finish", OLD_ID, "--result", "fail").ok()
    assert scene.record(OLD_ID)["artifact_status"] == "pending"
    scene.cli(*tree.arguments).ok()
    record = scene.record(OLD_ID)
    assert (record["artifact_status"], record["test_suite"]) == ("complete", "smoke")


def test_a_file_that_is_still_written_keeps_a_finished_execution_pending(
    scene: Scene, tree: BenchTree
) -> None:
    tree.write("raw/bench.log", b"all of it")
    tree.write("raw/late.bin", b"half of", age_seconds=0)
    scene.cli("new", "--id", OLD_ID, "--runner-type", "onprem", "--bench-id", "b1").ok()
    scene.cli("finish", OLD_ID, "--result", "pass").ok()
    scene.cli("sync-efs", "--root", tree.root, "--settle", "1h").ok()
    assert scene.record(OLD_ID)["artifact_status"] == "pending"


def test_a_conflict_of_an_upload_stays_on_record_until_the_stored_content_comes_again(
    scene: Scene, tree: BenchTree
) -> None:
    """A sync that finds something under the name has not stored what was refused."""
    tree.write("raw/a.txt", b"a")
    scene.cli(*tree.arguments, "--keep").ok()
    scene.cli("finish", OLD_ID, "--result", "pass").ok()
    scene.cli(*tree.arguments, "--keep").ok()
    other = scene.write_tree({"b.txt": "first"}) / "b.txt"
    scene.cli("upload", OLD_ID, other).ok()
    other.write_text("other")
    assert "holds other content" in scene.cli("upload", OLD_ID, other).expect(6).err
    for _ in range(2):
        record = scene.record(OLD_ID)
        assert record["artifact_status"] == "artifact_error"
        assert [one["path"] for one in record["failures"]] == ["artifacts/custom/b.txt"]
        tree.write("raw/c.txt", b"c")
        scene.cli(*tree.arguments, "--keep").ok()
    other.write_text("first")
    scene.cli("upload", OLD_ID, other).ok()
    record = scene.record(OLD_ID)
    assert (record["artifact_status"], record["failures"]) == ("complete", [])


def test_a_conflict_is_a_failure_that_needs_a_person(scene: Scene, tree: BenchTree) -> None:
    tree.write("raw/bench.log", b"what the bench has")
    scene.cli("new", "--id", OLD_ID, "--runner-type", "onprem", "--bench-id", "b1").ok()
    scene.put_file(OLD_ID, "logs/bench.log", b"what S3 has")
    scene.cli("finish", OLD_ID, "--result", "pass").ok()
    for _ in range(2):
        assert "logs/bench.log" in scene.cli(*tree.arguments).expect(6).err
        record = scene.record(OLD_ID)
        assert record["artifact_status"] == "artifact_error"
        assert [one["path"] for one in record["failures"]] == ["logs/bench.log"]


@pytest.mark.parametrize(
    "options", ["--runner-type onprem --bench-id bench-01", "--runner-type ec2", "--suite ci"]
)
def test_an_execution_of_somebody_else_is_left_alone(
    scene: Scene, options: str, tree: BenchTree
) -> None:
    scene.cli("new", "--id", OLD_ID, *options.split()).ok()
    tree.write("raw/bench.log", b"forged")
    tree.write("raw/results.json", b"{}", execution_id=OTHER_ID)
    failed = scene.cli(*tree.arguments)
    assert failed.exit_code in (3, 6)
    assert f"execution {OLD_ID} is one of" in failed.err
    assert scene.files(OLD_ID) == {}
    if "ci" in options:
        scene.cli("new", "--id", OLD_ID, "--bench-id", "b1").ok()
        scene.cli(*tree.arguments).ok()
        assert scene.files(OLD_ID) == {"logs/bench.log": b"forged"}
    # The others go on.
    assert scene.files(OTHER_ID) == {"artifacts/results.json": b"{}"}


def test_what_was_named_and_is_not_there_is_an_error(scene: Scene, tree: BenchTree) -> None:
    assert "nothing in" in scene.cli(*tree.arguments).expect(4).err
    tree.write("raw/bench.log", b"x")
    assert "no bench nosuch" in scene.cli(*tree.arguments, "--bench", "nosuch").expect(4).err
    missing = scene.cli(*tree.arguments, "--execution", OTHER_ID).expect(4)
    assert f"no execution {OTHER_ID}" in missing.err


# --- watching ----------------------------------------------------------------------------


def wait_for_stored(scene: Scene, path: str) -> None:
    deadline = time.monotonic() + 60
    while path not in scene.files(OLD_ID):
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.05)


def wait_until_caught(pid: int, number: signal.Signals) -> None:
    """Wait until the process has taken a signal that was sent to it."""
    deadline = time.monotonic() + 60
    while True:
        status = Path(f"/proc/{pid}/status").read_text()
        (pending,) = [line.split()[1] for line in status.splitlines() if line.startswith("ShdPnd:")]
        if not int(pending, 16) & 1 << number - 1:
            return
        assert time.monotonic() < deadline, f"{number.name} is still pending"
        time.sleep(0.005)


def test_watch_stores_what_comes_and_survives_the_mount(
    scene: Scene, cli_process: Processes, tree: BenchTree
) -> None:
    tree.write("raw/1.txt")
    process = cli_process.start(*tree.arguments, "--watch", "--interval", "50ms")
    wait_for_stored(scene, "artifacts/custom/1.txt")
    away = tree.root.with_name("away")
    tree.root.rename(away)
    assert process.stderr is not None
    assert any(b"cannot read" in line for line in process.stderr)
    assert process.poll() is None
    away.rename(tree.root)
    tree.write("raw/2.txt")
    wait_for_stored(scene, "artifacts/custom/2.txt")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, b"")
    assert b"cannot read" not in err
    assert b"Traceback" not in err
    assert scene.record(OLD_ID)["artifact_status"] == "pending"


def test_a_watch_at_rest_asks_nothing_of_s3(
    scene: Scene, cli_process: Processes, tree: BenchTree
) -> None:
    tree.write("raw/1.txt")
    process = cli_process.start(*tree.arguments, "--watch", "--interval", "20ms", "--json")
    assert process.stdout is not None
    passes = [json.loads(process.stdout.readline()) for _ in range(4)]
    assert "created" in str(passes)
    for _ in range(3):
        process.stdout.readline()
    scene.recorder.clear()
    idle = [json.loads(process.stdout.readline())["pass"] for _ in range(5)]
    assert scene.recorder.calls() == []
    assert {line["executions"] for line in idle} == {0}
    tree.write("raw/2.txt")
    wait_for_stored(scene, "artifacts/custom/2.txt")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_watch_sends_a_file_in_conflict_once_and_counts_it_on(
    scene: Scene, cli_process: Processes, tree: BenchTree
) -> None:
    tree.write("raw/1.txt", b"what the bench has", age_seconds=30 * 86400)
    scene.put_file(OLD_ID, "artifacts/custom/1.txt", b"what S3 has")
    process = cli_process.start(*tree.arguments, "--watch", "--interval", "20ms", "--json")
    assert process.stdout is not None
    passes: list[Any] = []
    while len(passes) < 6:
        line = json.loads(process.stdout.readline())
        passes += [line["pass"]] if "pass" in line else []
    assert [line["conflicts"] for line in passes] == [1] * 6
    asked = [one.operation for one in scene.recorder.calls() if one.key.endswith("custom/1.txt")]
    assert len(asked) <= 2, asked
    (tree.directory() / "raw/1.txt").rename(tree.directory() / "raw/2.txt")
    wait_for_stored(scene, "artifacts/custom/2.txt")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_sigterm_ends_the_file_in_hand(
    scene: Scene, cli_process: Processes, tree: BenchTree
) -> None:
    for number in range(3):
        tree.write("raw/a.txt", content(100, number), execution_id=OLD_ID[:-1] + str(number))
    hold = faults.Hold("answer")
    scene.recorder.inject(hold, "PutObject", nth=2, times=None)
    process = cli_process.start(*tree.arguments, "--watch")
    assert hold.reached.wait(60)
    process.send_signal(signal.SIGTERM)
    wait_until_caught(process.pid, signal.SIGTERM)
    scene.recorder.heal()
    hold.released.set()
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert [key for key in scene.list_keys() if key.endswith("a.txt")] == [
        f"executions/{OLD_ID}/artifacts/custom/a.txt"
    ]


def test_two_syncs_at_once_store_and_delete_every_file(
    scene: Scene, forks: ForkServer, tree: BenchTree
) -> None:
    names = [f"raw/d{number % 4}/{number}.txt" for number in range(80)]
    for name in names:
        tree.write(name, name.encode())
    running = [forks.start(*tree.arguments, "--retain", "0s") for _ in range(2)]
    for process in running:
        process.wait(90).expect(0)
    assert scene.files(OLD_ID) == {
        name.replace("raw", "artifacts/custom", 1): name.encode() for name in names
    }
    assert not [path for path in tree.root.rglob("*") if path.is_file()]
    shutil.rmtree(tree.root)


def test_a_file_that_is_denied_is_sent_once_in_a_pass(
    scene: Scene, tree: BenchTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another try would be denied as well, until somebody has changed the policy."""
    impatient(monkeypatch)
    scene.put_execution(OLD_ID, bench_id="b1")
    tree.write("raw/a.txt")
    scene.recorder.inject(faults.access_denied(), "PutObject", key="a.txt", times=None)
    scene.cli(*tree.arguments).expect(3)
    sent = [one for one in scene.recorder.calls("PutObject") if one.key.endswith("a.txt")]
    assert len(sent) == 1
    (failure,) = scene.record(OLD_ID)["failures"]
    assert "access denied" in failure["error"]
