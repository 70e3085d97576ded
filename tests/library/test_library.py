"""The public face, as a worker of an orchestrator uses it, against a real S3 server."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from io import BytesIO, StringIO
from pathlib import Path
from urllib.request import urlopen

import pytest

import orchestrator_cli
from orchestrator_cli import (
    AccessError,
    Bucket,
    ConflictError,
    ExecutionFilter,
    NotFoundError,
    UsageError,
    open_bucket,
)
from tests.support.proxy import faults
from tests.support.scene import Scene


@pytest.fixture
def opened(bucket: str) -> Bucket:
    return open_bucket(bucket)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    directory = tmp_path / "results"
    (directory / "screenshots").mkdir(parents=True)
    (directory / "stdout.log").write_text("step 1\nERROR\n")
    (directory / "screenshots" / "last.png").write_bytes(b"png")
    return directory


def test_an_execution_is_made_filled_finished_and_read(
    scene: Scene, opened: Bucket, results: Path
) -> None:
    execution = opened.new_execution(suite="smoke", labels={"branch": "main"})
    assert execution.upload(results).created == 2
    assert execution.upload(results).identical == 2
    assert execution.upload_stream(BytesIO(b"from a pipe\n"), "stderr.log").stored
    finished = execution.finish("fail")
    assert (finished.result, finished.artifact_status) == ("fail", "complete")
    assert finished.to_dict() == scene.record(execution.id)
    paths = [file.path for file in execution.files()]
    assert paths == ["artifacts/screenshots/last.png", "logs/stderr.log", "logs/stdout.log"]
    assert b"".join(execution.read("logs/stdout.log")) == b"step 1\nERROR\n"
    assert execution.download(scene.directory / "copy", "logs/*").created == 2
    assert (scene.directory / "copy/logs/stderr.log").read_bytes() == b"from a pipe\n"
    link = execution.presign("logs/stdout.log", timedelta(minutes=5))
    with urlopen(link.url) as answer:
        assert answer.read() == b"step 1\nERROR\n"
    assert not link.may_end_earlier
    assert link.expires_at > datetime.now(UTC)


def test_executions_are_found_again(opened: Bucket) -> None:
    smoke = opened.new_execution(suite="smoke")
    nightly = opened.new_execution(suite="nightly")
    assert {one.execution_id for one in opened.executions()} == {smoke.id, nightly.id}
    wanted = ExecutionFilter(suites=frozenset({"smoke"}))
    assert [one.execution_id for one in opened.executions(wanted=wanted)] == [smoke.id]
    assert opened.execution(smoke.id.lower()).metadata().test_suite == "smoke"
    assert opened.execution("@latest").id in (smoke.id, nightly.id)
    assert list(opened.executions(until=datetime(2020, 1, 1, tzinfo=UTC))) == []


def test_a_record_that_is_not_valid_is_left_out_and_one_that_cannot_be_had_is_not(
    scene: Scene,
) -> None:
    opened = open_bucket(scene.bucket)
    valid, broken = opened.new_execution(), opened.new_execution()
    key = f"executions/{broken.id}/metadata.json"
    scene.s3.put_object(Bucket=scene.bucket, Key=key, Body=b"not a record")
    assert [one.execution_id for one in opened.executions()] == [valid.id]
    scene.recorder.inject(
        faults.access_denied(), "GetObject", key=f"{valid.id}/metadata", times=None
    )
    with pytest.raises(AccessError):
        list(opened.executions())


def test_an_execution_is_made_once(opened: Bucket) -> None:
    first = opened.new_execution(suite="smoke")
    assert opened.new_execution(execution_id=first.id).id == first.id
    with pytest.raises(ConflictError, match="exists with other properties"):
        opened.new_execution(execution_id=first.id, suite="nightly")
    with pytest.raises(UsageError, match="runner_type"):
        opened.new_execution(runner_type="moon")


def test_what_is_not_there_is_said(opened: Bucket) -> None:
    missing = opened.execution("01J00000000000000000000000")
    with pytest.raises(NotFoundError, match="no such execution"):
        missing.metadata()
    execution = opened.new_execution()
    with pytest.raises(NotFoundError, match="no such file"):
        list(execution.read("logs/stdout.log"))


def test_a_file_that_fails_is_a_result_and_on_record(
    scene: Scene, opened: Bucket, results: Path
) -> None:
    execution = open_bucket(scene.bucket).new_execution()
    scene.recorder.inject(faults.access_denied(), "PutObject", key=r"last\.png", times=None)
    summary = execution.upload(results)
    assert summary.created == 1
    assert [type(failure.error) for failure in summary.failures] == [AccessError]
    record = execution.finish("pass")
    assert record.artifact_status == "artifact_error"
    assert [one.path for one in record.failures] == ["artifacts/screenshots/last.png"]
    scene.recorder.heal()
    execution.upload(results)
    assert execution.metadata().artifact_status == "complete"


def test_what_ends_an_upload_is_raised_and_on_record(
    scene: Scene, opened: Bucket, results: Path
) -> None:
    execution = open_bucket(scene.bucket).new_execution()
    scene.recorder.inject(
        faults.wrong_credentials(), "PutObject", key=r"artifacts/|logs/", times=None
    )
    with pytest.raises(AccessError, match="does not know the access key"):
        execution.upload(results)
    with pytest.raises(AccessError, match="does not know the access key"):
        execution.upload_stream(BytesIO(b"from a pipe"), "stderr.log")
    scene.recorder.heal()
    failures = execution.metadata().failures
    assert {one.error.partition(":")[0] for one in failures} == {"not stored"}
    assert {one.path for one in failures} >= {"logs/stdout.log", "logs/stderr.log"}
    assert execution.upload(results).created == 2
    assert execution.upload_stream(BytesIO(b"from a pipe"), "stderr.log").stored
    assert execution.finish("pass").artifact_status == "complete"


def test_a_result_that_there_is_not_is_refused(opened: Bucket) -> None:
    execution = opened.new_execution()
    with pytest.raises(UsageError, match="not a result: 'passed'"):
        execution.finish("passed")
    assert execution.metadata().result is None


def test_nothing_is_written_for_a_file_that_was_never_there(scene: Scene, opened: Bucket) -> None:
    execution = opened.new_execution()
    summary = execution.upload(scene.directory / "reslts")
    assert [type(failure.error) for failure in summary.failures] == [NotFoundError]
    assert execution.metadata().failures == []
    assert list(scene.contents()) == [f"executions/{execution.id}/metadata.json"]


def test_the_names_are_typed_and_cost_nothing_until_used() -> None:
    assert sorted(orchestrator_cli.__all__) == orchestrator_cli.__all__
    assert all(getattr(orchestrator_cli, name) for name in orchestrator_cli.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        orchestrator_cli.nonsense  # noqa: B018
    heavy = {"boto3", "botocore", "click", "pycurl", "pydantic", "rich", "tenacity"}
    program = f"import sys, orchestrator_cli; print({heavy} & set(sys.modules))"
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert finished.stdout == "set()\n"


def test_an_id_may_have_any_form_that_commands_take(scene: Scene, opened: Bucket) -> None:
    smoke, nightly = opened.new_execution(suite="smoke"), opened.new_execution(suite="nightly")
    smoke.finish("fail")
    url = f"s3://{scene.bucket}/executions/{nightly.id}/logs/stdout.log"
    forms = {"@latest:result=fail": smoke.id, f"{smoke.id}/": smoke.id, url: nightly.id}
    for form, wanted in forms.items():
        assert opened.execution(form).id == wanted
        assert scene.cli("show", form, "--json").ok().json()["execution_id"] == wanted
    with pytest.raises(UsageError, match="in another bucket"):
        opened.execution(url.replace(scene.bucket, "another-bucket"))


def test_the_record_of_a_new_execution_comes_with_it(scene: Scene, opened: Bucket) -> None:
    first = opened.new_execution(suite="smoke")
    again = opened.new_execution(execution_id=first.id, labels={"branch": "main"})
    assert again.created is not None
    assert again.created.to_dict() == scene.record(first.id)
    assert again.created.labels == {"branch": "main"}
    assert opened.execution(first.id).created is None


@pytest.mark.parametrize("name", ["", "a b", "Bad_Name!"])
def test_what_is_no_name_of_a_bucket_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is not a bucket name"):
        open_bucket(name)


def test_what_is_of_the_wrong_kind_is_refused_and_nothing_is_stored(
    scene: Scene, opened: Bucket
) -> None:
    execution = opened.new_execution()
    before = scene.contents()
    with pytest.raises(UsageError, match="StringIO is not a binary stream"):
        execution.upload_stream(StringIO("text"), "stdout.log")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="'3600' is not a timedelta"):
        execution.presign("logs/stdout.log", 3600)  # type: ignore[arg-type]
    for window in ("since", "until"):
        with pytest.raises(UsageError, match="2026-01-02 00:00:00 has no time zone"):
            list(opened.executions(**{window: datetime(2026, 1, 2)}))  # type: ignore[arg-type]  # noqa: DTZ001
    assert scene.contents() == before


def test_buckets_and_executions_say_which_they_are(opened: Bucket, bucket: str) -> None:
    execution = opened.new_execution()
    assert repr(opened) == f"<Bucket {bucket}>"
    assert repr(execution) == f"<Execution {execution.id}>"
