"""What a shell is offered while typing: asked from S3, and never a disturbance."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.commands.running import COMMAND, RunCommand
from tests.support.commands.terminal import Terminal
from tests.support.proxy.faults import access_denied
from tests.support.proxy.proxy import Proxy
from tests.support.scene import Scene
from tests.support.stored.executions import make_id, put_keys

OpenTerminal = Callable[..., Terminal]
FILES = {
    "artifacts/custom/a b,c.txt": b"x",
    "artifacts/results.json": b"{}",
    "logs/stdout.log": b"",
}


class Complete:
    """Asks as bash does: `complete("show", "01")` is `orchestrator show 01<Tab>`."""

    def __init__(self, cli: RunCommand) -> None:
        self._cli = cli
        self.helps: dict[str, str] = {}

    def __call__(self, *words: str, env: dict[str, str | None] | None = None) -> list[str]:
        asked = {
            "_ORCHESTRATOR_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(["orchestrator", *words]),
            "COMP_CWORD": str(len(words)),
        }
        result = self._cli(env={**asked, **(env or {})}).ok()
        assert result.stderr == b""
        offers = [line.partition(",") for line in result.lines if line]
        self.helps = {value.partition("\t")[0]: value.partition("\t")[2] for _, _, value in offers}
        return [
            value.partition("\t")[0] if kind == "plain" else f"<{kind}>"
            for kind, _, value in offers
        ]


@pytest.fixture
def complete(cli: RunCommand) -> Complete:
    return Complete(cli)


@pytest.fixture
def ids(scene: Scene) -> list[str]:
    """Executions of ten days ago, of an hour ago and of now, the newest first."""
    now = datetime.now(UTC)
    times = [now, now - timedelta(hours=1), now - timedelta(days=10)]
    scene.put_execution(make_id(now - timedelta(days=20)), FILES)
    put_keys(scene.s3, scene.bucket, ["executions/zzz/x", "executions/[red]/x"])
    return [scene.put_execution(make_id(one), FILES) for one in times]


def test_commands_and_options_are_offered(complete: Complete) -> None:
    assert {"ls", "logs", "url"} <= set(complete(""))
    assert complete("fin") == ["finish"]
    assert "--since" in complete("ls", "--s")
    assert complete("finish", "X", "--result", "") == ["pass", "fail", "error"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_options_are_offered_with_their_help(cli: RunCommand, shell: str) -> None:
    words = "orchestrator restore --"
    env = {
        "_ORCHESTRATOR_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": "--" if shell == "fish" else "2",
    }
    out = cli(env=env).ok().out
    assert "bulk is cheaper and takes up to 48 hours, standard up to 12." in out
    assert "$" not in out


@pytest.mark.parametrize("command", ["show", "ls", "logs", "upload"])
def test_ids_are_offered_the_newest_first(complete: Complete, ids: list[str], command: str) -> None:
    assert complete(command, "") == ids
    assert complete(command, ids[2][:9].lower()) == [ids[2]]


def test_latest_is_offered_where_it_was_begun(complete: Complete, ids: list[str]) -> None:
    assert complete("show", "@") == ["@latest"]
    assert "@latest" not in complete("show", "")


def test_fifty_ids_are_enough(scene: Scene, complete: Complete) -> None:
    made = [make_id(number=number) for number in range(60)]
    put_keys(scene.s3, scene.bucket, [f"executions/{one}/x" for one in made])
    assert complete("show", "") == sorted(made, reverse=True)[:50]


@pytest.mark.parametrize("command", ["logs", "url"])
def test_file_names_are_offered_after_the_id(
    complete: Complete, ids: list[str], command: str
) -> None:
    logs = ["stdout"] if command == "logs" else []
    for name in (ids[1], ids[1].lower(), "@latest"):
        assert complete(command, name, "") == [*logs, *FILES]
    assert complete(command, ids[1], "artifacts/r") == ["artifacts/results.json"]
    preset: dict[str, str | None] = {"ORCHESTRATOR_EXECUTION_ID": ids[1]}
    assert complete(command, "", env=preset) == [*logs, *FILES]


def test_local_files_are_offered_to_an_upload(complete: Complete, ids: list[str]) -> None:
    assert complete("upload", ids[0], "") == ["<file>"]


def test_a_second_file_name_is_offered_too(complete: Complete, ids: list[str]) -> None:
    assert complete("url", ids[0], "logs/stdout.log", "art") == list(FILES)[:2]


def test_foreign_names_are_not_offered(scene: Scene, complete: Complete) -> None:
    execution_id = scene.put_execution(files=FILES)
    prefix = f"executions/{execution_id}"
    put_keys(scene.s3, scene.bucket, [f"{prefix}/a//b", f"{prefix}/../x", f"{prefix}/\x9b31mred"])
    assert complete("logs", execution_id, "") == ["stdout", *FILES]


def test_options_on_the_line_count(
    complete: Complete, s3env: dict[str, str], ids: list[str], bucket: str
) -> None:
    elsewhere: dict[str, str | None] = {"ORCHESTRATOR_BUCKET": None, "AWS_ENDPOINT_URL": None}
    line = ("--bucket", bucket, "--endpoint-url", s3env["AWS_ENDPOINT_URL"], "show", "")
    assert complete(*line, env=elsewhere) == ids
    after = ("show", "--bucket", bucket, "--endpoint-url", s3env["AWS_ENDPOINT_URL"], "")
    assert complete(*after, env=elsewhere) == ids


def test_global_options_are_offered_after_the_command_too(complete: Complete) -> None:
    assert complete("ls", "--endp") == ["--endpoint-url"]
    assert complete("ls", "--color", "") == ["auto", "always", "never"]
    assert complete("lifecycle", "apply", "--quie") == ["--quiet"]
    # An option of the command's own comes once.
    assert complete("sandbox", "--bucket") == ["--bucket", "--bucket-key"]


def test_an_id_comes_with_its_suite_result_and_age(scene: Scene, complete: Complete) -> None:
    now = datetime.now(UTC)
    old = now - timedelta(hours=3, minutes=5)
    started = old.strftime("%Y-%m-%dT%H:%M:%SZ")
    first = scene.put_execution(
        make_id(old),
        started_at=started,
        test_suite="smoke\x1b[31m",
        status="completed",
        result="fail",
    )
    assert complete("show", "") == [first]
    assert complete.helps[first] == "smoke\\x1b[31m, fail, 3h ago"


def test_commands_and_paths_are_offered_to_what_runs_them(complete: Complete) -> None:
    for command in ("run", "sandbox"):
        assert complete(command, "--", "pyt") == ["<command>"]
        assert complete(command, "--", "pytest", "te") == ["<file>"]


# --- the command -----------------------------------------------------------------------------


def test_the_scripts_are_printed_and_installed(cli: RunCommand, tmp_path: Path) -> None:
    places = {
        "bash": ("XDG_DATA_HOME", "bash-completion/completions/orchestrator"),
        "zsh": ("XDG_DATA_HOME", "zsh/site-functions/_orchestrator"),
        "fish": ("XDG_CONFIG_HOME", "fish/completions/orchestrator.fish"),
    }
    for shell, (variable, name) in places.items():
        printed = cli("completion", shell).ok()
        assert printed.err == ""
        assert "_ORCHESTRATOR_COMPLETE" in printed.out
        for _ in range(2):
            written = cli("completion", shell, "--install", env={variable: str(tmp_path)}).ok()
            assert written.out == ""
            assert written.err.splitlines()[0] == f"written to {tmp_path / name}"
        assert (tmp_path / name).read_text() == printed.out
    (tmp_path / "file").write_text("")
    taken = {"XDG_DATA_HOME": str(tmp_path / "file")}
    refused = cli("completion", "bash", "--install", env=taken).expect(1)
    assert refused.err.startswith(f"error: cannot write {tmp_path}/file/bash-completion/")


# --- real shells -----------------------------------------------------------------------------

BASH, FISH, ZSH = map(shutil.which, ("bash", "fish", "zsh"))


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The command, as a shell finds it."""
    program = tmp_path / "bin" / "orchestrator"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    program.chmod(0o755)
    return program


