"""`orchestrator finish`: manifest, result, history line; and what later uploads do to them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator_cli.cli.app import App
from orchestrator_cli.cli.configuration.settings import Settings
from orchestrator_cli.core.executions.record.metadata import ExecutionMetadata
from orchestrator_cli.core.executions.record.repository import update_metadata
from tests.support import faults
from tests.support.executions import (
    make_id,
    make_record,
    manifest_digest,
    put_execution,
    put_file,
    put_metadata,
    read_record,
)
from tests.support.objects import bucket_contents, list_keys
from tests.support.proxy import Proxy
from tests.support.running import RunCommand

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MakeTree = Callable[..., Path]

FILES: dict[str, bytes] = {
    "logs/stdout.log": b"\x1b[31mred\x1b[0m\n",
    "artifacts/results.json": b'{"passed": 3}',
    "artifacts/custom/notes.txt": b"",
    "artifacts/custom/\u00fcn\u00ef/a b.bin": bytes(range(256)),
    "artifacts/custom/Z": b"sorts before a",
}


TOTALS = ("artifact_count", "artifact_bytes", "manifest_sha256", "artifact_status")


def read_history(s3: S3Client, bucket: str) -> dict[str, Any]:
    """Return the only history line there is."""
    (content,) = bucket_contents(s3, bucket, "history/").values()
    line: dict[str, Any] = json.loads(content)
    return line


def history_key(execution_id: str, day: str) -> str:
    return f"history/date={day}/{execution_id}.json"


@pytest.fixture
def execution(s3: S3Client, bucket: str) -> str:
    """A running execution with files."""
    labels = {"branch": "main", "text": "two\nlines \u2028"}
    return put_execution(s3, bucket, files=FILES, test_suite="smoke", labels=labels)


# --- what is written -------------------------------------------------------------------------


def test_manifest_result_and_end_are_recorded(
    cli: RunCommand, s3: S3Client, bucket: str, execution: str
) -> None:
    result = cli("finish", execution, "--result", "fail").ok()
    assert result.stdout == b""
    size_bytes = sum(map(len, FILES.values()))
    assert result.err == f"finished {execution}: fail, 5 files, {size_bytes} B\n"
    record = read_record(s3, bucket, execution)
    assert (record["status"], record["result"]) == ("completed", "fail")
    assert record["artifact_status"] == "complete"
    assert record["ended_at"] >= record["started_at"]
    assert record["artifact_count"] == len(FILES)
    assert record["artifact_bytes"] == size_bytes
    assert record["manifest_sha256"] == manifest_digest(FILES)
    assert [item["path"] for item in record["artifacts"]] == sorted(FILES, key=str.encode)
    assert {item["size_bytes"] for item in record["artifacts"]} == set(map(len, FILES.values()))
    assert record["labels"]["branch"] == "main"


def test_the_history_line_is_one_line_of_json(
    cli: RunCommand, s3: S3Client, bucket: str, execution: str
) -> None:
    cli("finish", execution, "--result", "pass").ok()
    key = history_key(execution, f"{datetime.now(UTC):%Y-%m-%d}")
    assert list_keys(s3, bucket, "history/") == [key]
    line = bucket_contents(s3, bucket, "history/")[key]
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    history, record = json.loads(line), read_record(s3, bucket, execution)
    assert history.pop("failure_count") == len(record.pop("failures"))
    for name in ("artifacts", "unfinished_uploads", "tree_stored"):
        del record[name]
    assert history == record


def test_an_execution_whose_run_was_lost_is_not_complete(
    cli: RunCommand, s3: S3Client, bucket: str
) -> None:
    """Whoever finishes it by hand does not know what `run` had not stored."""
    lost = {
        "command": ["x"],
        "host": "h",
        "pid": 1,
        "tool_version": "0.1.0",
        "started_at": "2026-01-31T08:00:00Z",
    }
    execution_id = put_execution(s3, bucket, run=lost)
    result = cli("finish", execution_id, "--result", "error").ok()
    assert "`orchestrator run` has not ended" in result.err
    assert read_record(s3, bucket, execution_id)["artifact_status"] == "pending"


@pytest.mark.parametrize("execution_time", ["2024-02-29T23:59:59.999+00:00", "2026-01-01T00:00Z"])
def test_the_history_day_is_the_utc_day_of_the_id(
    cli: RunCommand, s3: S3Client, bucket: str, execution_time: str
) -> None:
    instant = datetime.fromisoformat(execution_time)
    execution_id = put_execution(s3, bucket, make_id(instant))
    cli("finish", execution_id, "--result", "pass").ok()
    assert list_keys(s3, bucket, "history/") == [history_key(execution_id, f"{instant:%Y-%m-%d}")]


def test_json_prints_what_is_stored(
    cli: RunCommand, s3: S3Client, bucket: str, execution: str
) -> None:
    result = cli("finish", execution, "--result", "error", "--json").ok()
    assert result.out.count("\n") == 1
    assert result.err == ""
    assert result.json() == read_record(s3, bucket, execution)


def test_an_execution_without_files_can_be_finished(
    cli: RunCommand, s3: S3Client, bucket: str
) -> None:
    execution_id = put_execution(s3, bucket)
    result = cli("finish", execution_id, "--result", "pass").ok()
    assert result.err == f"finished {execution_id}: pass, 0 files, 0 B\n"
    record = read_record(s3, bucket, execution_id)
    assert (record["artifacts"], record["artifact_count"]) == ([], 0)
    assert record["manifest_sha256"] == manifest_digest({})


def test_a_clock_that_is_behind_does_not_end_it_before_its_start(
    cli: RunCommand, s3: S3Client, bucket: str
) -> None:
    later = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    execution_id = put_execution(s3, bucket, started_at=later)
    cli("finish", execution_id, "--result", "pass").ok()
    assert read_record(s3, bucket, execution_id)["ended_at"] == later


def test_only_new_files_are_asked_for_one_by_one(
    cli: RunCommand, s3: S3Client, bucket: str, execution: str, recorder: Proxy
) -> None:
    cli("finish", execution, "--result", "pass").ok()
    assert recorder.count("HeadObject", f"executions/{execution}/logs/stdout.log") == 1
    put_file(s3, bucket, execution, "logs/stderr.log", b"late\n")
    recorder.clear()
    cli("finish", execution, "--result", "pass").ok()
    asked = {call.key for call in recorder.calls("HeadObject")}
    assert f"executions/{execution}/logs/stderr.log" in asked
    assert f"executions/{execution}/logs/stdout.log" not in asked


# --- again -----------------------------------------------------------------------------------


def test_repeating_it_changes_nothing(
    cli: RunCommand, s3: S3Client, bucket: str, execution: str
) -> None:
    cli("finish", execution, "--result", "pass").ok()
    stored = bucket_contents(s3, bucket)
    cli("finish", execution, "--result", "pass").ok()
    assert bucket_contents(s3, bucket) == stored


def test_another_result_is_a_conflict(
    cli: RunCommand, s3: S3Client, bucket: str, execution: str
) -> None:
    cli("finish", execution, "--result", "pass").ok()
    stored = bucket_contents(s3, bucket)
    result = cli("finish", execution, "--result", "fail").expect(6)
    assert result.stdout == b""
    assert "finished with result pass, not fail; nothing was changed" in result.err
    assert bucket_contents(s3, bucket) == stored


def test_a_history_line_that_was_not_written_is_written_by_repeating(
    cli: RunCommand, s3: S3Client, bucket: str, execution: str
) -> None:
    cli("finish", execution, "--result", "pass").ok()
    stored = bucket_contents(s3, bucket)
    s3.delete_object(Bucket=bucket, Key=list_keys(s3, bucket, "history/")[0])
    cli("finish", execution, "--result", "pass").ok()
    assert bucket_contents(s3, bucket) == stored


# --- later uploads ---------------------------------------------------------------------------


def test_an_upload_after_the_end_extends_the_manifest_and_the_history_follows(
    cli: RunCommand, s3: S3Client, bucket: str, execution: str, make_tree: MakeTree
) -> None:
    cli("finish", execution, "--result", "pass").ok()
    before = read_record(s3, bucket, execution)
    assert read_history(s3, bucket)["artifact_count"] == len(FILES)
    cli("upload", execution, make_tree({"stderr.log": "late\n", "more/x.txt": "x"})).ok()
    files = FILES | {"logs/stderr.log": b"late\n", "artifacts/custom/more/x.txt": b"x"}
    record = read_record(s3, bucket, execution)
    assert record["manifest_sha256"] == manifest_digest(files)
    assert record["artifact_count"] == len(files) == len(record["artifacts"])
    assert record["artifact_bytes"] == sum(map(len, files.values()))
    assert (record["result"], record["ended_at"]) == (before["result"], before["ended_at"])
    line = read_history(s3, bucket)
    assert {name: line[name] for name in TOTALS} == {name: record[name] for name in TOTALS}
    history = bucket_contents(s3, bucket, "history/")
    cli("finish", execution, "--result", "pass").ok()
    assert read_record(s3, bucket, execution) == record
    assert bucket_contents(s3, bucket, "history/") == history


def test_a_failed_upload_is_on_record_until_it_is_mended(
    cli: RunCommand, s3: S3Client, bucket: str, execution: str, make_tree: MakeTree
) -> None:
    tree = make_tree({"good.txt": "good"})
    bad = tree / "bad\x1b[31m.txt"
    bad.write_text("bad")
    result = cli("upload", execution, tree).expect(3)
    assert "\x1b" not in result.err
    cli("finish", execution, "--result", "pass").ok()
    record = read_record(s3, bucket, execution)
    assert record["artifact_status"] == "artifact_error"
    assert len(record["failures"]) == 1
    assert "bad" in record["failures"][0]["path"]
    history = json.loads(next(iter(bucket_contents(s3, bucket, "history/").values())))
    assert history["failure_count"] == 1
    bad.rename(tree / "bad.txt")
    cli("upload", execution, tree).ok()
    record = read_record(s3, bucket, execution)
    assert (record["artifact_status"], record["failures"]) == ("complete", [])


def test_an_unfinished_upload_keeps_the_record_pending(
    cli: RunCommand, s3: S3Client, bucket: str, execution: str, make_tree: MakeTree
) -> None:
    key = f"executions/{execution}/artifacts/custom/huge.bin"
    s3.create_multipart_upload(Bucket=bucket, Key=key)
    result = cli("finish", execution, "--result", "pass").ok()
    assert "warning: the upload of artifacts/custom/huge.bin is unfinished" in result.err
    record = read_record(s3, bucket, execution)
    assert (record["artifact_count"], record["artifact_status"]) == (len(FILES), "pending")
    assert read_history(s3, bucket)["artifact_status"] == "pending"
    cli("upload", execution, make_tree({"huge.bin": "whole"})).ok()
    assert read_record(s3, bucket, execution)["artifact_status"] == "complete"
    assert read_history(s3, bucket)["artifact_status"] == "complete"


def test_an_upload_of_another_execution_or_of_a_stored_file_is_not_unfinished(
    cli: RunCommand, s3: S3Client, bucket: str, execution: str
) -> None:
    stored = f"executions/{execution}/logs/stdout.log"
    foreign = f"executions/{make_id(number=9)}/artifacts/custom/huge.bin"
    for key in (stored, foreign):
        s3.create_multipart_upload(Bucket=bucket, Key=key)
    result = cli("finish", execution, "--result", "pass").ok()
    assert "unfinished" not in result.err
    assert read_record(s3, bucket, execution)["artifact_status"] == "complete"


def test_an_on_prem_execution_is_pending_until_its_tree_is_stored(
    cli: RunCommand, s3: S3Client, bucket: str
) -> None:
    execution_id = cli("new", "--runner-type", "onprem", "--bench-id", "b7").ok().out.strip()
    result = cli("finish", execution_id, "--result", "pass").ok()
    assert "stays pending until sync-efs has stored the bench's tree" in result.err
    assert read_record(s3, bucket, execution_id)["artifact_status"] == "pending"
    assert read_history(s3, bucket)["artifact_status"] == "pending"
    cli("finish", execution_id, "--result", "pass", "--tree-stored").ok()
    assert read_record(s3, bucket, execution_id)["artifact_status"] == "complete"
    # What was promised once is not taken back by repeating the plain command.
    cli("finish", execution_id, "--result", "pass").ok()
    assert read_history(s3, bucket)["artifact_status"] == "complete"


# --- a manifest too long to keep -------------------------------------------------------------


@pytest.fixture
def long_files(s3: S3Client, bucket: str) -> tuple[str, dict[str, bytes]]:
    """An execution whose manifest takes more than 128 KiB."""
    execution_id = put_execution(s3, bucket)
    files = {f"artifacts/custom/{'long-name-' * 80}{n:03}": b"%d" % n for n in range(140)}
    for path, data in files.items():
        put_file(s3, bucket, execution_id, path, data)
    return execution_id, files


def test_a_long_manifest_leaves_its_totals_and_its_digest(
    cli: RunCommand,
    s3: S3Client,
    bucket: str,
    long_files: tuple[str, dict[str, bytes]],
    make_tree: MakeTree,
) -> None:
    execution_id, files = long_files
    result = cli("finish", execution_id, "--result", "pass", "--json").ok()
    record = read_record(s3, bucket, execution_id)
    assert result.json() == record
    assert record["artifacts"] is None
    assert record["artifact_count"] == len(files)
    assert record["artifact_bytes"] == sum(map(len, files.values()))
    assert record["manifest_sha256"] == manifest_digest(files)
    stored = s3.head_object(Bucket=bucket, Key=f"executions/{execution_id}/metadata.json")
    assert stored["ContentLength"] < 128 * 1024
    cli("upload", execution_id, make_tree({"stdout.log": "one more\n"})).ok()
    record = read_record(s3, bucket, execution_id)
    assert record["artifacts"] is None
    assert record["manifest_sha256"] == manifest_digest(files | {"logs/stdout.log": b"one more\n"})


# --- metadata.json changes by compare-and-swap -----------------------------------------------


def labelled(name: str) -> Callable[[ExecutionMetadata], ExecutionMetadata]:
    def change(metadata: ExecutionMetadata) -> ExecutionMetadata:
        return metadata.model_copy(update={"labels": {**metadata.labels, name: "x"}})

    return change


def test_sixteen_writers_at_once_lose_nothing(s3: S3Client, bucket: str) -> None:
    execution_id = put_execution(s3, bucket, labels={"kept": "x"}, unknown_field={"deep": [1]})
    store = App(Settings(bucket=bucket)).store()
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
    record = read_record(s3, bucket, execution_id)
    assert set(record["labels"]) == {"kept", *(f"w{number}" for number in range(16))}
    assert record["unknown_field"] == {"deep": [1]}


def test_a_change_between_read_and_write_is_kept(s3: S3Client, bucket: str) -> None:
    execution_id = put_execution(s3, bucket)
    store = App(Settings(bucket=bucket)).store()
    seen: list[dict[str, str]] = []

    def change(metadata: ExecutionMetadata) -> ExecutionMetadata:
        seen.append(metadata.labels)
        if len(seen) == 1:
            put_execution(s3, bucket, execution_id, labels={"other": "x"})
        return labelled("mine")(metadata)

    returned = update_metadata(store, execution_id, change)
    assert seen == [{}, {"other": "x"}]
    assert returned.labels == {"other": "x", "mine": "x"}
    assert read_record(s3, bucket, execution_id)["labels"] == returned.labels


def test_fields_of_a_newer_version_are_kept(cli: RunCommand, s3: S3Client, bucket: str) -> None:
    newer: dict[str, Any] = {"schema_version": 2, "owner": {"team": "ünï"}, "score": 1.5}
    execution_id = put_execution(s3, bucket, files=FILES, **newer)
    cli("finish", execution_id, "--result", "pass").ok()
    record = read_record(s3, bucket, execution_id)
    assert {name: record[name] for name in newer} == newer


# --- errors ----------------------------------------------------------------------------------


def test_a_missing_execution_is_named(cli: RunCommand, s3: S3Client, bucket: str) -> None:
    execution_id = make_id()
    result = cli("finish", execution_id, "--result", "pass").expect(4)
    assert f"no such execution: {execution_id} in s3://{bucket}" in result.err
    assert list_keys(s3, bucket) == []


def test_metadata_that_is_not_valid_is_left_alone(
    cli: RunCommand, s3: S3Client, bucket: str
) -> None:
    execution_id = make_id()
    content = json.dumps(make_record(execution_id, artifact_count="many")).encode()
    put_metadata(s3, bucket, execution_id, content)
    stored = bucket_contents(s3, bucket)
    result = cli("finish", execution_id, "--result", "pass").expect(7)
    assert f"metadata.json of {execution_id} is not valid: artifact_count" in result.err
    assert bucket_contents(s3, bucket) == stored


def test_the_result_must_be_given(cli: RunCommand, bucket: str, execution: str) -> None:
    result = cli("finish", execution).expect(2)
    assert "missing option '--result'" in result.err
    assert "'maybe' is not one of" in cli("finish", execution, "--result", "maybe").expect(2).err


@pytest.mark.parametrize("harm", ["removed", "overwritten"])
def test_what_somebody_takes_from_a_finished_execution_is_on_record_until_it_is_stored_again(
    harm: str, cli: RunCommand, s3: S3Client, bucket: str, make_tree: MakeTree
) -> None:
    """A record is written anew from what is there; what was there before must not be forgotten."""
    tree = make_tree({"a.txt": "a", "b.txt": "b"})
    execution_id = cli("new").ok().out.strip()
    cli("upload", execution_id, tree).ok()
    cli("finish", execution_id, "--result", "pass").ok()
    key = f"executions/{execution_id}/artifacts/custom/a.txt"
    if harm == "removed":
        s3.delete_object(Bucket=bucket, Key=key)
    else:
        s3.put_object(Bucket=bucket, Key=key, Body=b"another's")
    cli("finish", execution_id, "--result", "pass").ok()
    record = read_record(s3, bucket, execution_id)
    assert record["artifact_status"] == "artifact_error"
    (failure,) = record["failures"]
    assert failure["path"] == "artifacts/custom/a.txt"
    assert failure["error"] == f"it was stored, and somebody has {harm} it since"
    (line,) = bucket_contents(s3, bucket, "history/").values()
    assert json.loads(line)["failure_count"] == 1
    if harm == "overwritten":
        cli("upload", execution_id, tree).expect(6)
        s3.delete_object(Bucket=bucket, Key=key)
    cli("upload", execution_id, tree).ok()
    record = read_record(s3, bucket, execution_id)
    assert (record["artifact_status"], record["failures"]) == ("complete", [])


def test_a_refused_history_line_is_told_as_all_that_is_missing_and_a_repeat_writes_it(
    cli: RunCommand, recorder: Proxy, s3: S3Client, bucket: str, execution: str
) -> None:
    recorder.inject(faults.access_denied(), "PutObject", key="^history/")
    refused = cli("finish", execution, "--result", "pass").expect(5)
    repeat = f"orchestrator finish {execution} --result pass"
    assert f"the record is stored, its history line is not: `{repeat}` writes it" in refused.err
    assert "s3:PutObject" in refused.err
    assert read_record(s3, bucket, execution)["status"] == "completed"
    cli(*repeat.split()[1:]).ok()
    assert read_history(s3, bucket)["result"] == "pass"
