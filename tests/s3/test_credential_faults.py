"""What provides credentials fails, answers wrongly or asks for something, as commands meet it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator_cli.cli import waiting_notice
from orchestrator_cli.core.s3.connection import credential_process
from tests.support.commands.forkserver import ForkServer
from tests.support.commands.running import Processes
from tests.support.scene import Scene
from tests.support.servers.scripted import Peer, scripted

NO_KEYS = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
KEYS = {"Version": 1, "AccessKeyId": "AKIDPROCESS", "SecretAccessKey": "secret"}


def configured(scene: Scene, text: str) -> dict[str, str | None]:
    """Return the variables that make this text the AWS configuration."""
    file = scene.directory / "config"
    file.write_text(text)
    return {**NO_KEYS, "AWS_CONFIG_FILE": str(file)}


def process(scene: Scene, output: str, code: str = "") -> dict[str, str | None]:
    """Return the variables for credentials of a program that prints this."""
    script = scene.directory / "credentials.py"
    script.write_text(f"import os, sys, time\n{code}\nprint({output!r})\n")
    return configured(scene, f"[default]\ncredential_process = {sys.executable} {script}\n")


def test_a_credential_process_does_not_read_what_is_to_be_stored(
    scene: Scene, forks: ForkServer
) -> None:
    execution_id = scene.put_execution()
    environment = process(scene, json.dumps(KEYS), "sys.stdin.read()")
    name = ("--name", "stdout.log")
    forks.run("upload", execution_id, "-", *name, stdin=b"the log\n", env=environment).ok()
    assert scene.files(execution_id) == {"logs/stdout.log": b"the log\n"}


def test_a_role_that_wants_a_code_does_not_take_it_from_a_pipe(
    scene: Scene, cli_process: Processes
) -> None:
    role = "role_arn = arn:aws:iam::1:role/r\nsource_profile = base\nmfa_serial = me\n"
    base = "[profile base]\naws_access_key_id = a\naws_secret_access_key = b\n"
    environment = configured(scene, f"[default]\n{role}{base}")
    with (scene.directory / "log").open("w+b") as log:
        log.write(b"the first line\n")
        log.seek(0)
        command = ("upload", scene.put_execution(), "-", "--name", "stdout.log")
        # In a session of its own it has no terminal.
        running = cli_process.start(*command, stdin=log, env=environment, start_new_session=True)
        _, err = running.communicate(timeout=60)
        assert log.read() == b"the first line\n"
    assert running.returncode == 5
    assert b"wants a code (MFA), and there is no terminal" in err
    assert scene.recorder.calls() == []


@pytest.mark.parametrize(
    "output",
    [
        "log in first", "[]", json.dumps(KEYS | {"AccessKeyId": None}),
        json.dumps(KEYS | {"SecretAccessKey": 1}), json.dumps(KEYS | {"SessionToken": 1}),
        json.dumps(KEYS | {"Expiration": 1}), json.dumps(KEYS | {"Expiration": "2099-01-31T09:00"}),
    ],
)  # fmt: skip
def test_a_process_that_prints_something_else_is_no_fault_of_the_program(
    scene: Scene, output: str
) -> None:
    result = scene.cli("ls", env=process(scene, output)).expect(5)
    assert result.err.startswith("error: no usable credentials: ")
    assert scene.recorder.calls() == []


def test_a_process_that_hangs_is_waited_for_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credential_process, "LONGEST_SECONDS", 0.5)
    monkeypatch.setattr(waiting_notice, "WAIT_SECONDS", 0.05)
    runs = scene.directory / "runs"
    code = f"open({str(runs)!r}, 'a').write('.'); time.sleep(60)"
    result = scene.cli("ls", env=process(scene, "", code)).expect(5)
    assert runs.read_text() == "."
    assert "credential_process did not end in 0.5 s" in result.err
    # It is not S3 that has not answered.
    assert "no answer from the source of the credentials yet; still waiting" in result.err


@pytest.mark.parametrize("document", [{}, [1], {"AccessKeyId": None, "SecretAccessKey": "b"}])
def test_a_container_that_answers_something_else_is_no_fault_of_the_program(
    scene: Scene, document: Any
) -> None:
    body = json.dumps(document).encode()

    def answer(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    with scripted(answer) as server:
        variables = NO_KEYS | {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{server.url}/v1"}
        assert "no usable credentials" in scene.cli("ls", env=variables).expect(5).err


def test_a_role_that_is_denied_ends_the_command_and_is_named_as_iam_does(
    scene: Scene, tmp_path: Path
) -> None:
    body = (
        b"<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>"
        b"<Message>no</Message></Error><RequestId>r</RequestId></ErrorResponse>"
    )

    def deny(peer: Peer) -> None:
        peer.request()
        head = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%s"
        peer.send(head % (len(body), body))

    token = tmp_path / "token"
    token.write_text("jwt-of-the-pod")
    tree = scene.write_tree({f"{number}.txt": b"x" for number in range(40)})
    with scripted(deny) as server:
        variables = {
            **NO_KEYS,
            "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/runner-role",
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
            "AWS_ENDPOINT_URL_STS": server.url,
        }
        result = scene.cli("upload", scene.put_execution(), tree, env=variables).expect(5)
    assert "(sts:AssumeRoleWithWebIdentity)" in result.err
    assert "check the credentials" in result.err


def test_who_is_not_logged_in_is_told_how(scene: Scene) -> None:
    text = (
        "[default]\nsso_start_url = https://sso.example.com\nsso_region = us-east-1\n"
        "sso_account_id = 123456789012\nsso_role_name = r\n"
    )
    environment = configured(scene, text) | {"HOME": str(scene.directory)}
    assert "aws sso login" in scene.cli("ls", env=environment).expect(5).err
