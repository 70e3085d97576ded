"""What may be given for an execution, through commands that read one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.executions import make_id, put_execution
from tests.support.proxy import Proxy
from tests.support.running import RunCommand

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture
def executions(s3: S3Client, bucket: str) -> list[str]:
    """The newest first: a smoke test that runs, one that failed, another that passed."""
    now = datetime.now(UTC)
    ids = [make_id(now - timedelta(hours=hours)) for hours in (1, 30, 400)]
    done: dict[str, Any] = {"status": "completed", "test_suite": "smoke"}
    put_execution(s3, bucket, ids[0], test_suite="smoke", labels={"branch": "main"})
    put_execution(s3, bucket, ids[1], **done, result="fail", bench_id="hil-07")
    put_execution(s3, bucket, ids[2], **done, result="pass", runner_type="ec2")
    return ids


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("@latest", 0),
        ("@latest:suite=smoke", 0),
        ("@latest:suite=smoke,result=fail", 1),
        ("@latest:result=pass,result=error", 2),
        ("@latest:bench=hil-07", 1),
        ("@latest:runner-type=ec2", 2),
        ("@latest:label.branch=main", 0),
    ],
)
def test_a_selector_chooses_the_latest_that_is_like_that(
    cli: RunCommand, executions: list[str], selector: str, expected: int
) -> None:
    assert cli("show", "--json", selector).ok().json()["execution_id"] == executions[expected]


@pytest.mark.parametrize("rest", ["", "/", "/logs/stdout.log"])
def test_a_url_stands_for_its_execution(
    cli: RunCommand, bucket: str, executions: list[str], rest: str
) -> None:
    url = f"s3://{bucket}/executions/{executions[1]}{rest}"
    assert cli("show", "--json", url).ok().json()["execution_id"] == executions[1]


def test_a_place_in_an_execution_is_that_file(
    cli: RunCommand, s3: S3Client, bucket: str, tmp_path: Path
) -> None:
    logs = {"logs/stdout.log": b"out\n", "logs/stderr.log": b"err\n"}
    execution_id = put_execution(s3, bucket, files=logs)
    stored = f"executions/{execution_id}/logs/stderr.log"
    places = [
        f"s3://{bucket}/{stored}",
        stored,
        f"{execution_id}/stderr",
        "@latest/stderr.log",
        f"https://{bucket}.s3.eu-central-1.amazonaws.com/{stored}?X-Amz-Signature=a/b",
        f"https://tests.example.com/ui/executions/{execution_id}/logs/stderr#L3",
    ]
    assert [cli("logs", place).ok().stdout for place in places] == [b"err\n"] * len(places)
    # It must not be the whole execution that is downloaded or listed.
    cli("download", places[0], "-o", tmp_path).ok()
    assert [path.name for path in tmp_path.rglob("*.log")] == ["stderr.log"]
    listed = cli("ls", f"s3://{bucket}/executions/{execution_id}/logs/stderr.log", "-0").ok()
    assert listed.out == "logs/stderr.log\0"


def test_ls_lists_executions_where_the_url_is_of_all(
    cli: RunCommand, bucket: str, executions: list[str]
) -> None:
    for everything in (f"s3://{bucket}", f"s3://{bucket}/executions/", "executions/"):
        assert cli("ls", everything, "-n", "1", "-0").ok().out == f"{executions[0]}\0"


def test_a_slash_may_follow_an_id_or_its_start(cli: RunCommand, executions: list[str]) -> None:
    for text in (f"{executions[1]}/", f"{executions[1].lower()}/", f"{executions[1][:20]}/"):
        assert cli("show", "--json", text).ok().json()["execution_id"] == executions[1]


def test_a_url_and_an_id_with_a_slash_cost_no_listing(
    cli: RunCommand, bucket: str, executions: list[str], recorder: Proxy
) -> None:
    for text in (f"{executions[1]}/", f"s3://{bucket}/executions/{executions[1]}/"):
        recorder.clear()
        cli("show", text).ok()
        assert recorder.operations() == {"GetObject": 1}


@pytest.mark.parametrize(
    ("selector", "code", "said"),
    [
        ("@latest:suite=none", 4, "no execution of the last year is @latest:suite=none"),
        ("@latest:sweet=smoke", 2, "with a field of suite, result"),
        ("@latest:", 2, "does not choose an execution"),
        ("@latest:label.branch", 2, "a label is KEY=VALUE"),
        ("s3://elsewhere/executions/01JABCDEFGHJKMNPQRSTVWXYZ0/", 2, "--bucket elsewhere"),
        ("s3://elsewhere/other/01JABCDEFGHJKMNPQRSTVWXYZ0/", 2, "not the URL of an execution"),
        ("@latest:result=failed", 2, "result is one of pass, fail, error"),
        ("@newest", 2, "not an execution id"),
        ("7", 4, "no execution id starts with 7 in s3://"),
        ("01", 2, "give more of the ID"),
    ],
)
def test_what_stands_for_no_execution(
    cli: RunCommand, executions: list[str], selector: str, code: int, said: str
) -> None:
    assert said in cli("show", selector).expect(code).err


def test_every_command_says_the_same_of_what_is_no_execution(
    cli: RunCommand, executions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_UI_URL", "http://pages.example.com")
    commands = ["show", "ls", "logs", "logs -f", "url", "url --ui", "open", "download", "verify"]
    commands += ["index", "restore --yes", "cost", "salvage", "grep x", "finish --result pass"]
    for text, code in ((make_id(number=7), 4), ("7", 4), ("01", 2), ("nobody", 2)):
        said = {cli(*line.split(), text).expect(code).err for line in commands}
        assert len(said) == 1, said


def test_what_writes_takes_the_latest_only_with_yes(cli: RunCommand, executions: list[str]) -> None:
    result = cli("finish", "@latest:suite=smoke", "--result", "pass").expect(2)
    assert "--yes" in result.err
    cli("finish", "@latest:suite=smoke", "--result", "pass", "--yes").ok()
    assert cli("show", "--json", executions[0]).ok().json()["result"] == "pass"


def test_an_upload_without_id_says_so(cli: RunCommand, bucket: str) -> None:
    result = cli("upload", "results/").expect(2)
    assert "missing argument 'ID'. 'results/' is not one." in result.err
    assert "ORCHESTRATOR_EXECUTION_ID" in result.err
