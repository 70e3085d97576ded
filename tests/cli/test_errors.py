"""Every error is one line of what is wrong and one of what to do, with the code that help names."""

from __future__ import annotations

import re

import pytest

from orchestrator_cli.cli.main import COMMANDS
from tests.support.commands.running import RunCommand
from tests.support.proxy import faults
from tests.support.scene import Scene
from tests.support.stored.engine import impatient
from tests.support.stored.executions import make_id

ID = make_id()


@pytest.mark.parametrize(
    ("typed", "said", "hint"),
    [
        ("qwxyz", "no such command 'qwxyz'", "the commands are new, upload, "),
        ("ls --sinc 2d", "no such option '--sinc'. Did you mean '--since'?", "ls --since 2d`"),
        ("lifecycle aply", "no such command 'aply'. Did you mean 'apply'?", "lifecycle apply`"),
        ("lifecycle qwxyz", "no such command 'qwxyz'", "the commands are apply, plan, "),
        ("ls -o json", "no such option '-o'. Did you mean '--json'?", "ls --json`"),
        ("ls --status ok", "no such option '--status'. Did you mean '--result'?", "--result pass`"),
        ("upload ID . --no-progress", "no such option '--no-progress'. Did you mean", ". --quiet`"),
        # What is near nothing is not guessed at.
        ("logs ID --expand 1h", "no such option '--expand'", "it has --tail, --follow, "),
        (
            "show",
            "missing argument 'ID', which may be set by ORCHESTRATOR_EX",
            "show @latest`, the",
        ),
        ("finish --result pass", "missing argument 'ID'", "finish $ID --result pass`; see"),
        ("finish ID", "missing option '--result': pass, fail or error", "$ID --result pass`"),
        ("finish ID --result", "option '--result' requires", "write --result pass|fail|error"),
        (
            "ls -n many",
            "invalid value for '-n' / '--limit': 'many' is not",
            "`orchestrator ls -n 5",
        ),
        (
            "ls --label a:b",
            "invalid value for '--label': 'a:b' is not",
            "write --label K=V",
        ),
        ("ls --suite ok --result=ok", "invalid value for '--result'", "--suite ok --result=pass`"),
        ("run", "missing CMD; write it after --", "`orchestrator run --suite smoke "),
        ("logs ID a b", "one NAME at a time, and none with --all-logs", "--all-logs alone prints"),
        ("-q -v ls", "--quiet and --verbose exclude each other", "leave out one of them"),
        ("ls --failed=true", "option '--failed' does not take a value", "ls --failed`"),
    ],
)
def test_a_usage_error_says_what_is_wrong_and_what_to_type(
    scene: Scene, typed: str, said: str, hint: str
) -> None:
    result = scene.cli(*typed.replace("ID", ID).split()).expect(2)
    assert result.stdout == b""
    first, second = result.err.splitlines()
    assert first.startswith(f"error: {said}")
    assert second.startswith("hint: ")
    assert hint in second


def test_a_bad_value_is_blamed_on_where_it_came_from(scene: Scene) -> None:
    config = scene.directory / "c.toml"
    config.write_text('color = "red"\n[ls]\nlimit = "x"\n[run]\ntimeout = "1y"\n')
    given = scene.cli("upload", ID, ".", env={"ORCHESTRATOR_UPLOAD_LIMIT_RATE": "fast"}).expect(2)
    assert given.err.startswith("error: ORCHESTRATOR_UPLOAD_LIMIT_RATE: 'fast' is not a size")
    color = scene.cli("--config", config, "ls").expect(2)
    assert color.err.startswith(f"error: {config}: color: 'red' is not one of")
    env = {"ORCHESTRATOR_COLOR": "never"}
    for command, line in (("ls", "[ls] limit: 'x' is"), ("run", "[run] timeout: '1y' is")):
        said = scene.cli("--config", config, command, env=env).expect(2).err
        assert said.startswith(f"error: {config}: {line}")
    wrong_id = scene.cli("show", env={"ORCHESTRATOR_EXECUTION_ID": "xyz"}).expect(2)
    assert wrong_id.err.startswith("error: ORCHESTRATOR_EXECUTION_ID: not an execution id: 'xyz'")
    # What was typed is not blamed on a variable.
    assert scene.cli("show", "xyz").expect(2).err.startswith("error: not an execution id: 'xyz'")


