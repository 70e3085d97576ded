"""A bench with no S3 in reach: it begins and ends executions in its tree, and the sync follows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands.running import RunCommand
from tests.support.scene import Scene
from tests.support.stored.bench_tree import OLD_ID, BenchTree

NO_S3: dict[str, str | None] = {"ORCHESTRATOR_BUCKET": None, "AWS_ENDPOINT_URL": "http://[::1]:1"}


@pytest.fixture
def begun(cli: RunCommand, tree: BenchTree) -> str:
    """An execution that bench b1 has begun, with two files and a result to come."""
    (tree.root / "b1").mkdir()
    options = ("--root", str(tree.root), "--bench-id", "b1", "--suite", "smoke", "--label", "a=b")
    execution_id = cli("new", "--offline", *options, env=NO_S3).ok().out.strip()
    tree.write("raw/stdout.log", b"out\n", execution_id=execution_id)
    tree.write("raw/deep/trace.pcap", b"pcap", execution_id=execution_id)
    return execution_id


def finish(cli: RunCommand, tree: BenchTree, execution_id: str, result: str) -> Any:
    options = ("--result", result, "--offline", "--root", str(tree.root))
    return cli("finish", execution_id, *options, env=NO_S3)


def test_a_week_without_network_is_on_record_as_the_bench_saw_it(
    scene: Scene, tree: BenchTree, begun: str
) -> None:
    said = finish(scene.cli, tree, begun, "fail").ok()
    assert (said.out, said.err) == ("", f"finished {begun}: fail, 2 files for sync-efs\n")
    assert finish(scene.cli, tree, begun, "fail").ok().err == said.err
    assert "nothing was changed" in finish(scene.cli, tree, begun, "pass").expect(6).err
    declared = json.loads((tree.directory(begun) / "execution.json").read_text())
    assert scene.list_keys() == []

    # Logs are not waited for: the bench has said that nothing more comes.
    scene.cli(*tree.arguments[:-1], "1h").ok()
    record = scene.record(begun)
    assert (record["result"], record["artifact_status"]) == ("fail", "complete")
    assert (record["bench_id"], record["runner_type"]) == ("b1", "onprem")
    assert (record["test_suite"], record["labels"]) == ("smoke", {"a": "b"})
    assert [record[name] for name in ("started_at", "ended_at")] == [
        declared[name] for name in ("started_at", "ended_at")
    ]
    assert [one["path"] for one in record["artifacts"]] == [
        "artifacts/traces/deep/trace.pcap",
        "logs/stdout.log",
    ]
    assert any(key.startswith("history/") for key in scene.list_keys())
    scene.cli(*tree.arguments).ok()
    assert scene.record(begun) == record


def test_what_was_promised_and_is_missing_makes_the_record_say_so(
    scene: Scene, tree: BenchTree, begun: str
) -> None:
    finish(scene.cli, tree, begun, "pass").ok()
    lost = tree.directory(begun) / "raw/deep/trace.pcap"
    lost.unlink()
    assert "promised by the bench" in scene.cli(*tree.arguments).expect(3).err
    record = scene.record(begun)
    assert (record["result"], record["artifact_status"]) == ("pass", "artifact_error")
    assert [one["path"] for one in record["failures"]] == [str(lost)]

    lost.write_bytes(b"more")
    scene.cli(*tree.arguments).ok()
    record = scene.record(begun)
    assert (record["artifact_status"], record["failures"]) == ("complete", [])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('{"result": "great"}', "result: "),
        ('{"execution_id": "01H00000000000000000000001"}', "execution_id is "),
        ('{"bench_id": "b2"}', "bench_id is "),
        ('{"files": [{"path": "a", "size_bytes": -1}]}', "files[0]: size_bytes"),
        ("[]", "not an object"),
        ("{", "not JSON"),
        # Some Pythons find it nested too deeply, others cut short.
        ("[" * 60_000, "not JSON: "),
    ],
)
def test_files_are_stored_whatever_the_bench_says_of_them(
    scene: Scene, tree: BenchTree, content: str, why: str
) -> None:
    tree.write("raw/stdout.log", b"out\n")
    tree.write("execution.json", content.encode())
    assert f"execution.json is not valid: {why}" in scene.cli(*tree.arguments).expect(3).err
    record = scene.record(OLD_ID)
    assert (record["status"], record["artifact_status"]) == ("running", "artifact_error")
    assert f"executions/{OLD_ID}/logs/stdout.log" in scene.list_keys()
    tree.write("execution.json", b'{"result": "pass", "unknown": 1}')
    scene.cli(*tree.arguments).ok()
    assert scene.record(OLD_ID)["artifact_status"] == "complete"


def test_a_record_that_says_something_else_than_s3_changes_nothing(
    scene: Scene, tree: BenchTree, begun: str
) -> None:
    scene.cli("new", "--id", begun, "--suite", "other", "--bench-id", "b1").ok()
    finish(scene.cli, tree, begun, "pass").ok()
    assert "exists with other properties" in scene.cli(*tree.arguments).expect(3).err
    record = scene.record(begun)
    assert (record["test_suite"], record["status"]) == ("other", "running")
    assert record["artifact_status"] == "artifact_error"
    assert f"executions/{begun}/logs/stdout.log" in scene.list_keys()


def test_the_benchs_record_goes_with_its_files_and_not_before_s3_has_the_result(
    scene: Scene, tree: BenchTree, begun: str, later: Callable[[timedelta], None]
) -> None:
    scene.cli(*tree.arguments).ok()
    later(timedelta(days=8))
    scene.cli(*tree.arguments).ok()
    scene.cli(*tree.arguments).ok()
    assert f"b1/{begun}/execution.json" in tree.names()
    assert f"b1/{begun}/raw/stdout.log" not in tree.names()
    finish(scene.cli, tree, begun, "pass").ok()
    later(timedelta(days=16))
    scene.cli(*tree.arguments).ok()
    assert tree.names() == {"b1"}


def test_new_needs_the_share_and_repeats(
    cli: RunCommand, tree: BenchTree, begun: str, tmp_path: Path
) -> None:
    options = ("new", "--offline", "--root", str(tree.root), "--id", begun, "--bench-id", "b1")
    assert cli(*options, "--suite", "smoke", "--label", "a=b").ok().out == f"{begun}\n"
    assert "nothing was changed" in cli(*options, "--suite", "x").expect(6).err
    assert "is it mounted?" in cli(*options[:-1], "b9").expect(4).err
    assert "not a bench id" in cli(*options[:-1], "../b1").expect(2).err
    shutil.rmtree(tree.root)
    assert "is it mounted?" in cli(*options).expect(4).err
    assert not tree.root.exists()
    assert len(cli("new", "--offline", env=NO_S3).ok().out.strip()) == len(OLD_ID)
    cli("new", "--offline", "--suite", "smoke").expect(2)
