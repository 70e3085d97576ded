"""`deploy`: files that the systems they are for take, and rights that are enough and needed."""

from __future__ import annotations

import configparser
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from orchestrator_cli.cli.main import cli as program
from tests.conftest import RunCommand
from tests.support.bench_tree import DAY, BenchTree
from tests.support.engine import PART, content
from tests.support.proxy import Proxy
from tests.support.running import Processes

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# What S3's operations need, as IAM calls it.
ACTIONS = {
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "CompleteMultipartUpload": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "ListObjectsV2": "s3:ListBucket",
    "ListParts": "s3:ListMultipartUploadParts",
    "PutObject": "s3:PutObject",
    "UploadPart": "s3:PutObject",
}
SECTIONS = {
    "Unit": {"Description", "Documentation", "Wants", "After"},
    "Timer": {"OnBootSec", "OnUnitInactiveSec", "RandomizedDelaySec"},
    "Install": {"WantedBy"},
}


# --- systemd -----------------------------------------------------------------------------


def read_unit(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return parser


def check_command_line(line: str) -> dict[str, Any]:
    """Parse what a unit starts, as the command itself would; return its options."""
    _, name, *arguments = shlex.split(line)
    with program.make_context("orchestrator", ["--bucket", "b-1", name, *arguments]) as context:
        subcommand = program.get_command(context, name)
        assert subcommand is not None
        return subcommand.make_context(name, arguments, parent=context).params


def test_the_unit_watches(cli: RunCommand, bucket: str) -> None:
    unit = read_unit(cli("deploy", "systemd", "--bench", "b-7").ok().out)
    service = unit["Service"]
    options = check_command_line(service["ExecStart"])
    assert (options["bench"], options["watch"]) == ("b-7", True)
    assert str(options["root"]) == "/mnt/bench-logs"
    assert f"ORCHESTRATOR_BUCKET={bucket}" in service["Environment"].split()
    assert service["Restart"] == "always"
    assert unit["Unit"].keys() <= SECTIONS["Unit"]
    assert unit["Install"]["WantedBy"] == "multi-user.target"


def test_the_timer_starts_a_service_that_ends(cli: RunCommand, bucket: str) -> None:
    out = cli("deploy", "systemd", "--timer", "5m").ok().out
    parts = out.split("# /etc/systemd/system/orchestrator-sync.timer\n")
    service, timer = map(read_unit, parts)
    assert timer["Timer"]["OnUnitInactiveSec"] == "5m"
    assert timer["Timer"].keys() <= SECTIONS["Timer"]
    assert timer["Install"]["WantedBy"] == "timers.target"
    assert service["Service"]["Type"] == "oneshot"
    assert check_command_line(service["Service"]["ExecStart"])["watch"] is False
    assert "Install" not in service


def test_the_units_pass_systemd_itself(cli: RunCommand, bucket: str, tmp_path: Path) -> None:
    try:
        subprocess.run(["systemd-analyze", "--version"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "orchestrator-sync.service"
    unit.write_text(cli("deploy", "systemd", "--program", "/bin/true").ok().out)
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False
    )
    assert "Unknown" not in checked.stderr, checked.stderr


# --- EC2 and EKS -------------------------------------------------------------------------


def test_user_data_is_a_script(cli: RunCommand, bucket: str) -> None:
    words = ["pytest", "it's", "$(touch x)", "a b"]
    out = cli("deploy", "ec2", "--package", "w.whl", "--suite", "it's; rm", "--", *words).ok().out
    assert out.startswith("#!/bin/bash\n")
    subprocess.run(["bash", "-n"], input=out.encode(), check=True)
    joined = out.replace("\\\n", " ")
    (line,) = [line for line in joined.splitlines() if line.startswith("orchestrator run --runner")]
    parsed = shlex.split(line.partition(" || ")[0])
    assert parsed[parsed.index("--") + 1 :] == words
    options = check_command_line(shlex.join(["x", *parsed[1:]]))
    assert (options["runner_type"], options["suite"]) == ("ec2", "it's; rm")


def test_the_manifest_is_what_kubernetes_takes(cli: RunCommand, bucket: str) -> None:
    arn = "arn:aws:iam::123456789012:role/runner"
    arguments = ("--image", "r.example/o:1", "--test-image", "t@sha256:00", "--role-arn", arn)
    words = ["pytest", "- a: [", "#", "true", "1", "ü", "'\""]
    out = cli("deploy", "eks", *arguments, "--suite", "x: y", "--", *words).ok().out
    account, job = yaml.safe_load_all(out)
    assert account["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": arn}
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    pod = job["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert pod["serviceAccountName"] == account["metadata"]["name"]
    new, sidecar = pod["initContainers"]
    assert "restartPolicy" not in new
    assert sidecar["restartPolicy"] == "Always"
    (tests,) = pod["containers"]
    assert tests["command"][4:] == words
    volumes = {volume["name"] for volume in pod["volumes"]}
    for container in (new, sidecar, tests):
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        assert all(isinstance(word, str) for word in container["command"])
        subprocess.run(["sh", "-n"], input=container["command"][2].encode(), check=True)
    assert {"name": "ORCHESTRATOR_BUCKET", "value": bucket} in sidecar["env"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("systemd", "--root", "relative"),
        ("systemd", "--root", "/a b"),
        ("systemd", "--bench", "b\nExecStart=/bin/sh"),
        ("systemd", "--user", "root;"),
        ("systemd", "--timer", "often"),
        ("eks", "--image", "a b", "--test-image", "t", "--", "x"),
        ("eks", "--image", "a", "--test-image", "t", "--name", "Ü", "--", "x"),
        ("eks", "--image", "a", "--test-image", "t", "--role-arn", "me", "--", "x"),
        ("eks", "--image", "a", "--test-image", "t"),
        ("ec2",),
        ("ec2", "--", "x"),
        ("ec2", "--package", "w", "--", "a\nb"),
        ("iam", "--role", "king"),
    ],
)
def test_what_would_break_a_file_is_refused(
    cli: RunCommand, bucket: str, arguments: tuple[str, ...]
) -> None:
    result = cli("deploy", *arguments).expect(2)
    assert result.out == ""
    assert result.err


def test_the_region_goes_into_the_files(cli: RunCommand, bucket: str) -> None:
    named = cli("--region", "eu-central-1", "deploy", "systemd").ok()
    assert "AWS_REGION=eu-central-1" in named.out
    none: dict[str, str | None] = {"AWS_REGION": None, "AWS_DEFAULT_REGION": None}
    told = cli("deploy", "systemd", env=none | {"AWS_REGION": "eu-west-3"}).ok()
    assert "AWS_REGION=eu-west-3" in told.out
    assert "no region is configured" in cli("deploy", "systemd", env=none).expect(2).err


def test_a_bucket_is_needed(cli: RunCommand) -> None:
    assert "no bucket is configured" in cli("deploy", "iam").expect(2).err
    assert "not a bucket" in cli("--bucket", "A b", "deploy", "iam").expect(2).err


# --- IAM ---------------------------------------------------------------------------------


def allowed(cli: RunCommand, role: str, bucket: str) -> dict[str, list[str]]:
    """Return the resources that each action of a role is for."""
    policy = cli("deploy", "iam", "--role", role).ok().json()
    found: dict[str, list[str]] = {}
    for statement in policy["Statement"]:
        resources = statement["Resource"]
        for action in statement["Action"]:
            listed = [resources] if isinstance(resources, str) else resources
            found.setdefault(action, []).extend(one.split(":::")[1] for one in listed)
    assert policy["Version"] == "2012-10-17"
    assert all(one.startswith(bucket) for places in found.values() for one in places)
    return found


def check_rights(recorder: Proxy, rights: dict[str, list[str]], bucket: str) -> set[str]:
    """Assert that every request was allowed; return the actions used."""
    used = set()
    for exchange in recorder.calls():
        action = ACTIONS[exchange.operation]
        used.add(action)
        place = f"{bucket}/{exchange.key}" if exchange.key else bucket
        assert any(
            place.startswith(one.removesuffix("*")) if one.endswith("*") else place == one
            for one in rights.get(action, [])
        ), (action, place)
    return used


def test_a_runner_may_do_what_it_does_and_no_more(
    cli: RunCommand, cli_process: Processes, recorder: Proxy, bucket: str, tmp_path: Path
) -> None:
    rights = allowed(cli, "runner", bucket)
    (tmp_path / "large.bin").write_bytes(content(PART + 9))
    (tmp_path / "small.txt").write_text("small")
    execution_id = cli("new").ok().out.strip()
    cli("upload", execution_id, tmp_path / "large.bin", tmp_path / "small.txt").ok()
    cli("upload", execution_id, tmp_path / "large.bin").ok()
    cli("upload", execution_id, "-", "--name", "stdout.log", stdin=content(PART + 9, 2)).ok()
    cli("finish", execution_id, "--result", "pass").ok()
    cli_process.run("run", "--", sys.executable, "-c", "print('x')").ok()
    used = check_rights(recorder, rights, bucket)
    # Resuming and clearing up need the rest: see the tests of those.
    assert rights.keys() - used <= {"s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"}


def test_a_bench_may_do_what_it_does(
    cli: RunCommand, recorder: Proxy, s3: S3Client, bucket: str, tmp_path: Path
) -> None:
    rights = allowed(cli, "bench", bucket)
    tree = BenchTree(tmp_path / "efs")
    tree.write("raw/large.bin", content(PART + 9), age_seconds=8 * DAY)
    tree.write("raw/small.txt", age_seconds=8 * DAY)
    cli(*tree.arguments).ok()
    used = check_rights(recorder, rights, bucket)
    assert rights.keys() - used <= {"s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"}
    assert not [place for places in rights.values() for place in places if "history" in place]


def test_a_reader_writes_nothing(
    cli: RunCommand, recorder: Proxy, s3: S3Client, bucket: str, tmp_path: Path
) -> None:
    execution_id = cli("new").ok().out.strip()
    cli("upload", execution_id, "-", "--name", "stdout.log", stdin=b"text\n").ok()
    cli("finish", execution_id, "--result", "pass").ok()
    rights = allowed(cli, "reader", bucket)
    recorder.clear()
    for arguments in (
        ("ls",),
        ("ls", execution_id),
        ("show", execution_id),
        ("logs", execution_id, "stdout.log"),
        ("url", execution_id),
        ("verify", execution_id),
        ("download", execution_id, "-o", str(tmp_path / "out")),
    ):
        cli(*arguments).ok()
    used = check_rights(recorder, rights, bucket)
    assert used == rights.keys()
    assert json.dumps(sorted(rights)) == '["s3:GetObject", "s3:ListBucket"]'
