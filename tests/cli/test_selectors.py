"""What may be given for an execution, through commands that read one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.commands.running import RunCommand
from tests.support.scene import Scene
from tests.support.stored.executions import make_id


@pytest.fixture
def executions(scene: Scene) -> list[str]:
    """The newest first: a smoke test that runs, one that failed, another that passed."""
    now = datetime.now(UTC)
    ids = [make_id(now - timedelta(hours=hours)) for hours in (1, 30, 400)]
    done: dict[str, Any] = {"status": "completed", "test_suite": "smoke"}
    scene.put_execution(ids[0], test_suite="smoke", labels={"branch": "main"})
    scene.put_execution(ids[1], **done, result="fail", bench_id="hil-07")
    scene.put_execution(ids[2], **done, result="pass", runner_type="ec2")
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
def test_a_url_stands_for_its_execution(scene: Scene, executions: list[str], rest: str) -> None:
    url = f"s3://{scene.bucket}/executions/{executions[1]}{rest}"
    assert scene.cli("show", "--json", url).ok().json()["execution_id"] == executions[1]


def test_a_place_in_an_execution_is_that_file(scene: Scene) -> None:
    logs = {"logs/stdout.log": b"out\n", "logs/stderr.log": b"err\n"}
    execution_id = scene.put_execution(files=logs)
    stored = f"executions/{execution_id}/logs/stderr.log"
    places = [
        f"s3://{scene.bucket}/{stored}",
        stored,
        f"{execution_id}/stderr",
        "@latest/stderr.log",
        f"https://{scene.bucket}.s3.eu-central-1.amazonaws.com/{stored}?X-Amz-Signature=a/b",
        f"https://tests.example.com/ui/executions/{execution_id}/logs/stderr#L3",
    ]
    assert [scene.cli("logs", place).ok().stdout for place in places] == [b"err\n"] * len(places)
    # It must not be the whole execution that is downloaded or listed.
    scene.cli("download", places[0], "-o", scene.directory).ok()
    assert [path.name for path in scene.directory.rglob("*.log")] == ["stderr.log"]
    listed = scene.cli(
        "ls", f"s3://{scene.bucket}/executions/{execution_id}/logs/stderr.log", "-0"
    ).ok()
    assert listed.out == "logs/stderr.log\0"


def test_ls_lists_executions_where_the_url_is_of_all(scene: Scene, executions: list[str]) -> None:
    for everything in (f"s3://{scene.bucket}", f"s3://{scene.bucket}/executions/", "executions/"):
        assert scene.cli("ls", everything, "-n", "1", "-0").ok().out == f"{executions[0]}\0"


def test_a_slash_may_follow_an_id_or_its_start(cli: RunCommand, executions: list[str]) -> None:
    for text in (f"{executions[1]}/", f"{executions[1].lower()}/", f"{executions[1][:20]}/"):
        assert cli("show", "--json", text).ok().json()["execution_id"] == executions[1]


def test_a_url_and_an_id_with_a_slash_cost_no_listing(scene: Scene, executions: list[str]) -> None:
    for text in (f"{executions[1]}/", f"s3://{scene.bucket}/executions/{executions[1]}/"):
        scene.recorder.clear()
        scene.cli("show", text).ok()
        assert scene.recorder.operations() == {"GetObject": 1}


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
def test_what_stands_for_no_execution_is_refused_with_the_reason(
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


def test_an_upload_without_id_says_so(scene: Scene) -> None:
    result = scene.cli("upload", "results/").expect(2)
    assert "missing argument 'ID'. 'results/' is not one." in result.err
    assert "ORCHESTRATOR_EXECUTION_ID" in result.err