@pytest.mark.skipif(BASH is None, reason="needs bash")
def test_bash_completes_latest_and_shows_what_executions_were(
    scene: Scene, terminal: OpenTerminal, program: Path
) -> None:
    now = datetime.now(UTC)
    ids = [
        scene.put_execution(make_id(now, number=number), FILES, test_suite=suite,
            started_at=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        for number, suite in enumerate(("smoke", "nightly"))
    ]  # fmt: skip
    start = scene.directory / "bashrc"
    start.write_text(
        "PS1='$ '; bind 'set bell-style none'; source <(orchestrator completion bash)\n"
    )
    env = {"PATH": f"{program.parent}:{os.environ['PATH']}", "INPUTRC": os.devnull}
    bash = (str(BASH), "--noprofile", "--rcfile", os.fspath(start), "-i")
    screen = terminal(command=bash, env=env, columns=160, cwd=scene.directory)
    screen.read_until(rb"\$ $")
    screen.send(b"echo orchestrator; orchestrator logs @la\t")
    screen.read_until(rb"logs @latest ")
    screen.send(b"stdo\t")
    screen.read_until(rb"logs @latest stdout ")
    # All of the line reaches the command as it stands there.
    screen.send(b"\x01\x0b" + b"orchestrator show " + ids[0][:6].encode() + b"\t\t\t")
    screen.read_until(rb"nightly, running, now\)")
    for execution_id, suite in zip(ids, ("smoke", "nightly"), strict=True):
        assert f"{execution_id}  ({suite}, running, now)".encode() in screen.output
    screen.send(b"\x01\x0bexit\r")
    screen.wait()


@pytest.mark.skipif(BASH is None, reason="needs bash")
def test_the_script_of_bash_is_right_for_bash(cli: RunCommand) -> None:
    script = cli("completion", "bash").ok().stdout
    checked = subprocess.run([str(BASH), "-n"], input=script, capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, b"")


@pytest.mark.skipif(FISH is None, reason="needs fish")
def test_fish_completes_what_s3_holds(
    program: Path, ids: list[str], cli: RunCommand, tmp_path: Path
) -> None:
    script = tmp_path / "orchestrator.fish"
    script.write_bytes(cli("completion", "fish").ok().stdout)
    asked = ["logs @la", "logs @latest stdo", f"show {ids[0][:-2]}", "run -- fis"]
    lines = [f"complete -C 'orchestrator {line}'; echo ." for line in asked]
    done = subprocess.run(
        [str(FISH), "--no-config", "-c", f"source {script}; {'; '.join(lines)}"],
        env={**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    latest, log, execution, command = done.stdout.split("\n.\n")[:4]
    assert latest == "@latest\tthe newest execution"
    assert log.startswith("stdout\t")
    assert execution.startswith(f"{ids[0]}\t")
    assert "fish\t" in command


@pytest.mark.skipif(ZSH is None, reason="needs zsh")
def test_zsh_completes_what_s3_holds(
    terminal: OpenTerminal, program: Path, ids: list[str], tmp_path: Path
) -> None:
    env = {"PATH": f"{program.parent}:{os.environ['PATH']}", "TERM": "dumb"}
    screen = terminal(command=(str(ZSH), "-f", "-i"), env=env, columns=160, cwd=tmp_path)
    screen.send(
        b"PS1='$ '; autoload -U compinit; compinit -u -D; "
        b"source <(orchestrator completion zsh); print read''y\r"
    )
    screen.read_until(rb"\bready\r\n")
    screen.send(b"orchestrator logs @la\t")
    screen.read_until(rb"logs @latest ")
    screen.send(b"stdo\t")
    screen.read_until(rb"stdout ")
    screen.send(b"\x15orchestrator show " + ids[0][:-2].encode() + b"\t")
    screen.read_until(ids[0].encode() + b" ")
    screen.send(b"\x15exit\r")
    screen.wait()


def test_the_config_file_counts(scene: Scene, complete: Complete, ids: list[str]) -> None:
    config = scene.directory / "config.toml"
    config.write_text(f'bucket = "{scene.bucket}"\n')
    env: dict[str, str | None] = {"ORCHESTRATOR_BUCKET": None}
    assert complete("show", "", env={**env, "ORCHESTRATOR_CONFIG": str(config)}) == ids
    assert complete("--config", str(config), "show", "", env=env) == ids


# --- silence ---------------------------------------------------------------------------------


def test_nothing_is_offered_where_nothing_is_configured(complete: Complete, bucket: str) -> None:
    nowhere: dict[str, str | None] = {"ORCHESTRATOR_BUCKET": None}
    assert complete("show", "", env=nowhere) == []
    assert complete("logs", make_id(), "", env=nowhere) == []
    broken: dict[str, str | None] = {"ORCHESTRATOR_CONFIG": os.devnull + "/x", **nowhere}
    assert complete("show", "", env=broken) == []


def test_nothing_is_offered_of_what_is_not_there(complete: Complete, ids: list[str]) -> None:
    assert complete("logs", make_id(number=5), "") == []
    assert complete("logs", "nonsense", "") == []
    assert complete("show", "nonsense") == []


def test_a_storage_that_is_down_is_asked_once(complete: Complete, bucket: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        down: dict[str, str | None] = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{taken.getsockname()[1]}"
        }
        started = time.monotonic()
        assert complete("show", "", env=down) == []
        assert complete("logs", make_id(), "", env=down) == []
        assert time.monotonic() - started < 20


def test_a_refusal_is_not_repeated(complete: Complete, ids: list[str], recorder: Proxy) -> None:
    recorder.inject(access_denied(), times=None)
    assert complete("show", "") == []
    assert recorder.count() == 1
