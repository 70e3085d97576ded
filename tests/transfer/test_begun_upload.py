"""An upload says on record that it has begun: one that is killed is never taken for complete."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orchestrator_cli.core.executions.record.upload_mark import MAX_PATHS, UploadMark, with_mark
from orchestrator_cli.core.files.path_filter import PathFilter
from orchestrator_cli.core.transfer.upload.on_record.begun_upload import BegunUpload
from orchestrator_cli.core.transfer.upload.on_record.recorder import UploadRecorder
from orchestrator_cli.core.transfer.upload.on_record.session import DirectSession
from orchestrator_cli.core.transfer.upload.plan import plan_upload
from tests.support.commands.forkserver import ForkServer
from tests.support.commands.via import Via
from tests.support.proxy import faults
from tests.support.scene import Scene
from tests.support.stored.engine import key_of, open_store

NOW = datetime(2026, 1, 31, 8, tzinfo=UTC)


def lose_upload(bucket: str, execution: str, root: Path, include: tuple[str, ...] = ()) -> None:
    """Begin an upload as the command does, and go no further, as if it had been killed."""
    selection = PathFilter(include, hidden=False)
    session = DirectSession(open_store(bucket), execution)
    begun = BegunUpload("00" * 8, NOW, selection.fingerprint())
    recorder = UploadRecorder(session, (), begun)
    session.read_state(None)
    recorder.begin(plan_upload(execution, [root], selection))
    recorder.before_storing()


def status(scene: Scene, execution: str) -> str:
    """Return what the record says of the files, once the history is seen to say the same."""
    record = scene.record(execution)
    for content in scene.contents("history/").values():
        assert json.loads(content)["artifact_status"] == record["artifact_status"]
    return str(record["artifact_status"])


@pytest.mark.parametrize("finished_before", [False, True])
def test_a_lost_upload_of_many_files_keeps_an_execution_from_being_complete(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, finished_before: bool
) -> None:
    """Whatever others store or finish, until the same files are stored under whatever name."""
    tree = scene.write_tree({f"d/{number:03}.txt": str(number) for number in range(MAX_PATHS + 20)})
    other = scene.write_tree(
        {f"{number:03}.log": "x" for number in range(MAX_PATHS + 20)}, root="other"
    )
    execution = scene.new_execution()
    if finished_before:
        scene.cli("finish", execution, "--result", "pass").ok()
        assert status(scene, execution) == "complete"
    lose_upload(scene.bucket, execution, tree)
    finished = scene.cli("finish", execution, "--result", "pass").ok()
    assert status(scene, execution) == "pending"
    assert "artifacts/custom/d/000.txt is unfinished" in finished.err
    assert "an upload of many files that began at 2026-01-31" in finished.err
    assert "artifacts/custom/d/000.txt and more, since" in scene.cli("show", execution).ok().out
    scene.cli("upload", execution, other).ok()
    scene.cli("upload", execution, tree, "--include", "d/0*").ok()
    # All that the record can name is stored now, but not all that was tried.
    assert status(scene, execution) == "pending"
    monkeypatch.chdir(tree)
    scene.cli("upload", execution, ".").ok()
    assert status(scene, execution) == "complete"
    assert scene.record(execution)["unfinished_uploads"] == []


def test_few_files_that_were_lost_are_cleared_by_whatever_stores_them(scene: Scene) -> None:
    tree = scene.write_tree({"a.txt": "a", "b.txt": "b", "stdout.log": "c"})
    execution = scene.put_execution(runner_type="onprem", bench_id="b1")
    scene.cli("finish", execution, "--result", "pass", "--tree-stored").ok()
    lose_upload(scene.bucket, execution, tree)
    assert status(scene, execution) == "pending"
    for number, name in enumerate(["b.txt", "stdout.log"]):
        scene.cli("upload", execution, tree / name).ok()
        assert status(scene, execution) == "pending", number
    scene.cli("upload", execution, "-", "--name", "a.txt", stdin=b"a").ok()
    # The bench's tree has not been forgotten meanwhile.
    assert status(scene, execution) == "complete"


def test_a_killed_upload_through_a_server_stays_pending_until_all_is_stored(
    scene: Scene, server_forks: ForkServer, via: Via
) -> None:
    tree = scene.write_tree({"a.txt": "a", "b.txt": "b"})
    execution = scene.new_execution()
    scene.recorder.inject(faults.ResetAfter(), "PutObject", key="custom/b", times=None)
    process = server_forks.start("upload", execution, tree, *via.options, env=via.env)
    scene.recorder.wait_for(lambda seen: {"a.txt", "b.txt"} <= {one.key[-5:] for one in seen})
    key = key_of("a.txt", execution)
    scene.recorder.wait_for(
        lambda seen: any(
            one.key == key and one.operation == "PutObject" and one.status for one in seen
        )
    )
    process.signal(signal.SIGKILL)
    process.wait(20)
    scene.recorder.settle()
    scene.recorder.heal()
    scene.cli("finish", execution, "--result", "pass").ok()
    assert status(scene, execution) == "pending"
    scene.cli("upload", execution, tree / "a.txt", *via.options, env=via.env).ok()
    assert status(scene, execution) == "pending"
    scene.cli("upload", execution, tree, *via.options, env=via.env).ok()
    assert status(scene, execution) == "complete"


def post(via: Via, execution: str, what: str, record: dict[str, Any]) -> None:
    path = f"/executions/{execution}/uploads/{what}"
    assert via.server.post(path, record, **via.bearer).status == 200


def test_a_server_ends_no_upload_whose_files_are_not_there(scene: Scene, via: Via) -> None:
    execution = scene.new_execution()
    begun = {"upload_id": "0a" * 8, "began_at": "2026-01-31T08:00:00Z", "paths": ["logs/bench.log"]}
    post(via, execution, "begun", begun)
    post(via, execution, "results", {"ended": [begun["upload_id"]]})
    (left,) = scene.record(execution)["unfinished_uploads"]
    assert left["paths"] == begun["paths"]
    post(via, execution, "results", {"ended": ["0a" * 8], "failed": {"logs/bench.log": "gone"}})
    record = scene.record(execution)
    assert (record["unfinished_uploads"], record["artifact_status"]) == ([], "artifact_error")


def marks(count: int, paths: int) -> Iterator[UploadMark]:
    for number in range(count):
        names = tuple(f"artifacts/custom/{'x' * 60}{path:04}" for path in range(paths))
        yield UploadMark(f"{number:016x}", "2026-01-31T08:00:00Z", names).shortened()


def test_marks_never_fill_a_record() -> None:
    """Many lost uploads with long names are all on record still, by fewer names each."""
    records: list[Any] = []
    for mark in marks(count=60, paths=90):
        records = with_mark(records, mark)
    assert len(records) == 60
    assert all(one["paths"] and one["more"] for one in records)
    assert len(json.dumps(records)) < 40_000
