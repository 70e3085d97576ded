"""A command gives up after a time without progress, and one execution's trouble is its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator_cli.core.base.retry import RetryPolicy
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.connection import session
from orchestrator_cli.core.s3.connection.config import S3Settings
from orchestrator_cli.core.s3.connection.session import S3Session
from orchestrator_cli.core.s3.operations.put import put_if_absent
from tests.scenarios.commands import CommandScene
from tests.support.proxy import faults
from tests.support.stored.bench_tree import OLD_ID, OTHER_ID, BenchTree

THIRD_ID = "01H00000000000000000000002"


class Blocked(faults.Fault):
    """Answer as a firewall in front of S3 does that takes a key for an attack."""

    def request_head(self, waiting: faults.Waiting) -> None:
        raise faults.Answered(403, b"<html>Blocked</html>", {"Content-Type": "text/html"})


@pytest.fixture
def benches(tmp_path: Path) -> BenchTree:
    """A bench with three executions of twelve files."""
    tree = BenchTree(tmp_path / "efs")
    for execution_id in (OLD_ID, OTHER_ID, THIRD_ID):
        for number in range(12):
            tree.write(f"raw/f{number}.bin", execution_id=execution_id)
    return tree


def sent_keys(scene: CommandScene) -> set[str]:
    """Return the keys of the files that were sent at least once."""
    return {one.key for one in scene.recorder.calls("PutObject") if "/artifacts/" in one.key}


@pytest.mark.usefixtures("no_patience")
def test_patience_is_that_of_a_command_and_not_of_each_of_its_files(scene: CommandScene) -> None:
    scene.write_tree({f"f{number:02}.bin": b"x" for number in range(60)})
    execution_id = scene.new_execution()
    # Reading goes on beside it, and so does the record.
    scene.recorder.inject(faults.slow_down(), "PutObject", key="/artifacts/", times=None)
    result = scene.cli("upload", execution_id, scene.directory / "tree", "--concurrency", "2")
    result.expect(9)
    assert "503 SlowDown" in result.err
    assert len(sent_keys(scene)) < 20
    record = scene.record(execution_id)
    assert record["artifact_status"] == "artifact_error"
    assert len(record["failures"]) == 60


@pytest.mark.usefixtures("no_patience")
def test_a_key_that_is_throttled_for_ever_is_its_own_failure(scene: CommandScene) -> None:
    scene.write_tree({f"f{number:02}.bin": b"x" for number in range(20)})
    execution_id = scene.new_execution()
    scene.recorder.inject(faults.slow_down(), "PutObject", key="f03.bin$", times=None)
    scene.cli("upload", execution_id, scene.directory / "tree", "--concurrency", "1").expect(3)
    assert len(scene.files(execution_id)) == 19
    assert [one["path"] for one in scene.record(execution_id)["failures"]] == [
        "artifacts/custom/f03.bin"
    ]


@pytest.mark.usefixtures("no_patience")
@pytest.mark.parametrize("key", ["", "/artifacts/"])
@pytest.mark.parametrize("fault", [faults.slow_down(), Blocked()], ids=["503", "403"])
def test_other_executions_go_on_where_all_keys_of_one_fail(
    scene: CommandScene, benches: BenchTree, fault: faults.Fault, key: str
) -> None:
    scene.recorder.inject(fault, key=f"{OLD_ID}.*{key}", times=None)
    result = scene.cli(*benches.arguments, "--keep").expect(3)
    assert str(benches.directory(OLD_ID)) in result.err
    assert not scene.files(OLD_ID)
    assert len(scene.files(OTHER_ID)) == len(scene.files(THIRD_ID)) == 12


@pytest.mark.usefixtures("no_patience")
def test_a_sync_ends_where_no_execution_can_be_stored(
    scene: CommandScene, benches: BenchTree
) -> None:
    scene.recorder.inject(faults.slow_down(), "PutObject", times=None)
    scene.cli(*benches.arguments, "--keep").expect(9)
    scene.recorder.heal()
    scene.cli(*benches.arguments, "--keep").ok()
    assert len(scene.files(THIRD_ID)) == 12


def test_a_server_that_takes_nothing_any_more_is_waited_for_once(
    scene: CommandScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads the record, and answers no write: that of the mark, of the file, of the failure."""
    monkeypatch.setattr(session, "STALL_TIMEOUT_SECONDS", 0.2)
    scene.write_tree({"f.bin": b"x"})
    execution_id = scene.new_execution()
    scene.recorder.clear()
    scene.recorder.inject(faults.Stall(), "PutObject", times=None)
    result = scene.cli("upload", execution_id, scene.directory / "tree").expect(9)
    assert "did not answer in time" in result.err
    assert [one.key.rpartition("/")[2] for one in scene.recorder.calls("PutObject")] == [
        "metadata.json",
        "metadata.json",
        "metadata.json",
        "f.bin",
        "metadata.json",
    ]


def test_no_file_fails_where_a_server_drops_many_requests_and_takes_others(
    scene: CommandScene,
) -> None:
    """As a server does, or a load balancer before it, that has too many and no word for it."""
    for number in range(12):
        # libcurl sends a request again itself where a connection breaks that was used before.
        scene.recorder.inject(faults.ResetBefore(), "PutObject", key=f"/f{number}$", times=13)
    policy = RetryPolicy(first_wait_seconds=0.00005, longest_wait_seconds=30)
    settings = S3Settings(scene.bucket, environment=os.environ)
    store = ArtifactStore(S3Session(settings, policy))
    keys = [f"executions/{OLD_ID}/artifacts/custom/f{number}" for number in range(40)]
    puts = (put_if_absent(store.server, key, b"x", "text/plain") for key in keys)
    assert len(list(store.map_operations(puts))) == 40
    assert len(scene.files(OLD_ID)) == 40
