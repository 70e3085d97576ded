"""Reading with `--via`: what credentials read, on a machine that has a token and no key."""

from __future__ import annotations

import socket
import urllib.request

import pytest

from tests.support.commands.running import Processes, RunCommand
from tests.support.commands.via import Via, via_environment
from tests.support.proxy import faults
from tests.support.scene import Scene
from tests.support.stored.engine import PART, content, impatient, key_of
from tests.support.stored.executions import make_id
from tests.support.stored.live import LogWriter

Env = dict[str, str | None]


@pytest.fixture
def execution(scene: Scene) -> str:
    """A failed execution with logs, a large file, an empty one, and one of a strange name."""
    execution_id = scene.new_execution("--suite", "smoke")
    tree = scene.write_tree(
        {
            "stdout.log": "".join(f"{n} \x1b[31mline\x1b[0m\n" for n in range(60_000)),
            "stderr.log": "panic: one\n",
            "empty.txt": b"",
            "x/ü [1] %2F.png": b"png",
            "big.bin": content(PART + 9),
        }
    )
    scene.cli("upload", execution_id, tree).ok()
    scene.cli("finish", execution_id, "--result", "fail").ok()
    return execution_id


@pytest.fixture
def reader(via: Via) -> Env:
    """The environment of somebody who may read, and whose only setting is the server."""
    return {**via_environment(via.tokens.read), "ORCHESTRATOR_VIA": via.url}


def test_what_is_read_is_what_credentials_read(scene: Scene, reader: Env, execution: str) -> None:
    other = scene.cli("new", "--suite", "other", "--label", "a=b").ok().out.strip()
    gone = make_id()
    commands = (
        ("ls",),
        ("ls", "-n", "1", "--failed", "--suite", "smoke", "--json"),
        ("ls", "--label", "a=b", "-0"),
        ("ls", execution),
        ("ls", "--json", execution),
        ("ls", other),
        ("show", "--json", execution),
        ("show", "@latest"),
        ("show", "@latest:suite=smoke,result=fail"),
        ("show", execution[:24]),
        ("show", execution[:5]),
        ("show", f"s3://{scene.bucket}/executions/{execution}/logs/stdout.log"),
        ("show", f"s3://{scene.bucket}/history"),
        ("logs", execution),
        ("logs", execution, "stdout", "--tail", "3"),
        ("logs", execution, "stdout", "--grep", "5999. line", "--count"),
        ("logs", execution, "stdout", "--grep", "no such line"),
        ("logs", execution, "artifacts/custom/empty.txt"),
        ("logs", execution, "stdoutt"),
        ("logs", other),
        ("logs", gone),
        ("ls", gone),
        ("show", gone),
        ("show", "nonsense"),
        ("download", gone),
    )
    for command in commands:
        direct, through = scene.cli(*command), scene.cli(*command, env=reader)
        assert (through.exit_code, through.out) == (direct.exit_code, direct.out), command
        assert through.err.count("\n") == direct.err.count("\n"), through.err
    whole = scene.directory / "whole.log"
    scene.cli("logs", execution, "stdout", "-o", whole, env=reader).ok()
    assert whole.read_text() == scene.cli("logs", execution, "stdout", "--all").ok().out


def test_a_download_is_verified_and_resumed(scene: Scene, reader: Env, execution: str) -> None:
    download = ("download", execution, "-o", scene.directory / "out", "--json")
    scene.recorder.inject(faults.CorruptAnswer(1000), "GetObject", key="big.bin", times=None)
    scene.cli(*download, env=reader).expect(7)
    scene.recorder.heal()
    scene.cli(*download, env=reader).ok()
    scene.cli("verify", execution, scene.directory / "out").ok()
    again = scene.cli(*download, env=reader).ok().json_lines()
    assert {one["outcome"] for one in again} == {"identical"}
    (scene.directory / "out/logs/stderr.log").write_text("other")
    scene.cli(*download, env=reader).expect(6)


