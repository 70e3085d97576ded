"""`orchestrator finish`: manifest, result, history line; and what later uploads do to them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator_cli.cli.app import App
from orchestrator_cli.cli.configuration.settings import Settings
from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata
from orchestrator_cli.core.executions.record.repository import update_metadata
from tests.support.proxy import faults
from tests.support.scene import Scene
from tests.support.stored.executions import make_id, make_record, manifest_digest, put_metadata

FILES: dict[str, bytes] = {
    "logs/stdout.log": b"\x1b[31mred\x1b[0m\n",
    "artifacts/results.json": b'{"passed": 3}',
    "artifacts/custom/notes.txt": b"",
    "artifacts/custom/\u00fcn\u00ef/a b.bin": bytes(range(256)),
    "artifacts/custom/Z": b"sorts before a",
}


TOTALS = ("artifact_count", "artifact_bytes", "manifest_sha256", "artifact_status")


def read_history(scene: Scene) -> dict[str, Any]:
    """Return the only history line there is."""
    (content,) = scene.contents("history/").values()
    line: dict[str, Any] = json.loads(content)
    return line


def history_key(execution_id: str, day: str) -> str:
    return f"history/date={day}/{execution_id}.json"


@pytest.fixture
def execution(scene: Scene) -> str:
    """A running execution with files."""
    labels = {"branch": "main", "text": "two\nlines \u2028"}
    return scene.put_execution(files=FILES, test_suite="smoke", labels=labels)


# --- what is written -------------------------------------------------------------------------


def test_manifest_result_and_end_are_recorded(scene: Scene, execution: str) -> None:
    result = scene.cli("finish", execution, "--result", "fail").ok()
    assert result.stdout == b""
    size_bytes = sum(map(len, FILES.values()))
    assert result.err == f"finished {execution}: fail, 5 files, {size_bytes} B\n"
    record = scene.record(execution)
    assert (record["status"], record["result"]) == ("completed", "fail")
    assert record["artifact_status"] == "complete"
    assert record["ended_at"] >= record["started_at"]
    assert record["artifact_count"] == len(FILES)
    assert record["artifact_bytes"] == size_bytes
    assert record["manifest_sha256"] == manifest_digest(FILES)
    assert [item["path"] for item in record["artifacts"]] == sorted(FILES, key=str.encode)
    assert {item["size_bytes"] for item in record["artifacts"]} == set(map(len, FILES.values()))
    assert record["labels"]["branch"] == "main"


def test_the_history_line_is_one_line_of_json(scene: Scene, execution: str) -> None:
    scene.cli("finish", execution, "--result", "pass").ok()
    key = history_key(execution, f"{datetime.now(UTC):%Y-%m-%d}")
    assert scene.list_keys("history/") == [key]
    line = scene.contents("history/")[key]
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    history, record = json.loads(line), scene.record(execution)
    assert history.pop("failure_count") == len(record.pop("failures"))
    for name in ("artifacts", "unfinished_uploads", "tree_stored"):
        del record[name]
    assert history == record


def test_an_execution_whose_run_was_lost_is_not_complete(scene: Scene) -> None:
    """Whoever finishes it by hand does not know what `run` had not stored."""
    lost = {
        "command": ["x"],
        "host": "h",
        "pid": 1,
        "tool_version": "0.1.0",
        "started_at": "2026-01-31T08:00:00Z",
    }
    execution_id = scene.put_execution(run=lost)
    result = scene.cli("finish", execution_id, "--result", "error").ok()
    assert "`orchestrator run` has not ended" in result.err
    assert scene.record(execution_id)["artifact_status"] == "pending"


@pytest.mark.parametrize("execution_time", ["2024-02-29T23:59:59.999+00:00", "2026-01-01T00:00Z"])
def test_the_history_day_is_the_utc_day_of_the_id(scene: Scene, execution_time: str) -> None:
    instant = datetime.fromisoformat(execution_time)
    execution_id = scene.put_execution(make_id(instant))
    scene.cli("finish", execution_id, "--result", "pass").ok()
    assert scene.list_keys("history/") == [history_key(execution_id, f"{instant:%Y-%m-%d}")]


def test_json_prints_what_is_stored(scene: Scene, execution: str) -> None:
    result = scene.cli("finish", execution, "--result", "error", "--json").ok()
    assert result.out.count("\n") == 1
    assert result.err == ""
    assert result.json() == scene.record(execution)


def test_an_execution_without_files_can_be_finished(scene: Scene) -> None:
    execution_id = scene.put_execution()
    result = scene.cli("finish", execution_id, "--result", "pass").ok()
    assert result.err == f"finished {execution_id}: pass, 0 files, 0 B\n"
    record = scene.record(execution_id)
    assert (record["artifacts"], record["artifact_count"]) == ([], 0)
    assert record["manifest_sha256"] == manifest_digest({})


def test_a_clock_that_is_behind_does_not_end_it_before_its_start(scene: Scene) -> None:
    later = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    execution_id = scene.put_execution(started_at=later)
    scene.cli("finish", execution_id, "--result", "pass").ok()
    assert scene.record(execution_id)["ended_at"] == later


def test_only_new_files_are_asked_for_one_by_one(scene: Scene, execution: str) -> None:
    scene.cli("finish", execution, "--result", "pass").ok()
    assert scene.recorder.count("HeadObject", f"executions/{execution}/logs/stdout.log") == 1
    scene.put_file(execution, "logs/stderr.log", b"late\n")
    scene.recorder.clear()
    scene.cli("finish", execution, "--result", "pass").ok()
    asked = {call.key for call in scene.recorder.calls("HeadObject")}
    assert f"executions/{execution}/logs/stderr.log" in asked
    assert f"executions/{execution}/logs/stdout.log" not in asked


# --- again -----------------------------------------------------------------------------------


def test_repeating_it_changes_nothing(scene: Scene, execution: str) -> None:
    scene.cli("finish", execution, "--result", "pass").ok()
    stored = scene.contents()
    scene.cli("finish", execution, "--result", "pass").ok()
    assert scene.contents() == stored


def test_another_result_is_a_conflict(scene: Scene, execution: str) -> None:
    scene.cli("finish", execution, "--result", "pass").ok()
    stored = scene.contents()
    result = scene.cli("finish", execution, "--result", "fail").expect(6)
    assert result.stdout == b""
    assert "finished with result pass, not fail; nothing was changed" in result.err
    assert scene.contents() == stored


def test_a_history_line_that_was_not_written_is_written_by_repeating(
    scene: Scene, execution: str
) -> None:
    scene.cli("finish", execution, "--result", "pass").ok()
    stored = scene.contents()
    scene.s3.delete_object(Bucket=scene.bucket, Key=scene.list_keys("history/")[0])
    scene.cli("finish", execution, "--result", "pass").ok()
    assert scene.contents() == stored


# --- later uploads ---------------------------------------------------------------------------


def test_an_upload_after_the_end_extends_the_manifest_and_the_history_follows(
    scene: Scene, execution: str
) -> None:
    scene.cli("finish", execution, "--result", "pass").ok()
    before = scene.record(execution)
    assert read_history(scene)["artifact_count"] == len(FILES)
    scene.cli(
        "upload", execution, scene.write_tree({"stderr.log": "late\n", "more/x.txt": "x"})
    ).ok()
    files = FILES | {"logs/stderr.log": b"late\n", "artifacts/custom/more/x.txt": b"x"}
    record = scene.record(execution)
    assert record["manifest_sha256"] == manifest_digest(files)
    assert record["artifact_count"] == len(files) == len(record["artifacts"])
    assert record["artifact_bytes"] == sum(map(len, files.values()))
    assert (record["result"], record["ended_at"]) == (before["result"], before["ended_at"])
    line = read_history(scene)
    assert {name: line[name] for name in TOTALS} == {name: record[name] for name in TOTALS}
    history = scene.contents("history/")
    scene.cli("finish", execution, "--result", "pass").ok()
    assert scene.record(execution) == record
    assert scene.contents("history/") == history


def test_a_failed_upload_is_on_record_until_the_same_files_are_stored(
    scene: Scene, execution: str
) -> None:
    tree = scene.write_tree({"good.txt": "good"})
    bad = tree / "bad\x1b[31m.txt"
    bad.write_text("bad")
    result = scene.cli("upload", execution, tree).expect(3)
    assert "\x1b" not in result.err
    scene.cli("finish", execution, "--result", "pass").ok()
    record = scene.record(execution)
    assert record["artifact_status"] == "artifact_error"
    assert len(record["failures"]) == 1
    assert "bad" in record["failures"][0]["path"]
    history = json.loads(next(iter(scene.contents("history/").values())))
    assert history["failure_count"] == 1
    bad.rename(tree / "bad.txt")
    scene.cli("upload", execution, tree).ok()
    record = scene.record(execution)
    assert (record["artifact_status"], record["failures"]) == ("complete", [])


def test_an_unfinished_upload_keeps_the_record_pending(scene: Scene, execution: str) -> None:
    key = f"executions/{execution}/artifacts/custom/huge.bin"
    scene.s3.create_multipart_upload(Bucket=scene.bucket, Key=key)
    result = scene.cli("finish", execution, "--result", "pass").ok()
    assert "warning: the upload of artifacts/custom/huge.bin is unfinished" in result.err
    record = scene.record(execution)
    assert (record["artifact_count"], record["artifact_status"]) == (len(FILES), "pending")
    assert read_history(scene)["artifact_status"] == "pending"
    scene.cli("upload", execution, scene.write_tree({"huge.bin": "whole"})).ok()
    assert scene.record(execution)["artifact_status"] == "complete"
    assert read_history(scene)["artifact_status"] == "complete"


def test_an_upload_of_another_execution_or_of_a_stored_file_is_not_unfinished(
    scene: Scene, execution: str
) -> None:
    stored = f"executions/{execution}/logs/stdout.log"
    foreign = f"executions/{make_id(number=9)}/artifacts/custom/huge.bin"
    for key in (stored, foreign):
        scene.s3.create_multipart_upload(Bucket=scene.bucket, Key=key)
    result = scene.cli("finish", execution, "--result", "pass").ok()
    assert "unfinished" not in result.err
    assert scene.record(execution)["artifact_status"] == "complete"


def test_an_on_prem_execution_is_pending_until_its_tree_is_stored(scene: Scene) -> None:
    execution_id = scene.cli("new", "--runner-type", "onprem", "--bench-id", "b7").ok().out.strip()
    result = scene.cli("finish", execution_id, "--result", "pass").ok()
    assert "stays pending until sync-efs has stored the bench's tree; --tree-stored" in result.err
    assert scene.record(execution_id)["artifact_status"] == "pending"
    assert read_history(scene)["artifact_status"] == "pending"
    scene.cli("finish", execution_id, "--result", "pass", "--tree-stored").ok()
    assert scene.record(execution_id)["artifact_status"] == "complete"
    # What was promised once is not taken back by repeating the plain command.
    scene.cli("finish", execution_id, "--result", "pass").ok()
    assert read_history(scene)["artifact_status"] == "complete"


# --- a manifest too long to keep -------------------------------------------------------------


@pytest.fixture
def long_files(scene: Scene) -> tuple[str, dict[str, bytes]]:
    """An execution whose manifest takes more than 128 KiB."""
    execution_id = scene.put_execution()
    files = {f"artifacts/custom/{'long-name-' * 80}{n:03}": b"%d" % n for n in range(140)}
    for path, data in files.items():
        scene.put_file(execution_id, path, data)
    return execution_id, files


def test_a_long_manifest_leaves_its_totals_and_its_digest(
    scene: Scene, long_files: tuple[str, dict[str, bytes]]
) -> None:
    execution_id, files = long_files
    result = scene.cli("finish", execution_id, "--result", "pass", "--json").ok()
    record = scene.record(execution_id)
    assert result.json() == record
    assert record["artifacts"] is None
    assert record["artifact_count"] == len(files)
    assert record["artifact_bytes"] == sum(map(len, files.values()))
    assert record["manifest_sha256"] == manifest_digest(files)
    stored = scene.s3.head_object(
        Bucket=scene.bucket, Key=f"executions/{execution_id}/metadata.json"
    )
    assert stored["ContentLength"] < 128 * 1024
    scene.cli("upload", execution_id, scene.write_tree({"stdout.log": "one more\n"})).ok()
    record = scene.record(execution_id)
    assert record["artifacts"] is None
    assert record["manifest_sha256"] == manifest_digest(files | {"logs/stdout.log": b"one more\n"})


# --- metadata.json changes by compare-and-swap -----------------------------------------------


def labelled(name: str) -> Callable[[ExecutionMetadata], ExecutionMetadata]:
    def change(metadata: ExecutionMetadata) -> ExecutionMetadata:
        return metadata.model_copy(update={"labels": {**metadata.labels, name: "x"}})

    return change


def test_sixteen_writers_at_once_lose_nothing(scene: Scene) -> None:
    execution_id = scene.put_execution(labels={"kept": "x"}, unknown_field={"deep": [1]})
    store = App(Settings(bucket=scene.bucket)).store()
    start = threading.Barrier(16)
    failed: list[BaseException] = []

    def write(number: int) -> None:
        start.wait()
        try:
            update_metadata(store, execution_id, labelled(f"w{number}"))
        except BaseException as error:  # noqa: BLE001 - for the main thread to see
            failed.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    record = scene.record(execution_id)
    assert set(record["labels"]) == {"kept", *(f"w{number}" for number in range(16))}
    assert record["unknown_field"] == {"deep": [1]}


def test_a_change_between_read_and_write_is_kept(scene: Scene) -> None:
    execution_id = scene.put_execution()
    store = App(Settings(bucket=scene.bucket)).store()
    seen: list[dict[str, str]] = []

    def change(metadata: ExecutionMetadata) -> ExecutionMetadata:
        seen.append(metadata.labels)
        if len(seen) == 1:
            scene.put_execution(execution_id, labels={"other": "x"})
        return labelled("mine")(metadata)

    returned = update_metadata(store, execution_id, change)
    assert seen == [{}, {"other": "x"}]
    assert returned.labels == {"other": "x", "mine": "x"}
    assert scene.record(execution_id)["labels"] == returned.labels


def test_fields_of_a_newer_version_are_kept(scene: Scene) -> None:
    newer: dict[str, Any] = {"schema_version": 2, "owner": {"team": "ünï"}, "score": 1.5}
    execution_id = scene.put_execution(files=FILES, **newer)
    scene.cli("finish", execution_id, "--result", "pass").ok()
    record = scene.record(execution_id)
    assert {name: record[name] for name in newer} == newer


# --- errors ----------------------------------------------------------------------------------


def test_a_missing_execution_is_named(scene: Scene) -> None:
    execution_id = make_id()
    result = scene.cli("finish", execution_id, "--result", "pass").expect(4)
    assert f"no such execution: {execution_id} in s3://{scene.bucket}" in result.err
    assert scene.list_keys() == []


def test_metadata_that_is_not_valid_is_left_alone(scene: Scene) -> None:
    execution_id = make_id()
    content = json.dumps(make_record(execution_id, artifact_count="many")).encode()
    put_metadata(scene.s3, scene.bucket, execution_id, content)
    stored = scene.contents()
    result = scene.cli("finish", execution_id, "--result", "pass").expect(7)
    assert f"metadata.json of {execution_id} is not valid: artifact_count" in result.err
    assert scene.contents() == stored


def test_the_result_must_be_given(scene: Scene, execution: str) -> None:
    result = scene.cli("finish", execution).expect(2)
    assert "missing option '--result'" in result.err
    assert (
        "'maybe' is not one of" in scene.cli("finish", execution, "--result", "maybe").expect(2).err
    )


@pytest.mark.parametrize("harm", ["removed", "overwritten"])
def test_what_somebody_takes_from_a_finished_execution_is_on_record_until_it_is_stored_again(
    scene: Scene, harm: str
) -> None:
    """A record is written anew from what is there; what was there before must not be forgotten."""
    tree = scene.write_tree({"a.txt": "a", "b.txt": "b"})
    execution_id = scene.cli("new").ok().out.strip()
    scene.cli("upload", execution_id, tree).ok()
    scene.cli("finish", execution_id, "--result", "pass").ok()
    key = f"executions/{execution_id}/artifacts/custom/a.txt"
    if harm == "removed":
        scene.s3.delete_object(Bucket=scene.bucket, Key=key)
    else:
        scene.s3.put_object(Bucket=scene.bucket, Key=key, Body=b"another's")
    scene.cli("finish", execution_id, "--result", "pass").ok()
    record = scene.record(execution_id)
    assert record["artifact_status"] == "artifact_error"
    (failure,) = record["failures"]
    assert failure["path"] == "artifacts/custom/a.txt"
    assert failure["error"] == f"it was stored, and somebody has {harm} it since"
    (line,) = scene.contents("history/").values()
    assert json.loads(line)["failure_count"] == 1
    if harm == "overwritten":
        scene.cli("upload", execution_id, tree).expect(6)
        scene.s3.delete_object(Bucket=scene.bucket, Key=key)
    scene.cli("upload", execution_id, tree).ok()
    record = scene.record(execution_id)
    assert (record["artifact_status"], record["failures"]) == ("complete", [])


def test_a_refused_history_line_is_told_as_all_that_is_missing_and_a_repeat_writes_it(
    scene: Scene, execution: str
) -> None:
    scene.recorder.inject(faults.access_denied(), "PutObject", key="^history/")
    refused = scene.cli("finish", execution, "--result", "pass").expect(5)
    repeat = f"orchestrator finish {execution} --result pass"
    assert f"the record is stored, its history line is not: `{repeat}` writes it" in refused.err
    assert "s3:PutObject" in refused.err
    assert scene.record(execution)["status"] == "completed"
    scene.cli(*repeat.split()[1:]).ok()
    assert read_history(scene)["result"] == "pass"


def test_a_file_that_is_listed_and_not_found_is_not_left_out(scene: Scene) -> None:
    """As behind a proxy that has kept the answer to the look-up before the upload."""
    files = {"artifacts/custom/a.txt": b"a", "artifacts/custom/b.txt": b"b"}
    execution = scene.put_execution(files=files)
    scene.recorder.inject(faults.Answer(404, ""), "HeadObject", key="b.txt$", times=None)
    result = scene.cli("finish", execution, "--result", "pass").expect(7)
    assert "b.txt: it is in the listing, and not found where it was looked up" in result.err
    assert scene.record(execution)["status"] == "running"
    scene.recorder.heal()
    scene.cli("finish", execution, "--result", "pass").ok()
    record = scene.record(execution)
    assert (record["artifact_status"], record["artifact_count"]) == ("complete", 2)
