"""An upload to an execution that runs needs no full record; everything odd is read in full."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator_cli.core.base.errors import AccessError
from orchestrator_cli.core.executions.keys import metadata_key
from orchestrator_cli.core.executions.record.repository import read_executions
from orchestrator_cli.core.executions.record.status_probe import find_running
from tests.support.commands.running import RunCommand
from tests.support.proxy.faults import access_denied
from tests.support.scene import Scene
from tests.support.stored.engine import open_store


@pytest.fixture
def execution(cli: RunCommand) -> str:
    return cli("new").ok().out.strip()


def change(scene: Scene, execution: str, changes: dict[str, Any]) -> None:
    key = metadata_key(execution)
    record = json.loads(scene.s3.get_object(Bucket=scene.bucket, Key=key)["Body"].read())
    record = {name: value for name, value in (record | changes).items() if value != "absent"}
    scene.s3.put_object(Bucket=scene.bucket, Key=key, Body=json.dumps(record).encode())


def test_a_fresh_execution_runs(bucket: str, execution: str) -> None:
    assert find_running(open_store(bucket), execution) is not None


def test_fields_of_a_newer_version_do_not_matter(scene: Scene, execution: str) -> None:
    change(scene, execution, {"new_field": [1]})
    assert find_running(open_store(scene.bucket), execution) is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "completed"},
        {"status": "absent"},
        {"failures": [{"path": "a", "error": "b"}]},
        {"failures": "absent"},
        {"artifact_status": "artifact_error"},
        {"schema_version": 2},
        {"execution_id": "01J00000000000000000000000"},
        {"result": "pass"},
        {"unfinished_uploads": [{"paths": 1}]},
        {"unfinished_uploads": 1},
    ],
)
def test_everything_else_is_looked_at_in_full(
    scene: Scene, execution: str, changes: dict[str, Any]
) -> None:
    change(scene, execution, changes)
    assert find_running(open_store(scene.bucket), execution) is None


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_record_is_not_running(scene: Scene, execution: str, content: bytes) -> None:
    scene.s3.put_object(Bucket=scene.bucket, Key=metadata_key(execution), Body=content)
    assert find_running(open_store(scene.bucket), execution) is None


def test_an_execution_that_is_not_there_is_not_running(bucket: str) -> None:
    assert not find_running(open_store(bucket), "01J00000000000000000000000")


def test_the_error_of_a_record_that_cannot_be_read_holds_no_request(
    scene: Scene, execution: str
) -> None:
    """A list of very many executions may keep one for each."""
    scene.recorder.inject(access_denied(), "GetObject", key="metadata.json")
    ((_, found),) = read_executions(open_store(scene.bucket), [execution])
    assert isinstance(found, AccessError)
    assert found.__traceback__ is None
