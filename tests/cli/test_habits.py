"""What people type by habit from gh, aws s3, kubectl or grep works, or says what to type."""

from __future__ import annotations

import re
import shlex

import pytest

from orchestrator_cli.cli.main import COMMANDS
from orchestrator_cli.cli.usage_errors.command_habits import COMMAND_HABITS
from tests.support.commands.running import Processes, RunCommand
from tests.support.scene import Scene
from tests.support.stored.executions import make_id

ID = make_id()
URL = f"s3://test/executions/{ID}"


@pytest.fixture
def stored(scene: Scene) -> str:
    logs = {"logs/stdout.log": b"one\nERROR two\n", "logs/stderr.log": b"ERROR\n"}
    record = {"status": "completed", "result": "pass", "test_suite": "smoke"}
    scene.put_execution(make_id(number=9), files={"logs/stdout.log": b"ERROR\n"}, **record)
    return scene.put_execution(files=logs, labels={"branch": "main"}, **record)


@pytest.mark.parametrize(
    "line",
    [
        "ls -l",
        "ls -la",
        "ls -1",
        "ls -lt ID",
        "ls -R ID/",
        "ls ID/logs --recursive --human-readable --summarize",
        "ls -n1",
        "ls --limit=5 --result PASS",
        "logs --tail=20 ID",
        "logs -n2 ID/stdout.log",
        "logs --follow ID",
        "show execution/ID",
        "grep ERROR ID",
        "grep -rn ERROR",
        "grep -E 'ERR|x' ID/logs/stdout.log",
        "grep -e ERROR -e two ID",
        "grep -q ERROR",
        "version",
        "help ls",
        "help run ls",
        "help lifecycle plan",
        "lifecycle help plan",
        "verify ID",
        "url ID stdout --expires-in 3600",
    ],
)
def test_a_line_of_another_program_works(cli: RunCommand, stored: str, line: str) -> None:
    cli(*shlex.split(line.replace("ID", stored))).ok()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("get executions", "`orchestrator ls`"),
        ("get execution #", "`orchestrator show #`"),
        ("describe execution #", "`orchestrator show #`"),
        ("list --json", "`orchestrator ls --json`"),
        ("runs view # --log-failed", "`orchestrator logs #`"),
        ("run list", "`orchestrator ls`"),
        ("run view #", "`orchestrator show #`; `orchestrator run -- view`"),
        ("executions list", "`orchestrator ls`"),
        ("cat #/stdout.log", "`orchestrator logs #/stdout.log`"),
        ("tail -f #", "`orchestrator logs -f #`"),
        ("cp out/ URL/", "`orchestrator upload URL out/`"),
        ("cp URL/logs/stdout.log -", "`orchestrator logs URL/logs/stdout.log`"),
        ("sync # out", "`orchestrator download # -o out`"),
        ("mv a b", "`orchestrator upload ID a`"),
        ("label # a=b", "`orchestrator new --label K=V`"),
        ("logs", "`orchestrator logs @latest`"),
        ("rm -r #", "`orchestrator lifecycle show` says when"),
        ("check out #", "`orchestrator verify # out`"),
        ("status", "`orchestrator show @latest`"),
        ("tree #", "`orchestrator ls # --tree`"),
        ("cancel #", "`orchestrator finish # --result error`"),
        ("rerun #", "`orchestrator run -- CMD`"),
        ("generate-shell-completion zsh", "`orchestrator completion zsh`"),
        ("config get bucket", "`orchestrator config show`"),
        ("config set bucket b", 'config.toml, such as: bucket = "B"'),
        ("upload out #", "`orchestrator upload # out`"),
        ("logs latest stdout", "`orchestrator logs @latest stdout`"),
        ("logs -c stdout #", "`orchestrator logs # stdout`"),
        ("logs -5 #", "`orchestrator logs -n 5 #`"),
        ("show # --web", "`orchestrator open ID`"),
        ("show # --json result", "jq .result"),
        ("ls --json id,result", "jq .result"),
        ("ls --json=id", "jq .result"),
        ("ls -l branch=main", "--label branch=main"),
        ("ls --no-color", "--color never"),
        ("ls --result failed", "'failed' is called 'fail' here"),
        ("--json ls", "`orchestrator ls --json`"),
        ("-n 5 ls", "`orchestrator ls -n 5`"),
        ("-o json ls", "`orchestrator ls --json`"),
        ("download # .", "`orchestrator download # -o .`"),
        ("download # --include '*.json'", "GLOB in quotes, after the ID"),
        ("upload # out --clobber", "never replaced"),
        ("grep -v ERROR", "orchestrator logs ID | grep -v PATTERN"),
        ("grep -iv ERROR", "orchestrator logs ID | grep -v PATTERN"),
        ("finish # pass", "write --result pass"),
        ("workflow list", "`orchestrator ls`"),
        ("pod logs #", "`orchestrator logs #`"),
        ("s3 cp out/ URL/ --recursive", "`orchestrator upload URL out/`"),
        ("cp #:logs/stdout.log out", "`orchestrator download #/logs/stdout.log -o out`"),
        ("list-executions", "`orchestrator ls`"),
        ("LS -n1", "`orchestrator ls -n1`"),
        ("get # -o yaml", "`orchestrator show # --json`"),
        ("describe pod #", "`orchestrator show #`"),
        ("head -n 5 #", "`orchestrator logs # | head -n 5`"),
        ("tail -100 #", "`orchestrator logs -n 100 #`"),
        ("stat #/stdout.log", "`orchestrator ls #/stdout.log`"),
        ("find # -name '*.json'", "`orchestrator ls # '*.json'`"),
        ("create execution --name smoke", "`orchestrator new --suite smoke`"),
        ("push out", "`orchestrator upload ID out`"),
        ("upload out", "`orchestrator upload ID out`"),
        ("run view --log-failed #", "try `orchestrator logs #`"),
        ("config get-value bucket", "`orchestrator config show`"),
        ("ls --json --jq .id", "`orchestrator ls --json`"),
        ("ls --last 3 -ojson", "`orchestrator ls --since 3 --json`"),
        ("-version", "`orchestrator --version`"),
        ("download --id #", "an ID comes first"),
        ("completion", "completion bash"),
        ("upgrade", "`pip install --upgrade"),
        ("verify # --via https://x", "only upload, logs, download, ls, show and url work through"),
        ("grep --via=https://x a", "this needs the bucket and AWS credentials"),
        ("--via https://x ls", "`orchestrator ls --via https://x`"),
    ],
)
def test_what_to_type_is_said(scene: Scene, typed: str, said: str) -> None:
    line, expected = (text.replace("URL", URL).replace("#", ID) for text in (typed, said))
    result = scene.cli(*shlex.split(line)).expect(2)
    assert (result.out, len(result.err.splitlines())) == ("", 2)
    assert expected in result.err


