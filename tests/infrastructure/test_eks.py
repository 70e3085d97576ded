"""`deploy eks`: Kubernetes accepts the manifests, and the containers work as processes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import yaml

from orchestrator_cli.core.s3.part_plan import BASE_PART_BYTES
from tests.support.commands.printed import check_kubernetes, check_shell
from tests.support.commands.running import RunCommand
from tests.support.lasting_failures import HARMS
from tests.support.proxy import faults
from tests.support.proxy.verifying import VerifyDigests
from tests.support.scene import Scene
from tests.support.servers.pod import Pod, command_of, containers_of

KEEP_SECONDS = 24 * 3600
EKS = ("--image", "r.example/o:1", "--test-image", "t@sha256:00")
# A command with text that Kubernetes, YAML and shells could misread.
HOSTILE = [
    "$",
    "$$",
    "$$$",
    "$(HOME)",
    "$$(HOME)",
    "${HOME}",
    "- a: [",
    "#",
    "true",
    "1",
    "'\"",
    "",
]
HOSTILE += ["ü", "👩\u200d🔬", "a\u00adb", "a\nb\tc", "\x1b[0m", "\u2028", "\ue000", "`id`", "\\"]

RunPod = Callable[..., Pod]


def read_manifests(cli: RunCommand, *options: str, command: list[str] | None = None) -> Any:
    """Return the ServiceAccount and the Job."""
    out = cli("deploy", "eks", *EKS, *options, "--", *(command or ["x"])).ok().out
    return tuple(yaml.safe_load_all(out))


@pytest.fixture
def run_pod(scene: Scene) -> Iterator[RunPod]:
    """Make a pod that runs a Python program."""
    with ExitStack() as opened:

        def make(program: str, *options: str) -> Pod:
            command = [sys.executable, "-c", program]
            _, job = read_manifests(scene.cli, *options, command=command)
            pod = Pod(job, scene.directory)
            opened.callback(pod.close)
            return pod

        yield make


# --- the manifests -----------------------------------------------------------------------


def test_kubernetes_accepts_the_manifests(scene: Scene) -> None:
    arn = "arn:aws:iam::123456789012:role/runner"
    out = (
        scene.cli("deploy", "eks", *EKS, "--role-arn", arn, "--suite", "x: y", "--", *HOSTILE)
        .ok()
        .out
    )
    check_kubernetes(out)
    account, job = yaml.safe_load_all(out)
    assert account["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": arn}
    assert account["automountServiceAccountToken"] is False
    assert job["metadata"] == {"generateName": "tests-", "namespace": "default"}
    assert job["spec"]["ttlSecondsAfterFinished"] == KEEP_SECONDS
    pod = job["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert pod["serviceAccountName"] == account["metadata"]["name"]
    assert pod["initContainers"][0]["restartPolicy"] == "Always"
    assert {"name": "ORCHESTRATOR_BUCKET", "value": scene.bucket} in pod["initContainers"][0]["env"]
    for part, kind in (("account", "ServiceAccount"), ("job", "Job")):
        out = scene.cli("deploy", "eks", *EKS, "--part", part, "--", "x").ok().out
        assert yaml.safe_load(out)["kind"] == kind


def test_the_tests_get_no_role_and_no_privileges(scene: Scene) -> None:
    _, job = read_manifests(scene.cli, "--cpu", "500m", "--memory", "1.5Gi")
    template = job["spec"]["template"]
    pod = template["spec"]
    assert template["metadata"]["annotations"] == {"eks.amazonaws.com/skip-containers": "tests"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    for container in containers_of(job).values():
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert container["resources"]["limits"].keys() == {"cpu", "memory"}
    tests = containers_of(job)["tests"]
    assert tests["resources"]["limits"] == {"cpu": "500m", "memory": "1.5Gi"}
    assert [one["name"] for one in tests["env"]] == ["HOME"]
    # The tests cannot choose another execution.
    writable = [one["name"] for one in tests["volumeMounts"] if not one.get("readOnly")]
    assert writable == ["artifacts", "output"]


def test_the_scripts_pass_shellcheck_and_the_command_arrives_as_typed(scene: Scene) -> None:
    _, job = read_manifests(scene.cli, "--suite", "$(HOME) it's", command=HOSTILE)
    containers = containers_of(job)
    assert command_of(containers["tests"])[4:] == HOSTILE
    store = command_of(containers["store"])
    assert store[5:] == ["--suite", "$(HOME) it's"]
    for script in (store[2], store[4], command_of(containers["tests"])[2]):
        check_shell(script, "sh")


# --- the containers ----------------------------------------------------------------------

PRINTS = """\
import os, signal, sys
print('out ü', os.environ['ORCHESTRATOR_EXECUTION_ID'])
print('err', signal.getsignal(signal.SIGINT) is signal.default_int_handler, file=sys.stderr)
"""


def stored(scene: Scene, execution_id: str) -> dict[str, bytes]:
    found = scene.contents(f"executions/{execution_id}/")
    return {key.split("/", 2)[2]: data for key, data in found.items()}


@pytest.mark.parametrize(
    "fault", [faults.ResetBefore(), faults.access_denied()], ids=["away", "refuses"]
)
def test_a_pod_stores_once_s3_is_available(
    scene: Scene, run_pod: RunPod, fault: faults.Fault
) -> None:
    scene.recorder.inject(fault, times=None)
    leaves = f"open('{scene.directory}/artifacts/junit.xml', 'w').write('<x/>')"
    pod = run_pod(PRINTS + leaves, "--suite", "smoke")
    execution_id = pod.start_all()
    pod.wait_until(lambda: pod.path("output/code").exists())
    # `kubectl logs` shows what the tests print.
    assert pod.path("tests.out").read_text() == f"out ü {execution_id}\n"
    assert pod.path("tests.err").read_text() == "err True\n"
    pod.wait_until(lambda: "To store it" in pod.path("store.err").read_text())
    scene.recorder.heal()
    assert pod.wait("tests") == 0
    assert pod.end_sidecar() == 0
    record = scene.record(execution_id)
    assert (record["result"], record["artifact_status"]) == ("pass", "complete")
    assert (record["runner_type"], record["test_suite"]) == ("eks", "smoke")
    files = stored(scene, execution_id)
    assert files["logs/stdout.log"].decode() == f"out ü {execution_id}\n"
    assert files["artifacts/custom/junit.xml"] == b"<x/>"


def test_a_sidecar_killed_at_any_step_loses_nothing(scene: Scene, run_pod: RunPod) -> None:
    """The steps: making an id, waiting for output, copying it, seeing its end, storing, done."""
    os.mkfifo(scene.directory / "go")
    place = scene.directory
    leaves = f"open('{place}/artifacts/a', 'w').write('a'); open('{place}/go').read()"
    pod = run_pod(f"print('out', flush=True); {leaves}; raise SystemExit(3)")
    scene.recorder.inject(faults.ResetBefore(), times=None)

    def begins_again() -> None:
        pod.kill("store")
        pod.start("store")

    pod.start("store")
    begins_again()
    execution_id = pod.start_all(is_started=True)
    begins_again()
    pod.wait_until(lambda: b"out\n" in pod.spooled("stdout.log"))
    begins_again()
    (scene.directory / "go").write_text("")
    pod.wait_until(lambda: b'"end": {' in pod.spooled("run.json"))
    begins_again()
    pod.wait_until(lambda: "To store it" in pod.path("store.err").read_text())
    begins_again()
    scene.recorder.heal()
    assert pod.wait("tests") == 3
    # Restarted by the kubelet when everything is stored, it does nothing.
    begins_again()
    pod.end_sidecar()
    record = scene.record(execution_id)
    assert (record["result"], record["artifact_status"]) == ("fail", "complete")
    files = stored(scene, execution_id)
    assert (files["logs/stdout.log"], files["artifacts/custom/a"]) == (b"out\n", b"a")


WAITS = "import time; print('begun', flush=True); time.sleep(60)"


@pytest.mark.parametrize("end", ["SIGTERM to the pod", "killed", "killed by its own signal"])
def test_interrupted_tests_have_the_result_error(scene: Scene, run_pod: RunPod, end: str) -> None:
    kills_itself = "import os; print('begun', flush=True); os.kill(os.getpid(), 11)"
    pod = run_pod(kills_itself if end == "killed by its own signal" else WAITS)
    execution_id = pod.start_all()
    pod.wait_until(lambda: pod.path("output/stdout.log").read_text() == "begun\n")
    if end == "SIGTERM to the pod":
        pod.terminate("tests")
    elif end == "killed":
        pod.kill("tests")
    assert pod.wait("tests") == {"SIGTERM to the pod": 143, "killed": -9}.get(end, 139)
    assert pod.end_sidecar() == 0
    record = scene.record(execution_id)
    assert (record["result"], record["artifact_status"]) == ("error", "complete")
    assert stored(scene, execution_id)["logs/stdout.log"] == b"begun\n"


def test_files_that_s3_refuses_are_recorded_until_they_are_stored(
    scene: Scene, run_pod: RunPod
) -> None:
    """One file for each kind of refusal; the sidecar retries as long as there is one."""
    refused = {f"artifacts/custom/{harm}": fault for harm, (fault, _) in HARMS.items()}
    for path, fault in refused.items():
        scene.recorder.inject(fault(), "PutObject", key=f"{path}$", times=None)
    # An upload in parts is refused at its completion.
    refused["artifacts/custom/parts"] = faults.access_denied
    scene.recorder.inject(faults.access_denied(), "CompleteMultipartUpload", times=None)
    scene.recorder.inject(VerifyDigests(), times=None)
    times = dict.fromkeys([*HARMS, "a", "z"], 1) | {"parts": BASE_PART_BYTES}
    leaves = (
        f"for name, times in {times}.items(): "
        f"open('{scene.directory}/artifacts/' + name, 'w').write(name * times)"
    )
    pod = run_pod(leaves, "--hold", "60s")
    execution_id = pod.start_all()

    def facts() -> tuple[str, list[str]]:
        record = scene.record(execution_id)
        return record["artifact_status"], sorted(one["path"] for one in record["failures"])

    def history() -> list[tuple[str, int]]:
        lines = map(json.loads, scene.contents("history/").values())
        return [(line["artifact_status"], line["failure_count"]) for line in lines]

    # The tests begin before the record exists, and failures are recorded before it is finished.
    pod.wait_until(lambda: "metadata.json" in stored(scene, execution_id))
    pod.wait_until(lambda: history() == [("artifact_error", len(refused))])
    assert facts() == ("artifact_error", sorted(refused))
    assert {f"artifacts/custom/{name}" for name in "az"} <= stored(scene, execution_id).keys()
    assert stored(scene, execution_id).keys().isdisjoint(refused)
    assert scene.record(execution_id)["result"] == "pass"
    assert not pod.path("execution/done").exists()
    scene.recorder.heal()
    assert pod.wait("tests") == 0
    assert pod.end_sidecar() == 0
    assert facts() == ("complete", [])
    assert refused.keys() <= stored(scene, execution_id).keys()


def test_a_pod_retries_only_while_that_may_help(scene: Scene, run_pod: RunPod) -> None:
    """One file is refused for a while, one has an invalid name, and one log exists already."""
    scene.recorder.inject(faults.access_denied(), "PutObject", key="artifacts/custom/b", times=None)
    place = scene.directory / "artifacts"
    leaves = f"for name in ('a', 'b', 'c\\n'): open('{place}/' + name, 'w').write(name)"
    pod = run_pod(f"{leaves}\nprint('ours')\nopen('{scene.directory}/go').read()")
    os.mkfifo(scene.directory / "go")
    execution_id = pod.start_all()
    log = f"executions/{execution_id}/logs/stdout.log"
    scene.s3.put_object(Bucket=scene.bucket, Key=log, Body=b"another's")
    (scene.directory / "go").write_text("")
    pod.wait_until(lambda: pod.path("store.err").read_text().count("access denied") >= 3)
    assert not pod.path("execution/done").exists(), pod.told()
    scene.recorder.heal()
    assert pod.wait("tests") == 0
    assert "the rest cannot be stored, and no retry can help" in pod.path("store.err").read_text()
    assert pod.end_sidecar() == 6
    record = scene.record(execution_id)
    assert (record["result"], record["artifact_status"]) == ("pass", "artifact_error")
    assert {one["path"] for one in record["failures"]} == {
        f"{scene.directory}/artifacts/c\\n",
        "logs/stdout.log",
    }
    files = stored(scene, execution_id)
    assert (files["artifacts/custom/b"], files["logs/stdout.log"]) == (b"b", b"another's")


@pytest.mark.parametrize("replacement", ["link", "link to nothing", "FIFO"])
def test_logs_replaced_by_the_tests_are_not_read(
    scene: Scene, run_pod: RunPod, replacement: str
) -> None:
    secret = scene.directory / "token"
    secret.write_text("secret")
    log = scene.directory / "output/stdout.log"
    replace = {
        "link": f"os.symlink('{secret}', '{log}')",
        "link to nothing": f"os.symlink('{scene.directory}/execution/planted', '{log}')",
        "FIFO": f"os.mkfifo('{log}')",
    }
    pod = run_pod(f"import os, time; os.unlink('{log}'); {replace[replacement]}; time.sleep(60)")
    execution_id = pod.start_all()
    pod.wait_until(lambda: log.is_symlink() or log.is_fifo())
    pod.kill("store")
    pod.start("store")
    pod.wait_until(lambda: "finished" in pod.path("store.err").read_text())
    pod.kill("tests")
    pod.end_sidecar()
    assert not pod.path("execution/planted").exists()
    assert scene.record(execution_id)["result"] == "error"
    assert b"secret" not in b"".join(stored(scene, execution_id).values())