def test_urls_are_those_that_the_server_signs(cli: RunCommand, reader: Env, execution: str) -> None:
    (line,) = cli("url", execution, "stderr", "--json", env=reader).ok().json_lines()
    assert (line["path"], line["size_bytes"]) == ("logs/stderr.log", 11)
    with urllib.request.urlopen(line["url"], timeout=30) as answer:
        assert answer.read() == b"panic: one\n"
    assert 0 < line["expires_in_seconds"] <= 3600
    assert line["expiry_certain"] is True
    refused = cli("url", execution, "--expires-in", "2h", env=reader).expect(2)
    assert "the server decides" in refused.err


def test_a_url_that_is_refused_is_asked_for_once_more(
    scene: Scene, reader: Env, execution: str
) -> None:
    expired = faults.Answer(403, "AccessDenied", "Request has expired")
    scene.recorder.inject(expired, "GetObject", key="stderr.log")
    assert scene.cli("logs", execution, "stderr", env=reader).ok().out == "panic: one\n"
    scene.recorder.inject(expired, "GetObject", key="stderr.log", times=None)
    refused = scene.cli("logs", execution, "stderr", env=reader).expect(5)
    assert "not the token" in refused.err
    assert "X-Amz" not in refused.err


def test_an_archived_file_tells_its_whole_story(scene: Scene, reader: Env, execution: str) -> None:
    key = key_of("stderr.log", execution)
    scene.s3.put_object(Bucket=scene.bucket, Key=key, Body=b"old", StorageClass="DEEP_ARCHIVE")
    for command in (("logs", execution, "stderr"), ("url", execution, "stderr")):
        direct, through = scene.cli(*command), scene.cli(*command, env=reader)
        assert (direct.exit_code, through.exit_code) == (8, 8)
        assert "orchestrator restore" in through.err
    for number, env in enumerate((None, reader)):
        refused = scene.cli(
            "download", execution, "logs/", "-o", scene.directory / str(number), env=env
        )
        assert refused.expect(8).err.count("stderr.log is archived in DEEP_ARCHIVE") == 1
    assert "[DEEP_ARCHIVE]" in scene.cli("ls", execution, env=reader).ok().out


def test_only_a_token_for_reading_may_read(
    cli: RunCommand, via: Via, execution: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)
    for token, told in (
        (None, "no valid bearer token"),
        (via.tokens.upload, "for uploads only"),
    ):
        refused = cli("logs", execution, *via.options, env=via_environment(token)).expect(5)
        assert told in refused.err
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    away = cli("ls", "--via", url, env=via_environment("orc_x")).expect(9)
    assert "connection refused" in away.err


def test_running_log_is_shown_and_followed_to_its_end(
    scene: Scene, cli_process: Processes, reader: Env
) -> None:
    out = LogWriter(scene.s3, scene.bucket, scene.put_execution())
    out.write(b"one\ntw", "o ü\n".encode())
    out.beat()
    shown = scene.cli("logs", out.execution_id, env=reader).ok()
    assert (shown.stdout, "is still running" in shown.err) == (out.written, True)
    assert scene.cli("logs", out.execution_id, "-n", "1", "-N", env=reader).ok().out == "2:two ü\n"
    assert "no such log" in scene.cli("logs", out.execution_id, "bench", env=reader).expect(4).err

    whole = cli_process.start("logs", "-f", out.execution_id, env=reader)
    last = cli_process.start("logs", "-f", out.execution_id, "stdout", "-n", "1", env=reader)
    out.write(b"three\n", b"")
    out.beat()
    # The writer gave its segments up, and stored more.
    out.store(out.written + b"four\n")
    shown_whole, shown_last = (one.communicate(timeout=60) for one in (whole, last))
    assert (whole.returncode, last.returncode) == (0, 0), (shown_whole, shown_last)
    assert shown_whole[0] == out.written + b"four\n"
    assert shown_last[0].endswith(b"four\n")


def test_followed_log_that_becomes_another_is_an_error(
    scene: Scene, cli_process: Processes, reader: Env
) -> None:
    out = LogWriter(scene.s3, scene.bucket, scene.put_execution())
    out.write(b"one\n")
    out.beat()
    follower = cli_process.start("logs", "-f", out.execution_id, env=reader)
    assert follower.stdout is not None
    assert follower.stdout.readline() == b"one\n"
    out.write(b"")
    out.store(b"One\n")
    assert follower.wait(60) == 7