def test_the_line_that_is_said_can_be_typed(cli: RunCommand) -> None:
    for typed in COMMAND_HABITS:
        line = re.search("`orchestrator (.*?)`", cli(typed, ID).expect(2).err)
        assert line, typed
        command, *rest = shlex.split(line[1])
        assert command in COMMANDS
        cli(command, "--help", *rest).ok()


def test_help_says_what_an_id_may_be(cli: RunCommand) -> None:
    with_id = {name for name in COMMANDS if "ID is a ULID" in cli(name, "--help").ok().out}
    assert with_id == {
        "cost", "download", "finish", "grep", "index", "logs", "ls", "open", "restore", "salvage",
        "show", "upload", "url", "verify",
    }  # fmt: skip


def test_grep_searches_the_executions_that_are_named(cli: RunCommand, stored: str) -> None:
    everything = cli("grep", "ERROR").ok().out.splitlines()
    assert len(everything) == 3
    named = cli("grep", "ERROR", stored).ok().out.splitlines()
    assert named == [f"{stored}:stdout:2:ERROR two", f"{stored}:stderr:1:ERROR"]
    assert cli("grep", "-e", "two", f"{stored}/stdout", "@latest/stderr").ok().out.splitlines() == [
        f"{stored}:stdout:2:ERROR two"
    ]
    assert cli("grep", "-q", "ERROR", stored).ok().out == ""
    cli("grep", "-q", "nowhere", stored).expect(1)
    assert "no such execution" in cli("grep", "x", ID).expect(4).err
    assert "did you mean stdout?" in cli("grep", "x", f"{stored}/stdot").expect(4).err
    assert "go without ID" in cli("grep", "x", stored, "--since", "1h").expect(2).err


def test_a_suite_that_is_nearly_right_is_named(cli: RunCommand, stored: str) -> None:
    assert "did you mean --suite smoke?" in cli("ls", "--suite", "smok").ok().err
    assert "did you mean suite=smoke?" in cli("show", "@latest:suite=smok").expect(4).err
    assert "did you mean" not in cli("ls", "--suite", "smoke", "--failed").ok().err
    assert "did you mean --label a=b?" in cli("ls", "--label", "a==b").ok().err
    # Its name alone stands for no execution.
    assert "suite's newest, @latest:suite=smoke\n" in cli("logs", "smoke").expect(2).err


def test_the_value_of_an_unknown_option_is_no_count(scene: Scene) -> None:
    err = scene.cli("--timeout", "-5", "ls").expect(2).err
    assert err.startswith("error: no such option '--timeout'\nhint: it has --")


def test_a_program_may_have_any_name(
    scene: Scene, cli_process: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = scene.directory / "list"
    program.write_text("#!/bin/sh\necho listed\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{scene.directory}:/usr/bin:/bin")
    assert cli_process.run("run", "-q", "--", "list").ok().out == "listed\n"


def test_a_dash_is_standard_input_or_output_whatever_is_there(
    scene: Scene, stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (scene.directory / "-").mkdir()
    monkeypatch.chdir(scene.directory)
    path = "artifacts/custom/a.txt"
    scene.cli("upload", stored, "-", "--name", "a.txt", stdin=b"a\n").ok()
    assert scene.files(stored)[path] == b"a\n"
    refused = scene.cli("download", stored, path, "-o", "-").expect(2)
    assert "-o names a directory; - is none\n" in refused.err
    assert "`orchestrator logs ID PATH` prints one file" in refused.err
    assert scene.cli("logs", stored, path, "-o", "-").ok().stdout == b"a\n"
    scene.cli("download", stored, path, "-o", "./-").ok()
    assert (scene.directory / "-" / path).read_bytes() == b"a\n"
