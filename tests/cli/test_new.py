"""`orchestrator new`: one object, one line."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.support.executions import make_id, read_record
from tests.support.objects import bucket_contents, list_keys
from tests.support.running import RunCommand

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def test_the_id_alone_is_printed_and_one_object_is_written(
    cli: RunCommand, s3: S3Client, bucket: str
) -> None:
    before = datetime.now(UTC)
    result = cli("new").ok()
    assert re.fullmatch(r"[0-7][0-9A-HJKMNP-TV-Z]{25}\n", result.out)
    assert result.err == ""
    execution_id = result.out.strip()
    key = f"executions/{execution_id}/metadata.json"
    assert list_keys(s3, bucket) == [key]
    assert s3.head_object(Bucket=bucket, Key=key)["ContentType"] == "application/json"
    record = read_record(s3, bucket, execution_id)
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


def test_ids_sort_by_time(cli: RunCommand, bucket: str) -> None:
    first, second = (cli("new").ok().out.strip() for _ in range(2))
    assert first[:10] <= second[:10]
    assert first != second


def test_every_property_is_stored(cli: RunCommand, s3: S3Client, bucket: str) -> None:
    result = cli(
        "new", "--suite", "smoke ünï", "--runner-type", "onprem", "--bench-id", "b7",
        "--reservation-id", "r-1", "--label", "branch=main", "--label", "note=a=b", "--json",
    ).ok()  # fmt: skip
    printed = result.json()
    assert printed == read_record(s3, bucket, printed["execution_id"])
    assert printed["test_suite"] == "smoke ünï"
    assert printed["runner_type"] == "onprem"
    assert printed["bench_id"] == "b7"
    assert printed["reservation_id"] == "r-1"
    assert printed["labels"] == {"branch": "main", "note": "a=b"}


def test_repeating_with_an_id_changes_nothing(cli: RunCommand, s3: S3Client, bucket: str) -> None:
    execution_id = make_id(number=1)
    arguments = ("--id", execution_id.lower(), "--suite", "smoke", "--label", "a=b")
    assert cli("new", *arguments).ok().out == f"{execution_id}\n"
    stored = bucket_contents(s3, bucket)
    assert cli("new", *arguments).ok().out == f"{execution_id}\n"
    assert bucket_contents(s3, bucket) == stored


def test_an_id_with_other_properties_is_a_conflict(
    cli: RunCommand, s3: S3Client, bucket: str
) -> None:
    execution_id = make_id(number=2)
    cli("new", "--id", execution_id, "--suite", "smoke").ok()
    stored = bucket_contents(s3, bucket)
    result = cli("new", "--id", execution_id, "--suite", "nightly").expect(6)
    assert result.stdout == b""
    assert f"execution {execution_id} exists with other properties" in result.err
    assert f"orchestrator show {execution_id}" in result.err
    assert bucket_contents(s3, bucket) == stored


def test_what_was_left_open_is_filled_in(cli: RunCommand, s3: S3Client, bucket: str) -> None:
    execution_id = make_id(number=3)
    cli("new", "--id", execution_id, "--bench-id", "b7", "--label", "a=b").ok()
    cli("new", "--id", execution_id, "--suite", "smoke", "--label", "c=d").ok()
    record = read_record(s3, bucket, execution_id)
    assert (record["bench_id"], record["test_suite"]) == ("b7", "smoke")
    assert record["labels"] == {"a": "b", "c": "d"}
    result = cli("new", "--id", execution_id, "--runner-type", "ec2").expect(6)
    assert "exists with other properties" in result.err
    cli("new", "--id", execution_id, "--label", "a=other").expect(6)
    assert read_record(s3, bucket, execution_id) == record


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
    cli: RunCommand, s3: S3Client, bucket: str, arguments: list[str], said: str
) -> None:
    result = cli("new", *arguments).expect(2)
    assert result.stdout == b""
    assert said in result.err
    assert "unexpected" not in result.err
    assert list_keys(s3, bucket) == []


def test_a_missing_bucket_is_named(cli: RunCommand, bucket: str) -> None:
    result = cli("--bucket", f"{bucket}-gone", "new").expect(4)
    assert result.stdout == b""
    assert "no such bucket" in result.err
    # It may be an option that names it, so no variable is blamed.
    assert "ORCHESTRATOR_BUCKET" not in result.err


def test_json_is_one_line(cli: RunCommand, bucket: str) -> None:
    result = cli("new", "--label", "text=two\nlines", "--json").ok()
    assert result.out.count("\n") == 1
    assert json.loads(result.out)["labels"] == {"text": "two\nlines"}


def test_labels_that_look_like_secrets_are_masked_and_said(
    cli: RunCommand, s3: S3Client, bucket: str
) -> None:
    execution = make_id()
    labels = {"api_token": "hunter1", "seen": "hunter2", "url": "https://me:hunter3@host/"}
    options = [f"--label={name}={text}" for name, text in (labels | {"branch": "main"}).items()]
    environment = {"MY_PASSWORD": "hunter2"}
    for _ in range(2):  # and once more is the same execution
        made = cli("new", "--id", execution, *options, env=environment).ok()
        assert [line.split()[2] for line in made.err.splitlines()] == list(labels)
        assert "hunter" not in made.err
    assert read_record(s3, bucket, execution)["labels"] == {
        "api_token": "…",
        "seen": "…",
        "url": "https://…@host/",
        "branch": "main",
    }