def test_a_missing_file_is_said_once(scene: Scene) -> None:
    execution_id = scene.put_execution()
    result = scene.cli("upload", execution_id, "nowhere").expect(4)
    assert result.err == "failed: nowhere: no such file\nerror: the file could not be stored\n"
    assert list(scene.contents()) == [f"executions/{execution_id}/metadata.json"]


def test_an_output_that_cannot_be_written_is_code_1_everywhere(scene: Scene) -> None:
    execution_id = scene.put_execution(files={"logs/stdout.log": b"x\n"})
    (scene.directory / "file").write_text("")
    inside_a_file = scene.directory / "file" / "x"
    log = scene.cli("logs", execution_id, "-o", inside_a_file).expect(1)
    assert log.err.splitlines()[-1].startswith(f"error: cannot write {inside_a_file}: ")
    copy = scene.cli("download", execution_id, "-o", inside_a_file).expect(1)
    assert f"cannot write {inside_a_file}/logs/stdout.log: " in copy.err
    assert "it resumes" not in copy.err


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_the_codes_that_any_command_may_end_with(cli: RunCommand, name: str) -> None:
    codes = cli(name, "--help").ok().out.partition("\nExit codes:\n")[2]
    assert {"0", "1", "2", "130"} <= set(re.findall(r"^ +(\d+)", codes, re.MULTILINE))
    resumes = name in {"upload", "download", "run", "sync-efs"}
    assert ("the same command resumes" in " ".join(codes.split())) is resumes


def test_help_says_what_a_code_means_there(cli: RunCommand) -> None:
    for name, text in {
        "doctor": "3    something is degraded",
        "finish": "6    conflict: another result is recorded",
        "logs": "1    with --grep: no line matched",
        "run": "130  CMD was interrupted",
    }.items():
        assert text in cli(name, "--help").ok().out
    for name in ("ls", "grep", "cost"):
        assert "2d, yesterday, 14:30" in " ".join(cli(name, "--help").ok().out.split())


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        ("ftp://user:hunter2@host", "HTTP_PROXY: a proxy of another kind than http, https and"),
        ("http://user:hunter2@host:99999", "HTTP_PROXY: not the URL of a proxy"),
        ("http://", "HTTP_PROXY: not the URL of a proxy"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_a_usage_error(scene: Scene, proxy: str, said: str) -> None:
    tree = scene.write_tree({"a.txt": "a", "b.txt": "b"})
    execution_id = scene.put_execution()
    for line in (("ls",), ("upload", execution_id, tree), ("doctor",)):
        env = {"HTTP_PROXY": proxy, "AWS_ENDPOINT_URL": "http://s3.example.test:9000"}
        result = scene.cli(*line, env=env).expect(2)
        assert result.err.count("error: ") == 1
        assert said in result.err
        assert "hunter2" not in result.err
    assert scene.list_keys() == [f"executions/{execution_id}/metadata.json"]


@pytest.mark.parametrize("status", [200, 403, 502])
def test_a_page_of_a_proxy_names_who_answered(
    scene: Scene, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)
    scene.recorder.inject(faults.LoginPage(status), times=None)
    proxy = scene.recorder.endpoint_url
    env = {"HTTP_PROXY": proxy, "AWS_ENDPOINT_URL": "http://s3.example.test:9000"}
    result = scene.cli("ls", env=env).expect(9)
    assert f"(s3.example.test:9000 through the proxy {proxy})" in result.err
