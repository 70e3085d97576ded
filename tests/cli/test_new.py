"""`orchestrator new`: one object, one line."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest

from tests.support.scene import Scene
from tests.support.stored.executions import make_id


def test_the_id_alone_is_printed_and_one_object_is_written(scene: Scene) -> None:
    before = datetime.now(UTC)
    result = scene.cli("new").ok()
    assert re.fullmatch(r"[0-7][0-9A-HJKMNP-TV-Z]{25}\n", result.out)
    assert result.err == ""
    execution_id = result.out.strip()
    key = f"executions/{execution_id}/metadata.json"
    assert scene.list_keys() == [key]
    assert scene.s3.head_object(Bucket=scene.bucket, Key=key)["ContentType"] == "application/json"
    record = scene.record(execution_id)
    started = datetime.fromisoformat(record.pop("started_at"))
    assert abs((started - before).total_seconds()) < 30
    assert record == {
        "schema_version": 1,
        "execution_id": execution_id,
        "reservation_id": None,
        "runner_type": None,
        "bench_id": None,
        "test_suite": None,
        "result": None,
        "status": "running",
        "artifact_status": "pending",
        "ended_at": None,
        "artifact_count": 0,
        "artifact_bytes": 0,
        "manifest_sha256": None,
        "artifacts": None,
        "failures": [],
        "unfinished_uploads": [],
        "tree_stored": False,
        "labels": {},
        "run": None,
    }


def test_ids_sort_by_time(scene: Scene) -> None:
    first, second = (scene.cli("new").ok().out.strip() for _ in range(2))
    assert first[:10] <= second[:10]
    assert first != second


def test_every_property_is_stored(scene: Scene) -> None:
    result = scene.cli(
        "new", "--suite", "smoke ünï", "--runner-type", "onprem", "--bench-id", "b7",
        "--reservation-id", "r-1", "--label", "branch=main", "--label", "note=a=b", "--json",
    ).ok()  # fmt: skip
    printed = result.json()
    assert printed == scene.record(printed["execution_id"])
    assert printed["test_suite"] == "smoke ünï"
    assert printed["runner_type"] == "onprem"
    assert printed["bench_id"] == "b7"
    assert printed["reservation_id"] == "r-1"
    assert printed["labels"] == {"branch": "main", "note": "a=b"}


def test_repeating_with_an_id_changes_nothing(scene: Scene) -> None:
    execution_id = make_id(number=1)
    arguments = ("--id", execution_id.lower(), "--suite", "smoke", "--label", "a=b")
    assert scene.cli("new", *arguments).ok().out == f"{execution_id}\n"
    stored = scene.contents()
    assert scene.cli("new", *arguments).ok().out == f"{execution_id}\n"
    assert scene.contents() == stored


def test_an_id_with_other_properties_is_a_conflict(scene: Scene) -> None:
    execution_id = make_id(number=2)
    scene.cli("new", "--id", execution_id, "--suite", "smoke").ok()
    stored = scene.contents()
    result = scene.cli("new", "--id", execution_id, "--suite", "nightly").expect(6)
    assert result.stdout == b""
    assert f"execution {execution_id} exists with other properties" in result.err
    assert f"orchestrator show {execution_id}" in result.err
    assert scene.contents() == stored


def test_what_was_left_open_is_filled_in(scene: Scene) -> None:
    execution_id = make_id(number=3)
    scene.cli("new", "--id", execution_id, "--bench-id", "b7", "--label", "a=b").ok()
    scene.cli("new", "--id", execution_id, "--suite", "smoke", "--label", "c=d").ok()
    record = scene.record(execution_id)
    assert (record["bench_id"], record["test_suite"]) == ("b7", "smoke")
    assert record["labels"] == {"a": "b", "c": "d"}
    result = scene.cli("new", "--id", execution_id, "--runner-type", "ec2").expect(6)
    assert "exists with other properties" in result.err
    scene.cli("new", "--id", execution_id, "--label", "a=other").expect(6)
    assert scene.record(execution_id) == record


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--id", "nonsense"], "not an execution id"),
        (["--id", "8" * 26], "not an execution id"),
        (["--runner-type", "moon"], "'moon' is not one of 'ec2', 'eks', 'onprem'"),
        (["--runner-type", "ec2", "--bench-id", "b7"], "bench_id is for runner_type onprem only"),
        (["--label", "no-equals-sign"], "is not KEY=VALUE"),
        (["--label", "=value"], "is not KEY=VALUE"),
        (["--label", "big=" + "x" * 131_072], "metadata.json would be over 131,072 bytes"),
        (["--suite", "\udcff"], "test_suite"),
    ],
)
def test_what_cannot_be_stored_is_a_usage_error(
    scene: Scene, arguments: list[str], said: str
) -> None:
    result = scene.cli("new", *arguments).expect(2)
    assert result.stdout == b""
    assert said in result.err
    assert "unexpected" not in result.err
    assert scene.list_keys() == []


def test_a_missing_bucket_is_named(scene: Scene) -> None:
    result = scene.cli("--bucket", f"{scene.bucket}-gone", "new").expect(4)
    assert result.stdout == b""
    assert "no such bucket" in result.err
    # It may be an option that names it, so no variable is blamed.
    assert "ORCHESTRATOR_BUCKET" not in result.err


def test_json_is_one_line(scene: Scene) -> None:
    result = scene.cli("new", "--label", "text=two\nlines", "--json").ok()
    assert result.out.count("\n") == 1
    assert json.loads(result.out)["labels"] == {"text": "two\nlines"}


def test_labels_that_look_like_secrets_are_masked_and_said(scene: Scene) -> None:
    execution = make_id()
    labels = {"api_token": "hunter1", "seen": "hunter2", "url": "https://me:hunter3@host/"}
    options = [f"--label={name}={text}" for name, text in (labels | {"branch": "main"}).items()]
    environment = {"MY_PASSWORD": "hunter2"}
    for _ in range(2):  # and once more is the same execution
        made = scene.cli("new", "--id", execution, *options, env=environment).ok()
        assert [line.split()[2] for line in made.err.splitlines()] == list(labels)
        assert "hunter" not in made.err
    assert scene.record(execution)["labels"] == {
        "api_token": "…",
        "seen": "…",
        "url": "https://…@host/",
        "branch": "main",
    }
