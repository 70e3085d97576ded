"""From a runner's process to the bucket, with credentials as they arrive where it runs.

No flow has keys in its environment: EC2 asks the instance, EKS shows a token, and the bench's
supervisor starts what the printed unit says.
"""

from __future__ import annotations

import configparser
import json
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.commands.running import COMMAND, Processes, process_environment
from tests.support.proxy.proxy import Proxy
from tests.support.proxy.session_credentials import access_key_of
from tests.support.scene import Scene
from tests.support.servers.cloud_identity import (
    ROLE,
    instance_metadata,
    pod_identity_agent,
    token_service,
)
from tests.support.servers.pod import Pod
from tests.support.stored.bench_tree import OLD_ID, BenchTree

NO_KEYS: dict[str, str | None] = {
    "AWS_ACCESS_KEY_ID": None,
    "AWS_SECRET_ACCESS_KEY": None,
    "AWS_SESSION_TOKEN": None,
}
SUITE = """
import logging

def test_it_opens():
    logging.getLogger("door").info("open")

def test_it_closes():
    assert False, "it does not"
"""


def signers(recorder: Proxy) -> set[str]:
    return {access_key_of(one.request) for one in recorder.calls()}


def wait_until(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def only_execution(scene: Scene) -> tuple[str, dict[str, bytes]]:
    """Return the id of the only execution, and its files by path."""
    found = scene.contents("executions/")
    (execution_id,) = {key.split("/")[1] for key in found}
    prefix = f"executions/{execution_id}/"
    return execution_id, {key.removeprefix(prefix): data for key, data in found.items()}


# --- EC2 ---------------------------------------------------------------------------------


def test_a_suite_on_an_instance_is_stored_with_its_role(
    scene: Scene, cli_process: Processes
) -> None:
    (scene.directory / "test_door.py").write_text(SUITE)
    (scene.directory / "results").mkdir()
    suite = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_door.py"]
    with instance_metadata() as (address, seen):
        environment = NO_KEYS | {
            "AWS_EC2_METADATA_DISABLED": None,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": address,
            "PYTEST_ADDOPTS": None,
        }
        result = cli_process.run(
            *("run", "--runner-type", "ec2", "--suite", "door", "--artifacts", "results", "--"),
            *suite,
            *("--junitxml", "results/junit.xml", "--log-file", "results/door.log"),
            *("--log-file-level", "INFO"),
            env=environment,
            cwd=scene.directory,
        ).expect(1)
    assert "1 failed, 1 passed" in result.out
    execution_id, files = only_execution(scene)
    assert b"<testcase" in files["artifacts/custom/junit.xml"]
    assert b"open" in files["artifacts/custom/door.log"]
    assert files["logs/stdout.log"] == result.stdout
    record = scene.record(execution_id)
    assert (record["result"], record["runner_type"]) == ("fail", "ec2")
    assert record["artifact_status"] == "complete"
    assert signers(scene.recorder) == {"ASIAIMDS"}
    # Version 2 only: a session first, then what it opens.
    assert seen[0] == "PUT /latest/api/token 200"
    assert f"GET /latest/meta-data/iam/security-credentials/{ROLE} 200" in seen
    assert not [line for line in seen if line.endswith(" 401")]


# --- EKS ---------------------------------------------------------------------------------


@pytest.fixture(params=["web identity", "pod identity"])
def eks_environment(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[dict[str, str | None], str]]:
    """The variables that EKS sets in a pod, and the access key they lead to."""
    token = tmp_path / "token"
    token.write_text("jwt-of-the-pod")
    if request.param == "web identity":
        with token_service() as (address, _):
            yield (
                NO_KEYS
                | {
                    "AWS_ROLE_ARN": f"arn:aws:iam::123456789012:role/{ROLE}",
                    "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
                    "AWS_ENDPOINT_URL_STS": address,
                },
                "ASIASTS",
            )
        return
    with pod_identity_agent() as (address, _):
        yield (
            NO_KEYS
            | {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{address}/v1/credentials",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
            },
            "ASIAPOD",
        )


@pytest.mark.parametrize("fails", [False, True])
def test_a_job_ends_as_its_tests_and_its_sidecar_stores(
    scene: Scene, eks_environment: tuple[dict[str, str | None], str], fails: bool
) -> None:
    environment, access_key = eks_environment
    script = f"echo from the tests; echo shot >{scene.directory}/artifacts/a.png; exit {int(fails)}"
    deploy = ("deploy", "eks", "--image", "tool:1", "--test-image", "tests:1", "--suite", "door")
    _, job = yaml.safe_load_all(scene.cli(*deploy, "--", "sh", "-c", script).ok().out)
    pod = Pod(job, scene.directory, environment)
    try:
        execution_id = pod.start_all()
        assert pod.wait("tests") == int(fails)
        assert pod.end_sidecar() == 0, pod.told()
    finally:
        pod.close()
    stored_id, files = only_execution(scene)
    assert stored_id == execution_id
    assert files["logs/stdout.log"] == b"from the tests\n"
    assert files["artifacts/screenshots/a.png"] == b"shot\n"
    record = scene.record(execution_id)
    assert record["result"] == ("fail" if fails else "pass")
    assert (record["runner_type"], record["test_suite"]) == ("eks", "door")
    assert signers(scene.recorder) == {access_key}


# --- on-prem -----------------------------------------------------------------------------

_BENCH = """
import os, sys
place = sys.argv[1]
for name in ("temp", "raw"):
    os.makedirs(os.path.join(place, name), exist_ok=True)
for number in range(int(sys.argv[2])):
    unfinished = os.path.join(place, "temp", f"{number}.txt")
    with open(unfinished, "w") as file:
        file.write(f"measurement {number}\\n" * 100)
    os.rename(unfinished, os.path.join(place, "raw", f"{number}.txt"))
"""


class Supervisor:
    """Starts a command again whenever it ends, as systemd does, until it is told to stop."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.starts = 0
        self._command = command
        self._environment = environment
        self._stopping = False
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._supervise)
        self._thread.start()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def has_started_since(self, starts: int) -> bool:
        return self.starts > starts

    def stop(self) -> int:
        """End it in good order, and return its exit code."""
        self._stopping = True
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._thread.join(90)
        return self._process.returncode

    def _supervise(self) -> None:
        while not self._stopping:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stderr=subprocess.DEVNULL
            )
            self.starts += 1
            self._process.wait()


def read_exec_start(unit: str) -> list[str]:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(unit)
    return shlex.split(parser["Service"]["ExecStart"])


def test_a_bench_under_a_supervisor_is_stored_and_emptied(
    scene: Scene, cli_process: Processes
) -> None:
    tree = BenchTree(scene.directory / "efs")
    tree.directory().mkdir(parents=True)
    unit = scene.cli("deploy", "systemd", "--root", tree.root, "--bench", "b1").ok().out
    program, *arguments = read_exec_start(unit)
    assert program == "/opt/orchestrator/bin/orchestrator"
    process = cli_process.start(command=(sys.executable, "-c", _BENCH, str(tree.directory()), "40"))
    command = [*COMMAND, *arguments, "--settle", "0s", "--interval", "50ms"]
    supervisor = Supervisor(command, process_environment(None))
    prefix = f"executions/{OLD_ID}/artifacts/custom/"
    try:
        for _ in range(2):
            started = supervisor.starts
            supervisor.kill()
            wait_until(partial(supervisor.has_started_since, started), "it is not started again")
        assert process.wait(90) == 0
        wanted = {f"{prefix}{number}.txt" for number in range(40)}
        wait_until(lambda: wanted <= scene.contents().keys(), "files are missing")
        assert len(list((tree.directory() / "raw").iterdir())) == 40  # a week has not passed
        assert supervisor.stop() == 0
        supervisor = Supervisor([*command, "--retain", "0s"], process_environment(None))
        wait_until(lambda: not tree.directory().exists(), "the tree is still there")
    finally:
        code = supervisor.stop()
    assert code == 0
    for number in range(40):
        data = scene.contents(f"{prefix}{number}.txt")[f"{prefix}{number}.txt"]
        assert data == f"measurement {number}\n".encode() * 100
    record = json.loads(scene.contents()[f"executions/{OLD_ID}/metadata.json"])
    assert (record["bench_id"], record["artifact_status"]) == ("b1", "pending")


def test_what_writes_takes_latest_only_when_it_is_told_so(scene: Scene) -> None:
    execution_id = scene.cli("new").ok().out.strip()
    (scene.directory / "a.txt").write_text("a")
    for line in (
        ["upload", "@latest", scene.directory / "a.txt"],
        ["finish", "@latest", "--result=pass"],
    ):
        refused = scene.cli(*line).expect(2)
        assert "error: @latest may be another execution" in refused.err
        assert "--yes" in refused.err
    assert scene.cli("ls", execution_id).ok().out == ""
    scene.cli("upload", "@latest", scene.directory / "a.txt", "--yes").ok()
    scene.cli(
        "finish", "--yes", "--result", "pass", env={"ORCHESTRATOR_EXECUTION_ID": "@latest"}
    ).ok()
    assert scene.cli("show", execution_id, "--json").ok().json()["artifact_count"] == 1
