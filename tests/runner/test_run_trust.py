"""What `run` stores and prints of secrets, and whose spool it resumes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support.commands.commands_run import run_id, spools
from tests.support.commands.forkserver import ForkServer
from tests.support.commands.limits import needs_another_user
from tests.support.commands.running import Processes
from tests.support.scene import Scene

# --- what is printed and stored of secrets ---------------------------------------------------


def test_secrets_of_the_command_line_are_not_stored(scene: Scene, forks: ForkServer) -> None:
    script = (
        "true --password hunter2 # DB_PASSWORD=hunter3 DB_PASS=hunter9 https://me:hunter4@host/"
    )
    words = ("sh", "-c", script, "--api-token=hunter5", "--secret", "hunter6", "X: hunter7")
    environment = {"MY_SECRET": "hunter7"}
    result = forks.run("run", "--label", "token=hunter8", "--", *words, env=environment).ok()
    for found in scene.s3.list_objects_v2(Bucket=scene.bucket)["Contents"]:
        content = scene.s3.get_object(Bucket=scene.bucket, Key=found["Key"])["Body"].read()
        assert b"hunter" not in content, found["Key"]
    command = scene.record(run_id(result))["run"]["command"]
    assert command[:2] == ["sh", "-c"]
    assert command[3:] == ["--api-token=…", "--secret", "…", "X: …"]


def test_the_command_is_not_stored_on_request(scene: Scene, forks: ForkServer) -> None:
    line = ("run", "--no-store-command", "--", "no-such-command", "argument")
    result = forks.run(*line).expect(127)
    assert b"no-such-command: command not found" in result.stderr
    for found in scene.s3.list_objects_v2(Bucket=scene.bucket)["Contents"]:
        content = scene.s3.get_object(Bucket=scene.bucket, Key=found["Key"])["Body"].read()
        assert b"no-such-command" not in content, found["Key"]
        assert b"argument" not in content, found["Key"]
    assert scene.record(run_id(result))["run"]["command"] == []


def test_the_printed_command_shows_no_password(
    forks: ForkServer, closed_port: int, s3env: dict[str, str]
) -> None:
    url = f"http://me:hunter2@127.0.0.1:{closed_port}"
    result = forks.run("--endpoint-url", url, "run", "--", "true").ok()
    assert b"--resume" in result.stderr
    assert b"hunter2" not in result.stderr
    (spool,) = spools()
    for file in spool.rglob("*"):
        assert not file.is_file() or b"hunter2" not in file.read_bytes()


# --- resuming what somebody else made --------------------------------------------------------


def _left_spool(forks: ForkServer, closed_port: int) -> Path:
    environment = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{closed_port}"}
    forks.run("run", "--", "echo", "x", env=environment).ok()
    (spool,) = spools()
    return spool


@pytest.mark.parametrize("trap", ["link to log", "hard link", "link to spool", "others may write"])
def test_a_spool_that_others_may_have_changed_is_refused(
    scene: Scene, trap: str, cli_process: Processes, forks: ForkServer, closed_port: int
) -> None:
    spool = _left_spool(forks, closed_port)
    secret = scene.directory / "secret"
    secret.write_text("hush")
    log = spool / "logs/stdout.log"
    named = spool
    if trap == "link to log":
        log.unlink()
        log.symlink_to(secret)
    elif trap == "hard link":
        log.unlink()
        os.link(secret, log)
    elif trap == "link to spool":
        named = scene.directory / "link"
        named.symlink_to(spool)
    else:
        (spool / "logs").chmod(0o777)
    result = forks.run("run", "--resume", named).expect(2)
    assert "cannot be resumed" in result.err
    assert scene.s3.list_objects_v2(Bucket=scene.bucket)["KeyCount"] == 0
    assert spool.exists()


@needs_another_user
def test_the_spool_of_another_user_is_refused_whatever_it_names(
    scene: Scene, cli_process: Processes, forks: ForkServer, closed_port: int
) -> None:
    spool = _left_spool(forks, closed_port)
    (scene.directory / "secret").write_text("hush")
    state = json.loads((spool / "run.json").read_text())
    state["start"]["artifacts"] = [str(scene.directory)]
    (spool / "run.json").write_text(json.dumps(state))
    for path in (spool, *spool.rglob("*")):
        os.chown(path, 54321, 54321)
    result = forks.run("run", "--resume", spool).expect(2)
    assert "it belongs to another user" in result.err
    assert scene.s3.list_objects_v2(Bucket=scene.bucket)["KeyCount"] == 0
