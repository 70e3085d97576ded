"""`orchestrator show`: the validated metadata, found by any way to name an execution."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.commands.running import RunCommand
from tests.support.commands.terminal import Terminal
from tests.support.scene import Scene
from tests.support.stored.executions import make_id, make_record, put_keys, put_metadata

CHECKSUM = "sha256:" + "0" * 64
ARTIFACT = {"path": "logs/x", "size_bytes": 1, "checksum": CHECKSUM, "content_type": "text/plain"}


def test_text_names_every_field(scene: Scene) -> None:
    execution_id = scene.put_execution(test_suite="smoke",
        status="completed",
        result="pass",
        artifact_status="artifact_error",
        ended_at="2026-01-31T08:00:01Z",
        artifact_count=1234,
        artifact_bytes=5 * 1024 * 1024,
        artifacts=[ARTIFACT],
        failures=[{"path": "a", "error": "no"}, {"path": "b", "error": "no"}],
        labels={"b": "2", "a": "1"},
    )  # fmt: skip
    result = scene.cli("show", execution_id).ok()
    assert result.err == ""
    assert [tuple(line.split("\t")) for line in result.lines] == [
        ("result", "pass"),
        ("suite", "smoke"),
        ("started", "2026-01-31 08:00:00Z"),
        ("ended", "2026-01-31 08:00:01Z"),
        ("duration", "1s"),
        ("files", "1,234 files, 5.0 MiB"),
        ("failures", "a: no; b: no"),
        ("execution id", execution_id),
        ("status", "completed"),
        ("artifact status", "artifact_error"),
        ("runner type", "-"),
        ("bench id", "-"),
        ("reservation id", "-"),
        ("labels", "a=1, b=2"),
        ("run", "-"),
        ("manifest sha256", "-"),
        ("schema version", "1"),
    ]


def test_json_is_the_whole_record(scene: Scene) -> None:
    fields: dict[str, Any] = {"artifacts": [ARTIFACT], "of_a_newer_version": {"deep": [1, None]}}
    execution_id = scene.put_execution(**fields)
    result = scene.cli("show", "--json", execution_id).ok()
    assert result.out.count("\n") == 1
    assert result.json() == make_record(execution_id, **fields) | {"liveness": None}


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_what_others_wrote_never_reaches_the_terminal_raw(scene: Scene, options: list[str]) -> None:
    bad = "\x1b[31m[red]\x9b31m\u202e\u2028\x07\r\n\x7f"
    fields: dict[str, Any] = {
        "labels": {bad: bad},
        "test_suite": bad,
        "failures": [{"path": bad, "error": bad}],
        f"field{bad}": bad,
    }
    execution_id = scene.put_execution(**fields)
    result = scene.cli("show", *options, execution_id).ok()
    assert set(result.out) & set(bad) <= set("[31mred]\n")
    assert len(result.lines) == (1 if options else 18)
    if options:
        assert result.json()["labels"] == {bad: bad}


# --- ways to name an execution ---------------------------------------------------------------


@pytest.fixture
def three(scene: Scene) -> list[str]:
    """Executions of two hours ago, one hour ago and now."""
    now = datetime.now(UTC)
    return [
        scene.put_execution(make_id(now - timedelta(hours=hours), number=hours))
        for hours in (2, 1, 0)
    ]


def shown_id(cli: RunCommand, *arguments: str, env: dict[str, str] | None = None) -> str:
    return str(cli("show", "--json", *arguments, env=env).ok().json()["execution_id"])


def test_an_id_may_be_lower_case_a_prefix_or_latest(cli: RunCommand, three: list[str]) -> None:
    assert shown_id(cli, three[1].lower()) == three[1]
    assert shown_id(cli, three[0][:-1]) == three[0]
    assert shown_id(cli, three[0][:-1].lower()) == three[0]
    assert shown_id(cli, "@latest") == three[2]


def test_the_id_may_come_from_the_environment(cli: RunCommand, three: list[str]) -> None:
    assert shown_id(cli, env={"ORCHESTRATOR_EXECUTION_ID": three[0]}) == three[0]
    assert shown_id(cli, env={"ORCHESTRATOR_EXECUTION_ID": "@latest"}) == three[2]
    assert shown_id(cli, three[1], env={"ORCHESTRATOR_EXECUTION_ID": three[0]}) == three[1]
    empty = cli("show", env={"ORCHESTRATOR_EXECUTION_ID": ""}).expect(2)
    assert "missing argument 'ID'" in empty.err


def test_a_prefix_of_several_is_refused_with_their_ids(cli: RunCommand, three: list[str]) -> None:
    result = cli("show", three[0][:2]).expect(2)
    assert result.stdout == b""
    assert three[0] in result.err
    assert three[1] in result.err


@pytest.mark.parametrize("text", ["nonsense", "", "../x", "8", "@first", "01ARZ3NDEKI", "[red]"])
def test_what_is_no_id_is_a_usage_error(scene: Scene, text: str) -> None:
    assert "not an execution id" in scene.cli("show", text).expect(2).err


def test_a_prefix_of_none_and_the_latest_of_none_are_not_found(scene: Scene) -> None:
    assert "no execution id starts with 01" in scene.cli("show", "01").expect(4).err
    assert "no execution of the last year" in scene.cli("show", "@latest").expect(4).err


def test_latest_goes_back_as_far_as_a_year(scene: Scene) -> None:
    old = scene.put_execution(make_id(datetime.now(UTC) - timedelta(days=300)))
    assert shown_id(scene.cli, "@latest") == old


def test_foreign_keys_are_never_the_latest_or_a_prefix(scene: Scene, three: list[str]) -> None:
    far = make_id(datetime.now(UTC) + timedelta(days=3650))
    prefix = three[2][:-1]
    put_keys(
        scene.s3, scene.bucket, [f"executions/{far}/x", f"executions/{prefix}/x", "executions/zz/x"]
    )
    assert shown_id(scene.cli, "@latest") == three[2]
    assert shown_id(scene.cli, prefix) == three[2]


def test_latest_costs_one_listing_where_something_ran_within_the_hour(
    scene: Scene, three: list[str]
) -> None:
    assert shown_id(scene.cli, "@latest") == three[2]
    # The record, and the heartbeat of one that is running.
    assert scene.recorder.operations() == {"ListObjectsV2": 1, "GetObject": 2}


# --- errors ----------------------------------------------------------------------------------


def test_a_missing_execution_is_named(scene: Scene) -> None:
    execution_id = make_id()
    result = scene.cli("show", execution_id).expect(4)
    assert result.stdout == b""
    assert f"error: no such execution: {execution_id} in s3://{scene.bucket}" in result.err
    assert "orchestrator ls" in result.err


def test_a_missing_bucket_is_named(scene: Scene) -> None:
    result = scene.cli("--bucket", f"{scene.bucket}-gone", "show", make_id()).expect(4)
    assert "no such bucket" in result.err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "Invalid JSON"),
        (b"{", "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        (b"[]", "object"),
        ({"execution_id": 5}, "execution_id"),
        ({"artifact_count": -1}, "artifact_count"),
        ({"started_at": "yesterday"}, "started_at"),
        ({"started_at": "2026-01-31T08:00:00"}, "started_at"),
        ({"ended_at": "2020-01-31T08:00:00Z"}, "ended_at is before started_at"),
        ({"result": "maybe"}, "result"),
        ({"labels": {"\x1b[31mred": 1}}, "labels"),
    ],
)
def test_metadata_that_is_not_valid_is_an_integrity_error(
    scene: Scene, content: bytes | dict[str, Any], said: str
) -> None:
    execution_id = make_id()
    if not isinstance(content, bytes):
        content = json.dumps(make_record(execution_id) | content).encode()
    put_metadata(scene.s3, scene.bucket, execution_id, content)
    stored = scene.contents()
    result = scene.cli("show", execution_id).expect(7)
    assert result.stdout == b""
    assert f"error: metadata.json of {execution_id} is not valid" in result.err
    assert said in result.err
    assert "\x1b" not in result.err
    assert result.err.count("\n") == 2
    assert scene.contents() == stored


def test_the_record_of_another_execution_is_an_integrity_error(scene: Scene) -> None:
    one, other = make_id(number=1), make_id(number=2)
    put_metadata(scene.s3, scene.bucket, one, json.dumps(make_record(other)).encode())
    assert f"names another execution: {other}" in scene.cli("show", one).expect(7).err


def test_archived_metadata_is_said_to_be_archived(scene: Scene) -> None:
    execution_id = make_id()
    key = f"executions/{execution_id}/metadata.json"
    content = json.dumps(make_record(execution_id)).encode()
    scene.s3.put_object(Bucket=scene.bucket, Key=key, Body=content, StorageClass="DEEP_ARCHIVE")
    result = scene.cli("show", execution_id).expect(8)
    assert "archived" in result.err
    assert "restore" in result.err


def test_a_terminal_is_shown_local_times(scene: Scene, terminal: Callable[..., Terminal]) -> None:
    execution_id = scene.put_execution()
    screen = terminal("show", execution_id, env={"TZ": "Asia/Tokyo"})
    assert screen.wait() == 0
    # 08:00 UTC.
    assert re.search(rb"started +2026-01-31 17:00:00\r", screen.output)
    assert re.search(rb"ended +-\r", screen.output)
    assert re.search("started\t2026-01-31.08:00:00", scene.cli("show", execution_id).ok().out)
