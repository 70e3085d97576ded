"""`deploy`: systemd accepts the units, and the IAM policies are sufficient and minimal."""

from __future__ import annotations

import configparser
import json
import re
import shlex
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import pytest

from orchestrator_cli.cli.main import cli as program
from tests.support.commands.printed import check_unit
from tests.support.commands.running import Processes, RunCommand
from tests.support.proxy import quirks
from tests.support.proxy.connection import Connection
from tests.support.proxy.faults import Answered
from tests.support.proxy.operations import Request
from tests.support.scene import Scene
from tests.support.stored.bench_tree import BenchTree
from tests.support.stored.engine import PART, content
from tests.support.stored.executions import make_id

# The IAM actions that S3's operations need.
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
    "Unit": {"Description", "Documentation", "Wants", "After", "RequiresMountsFor"},
    "Timer": {"OnBootSec", "OnUnitInactiveSec", "RandomizedDelaySec"},
    "Install": {"WantedBy"},
}


# --- systemd -----------------------------------------------------------------------------


def read_unit(text: str) -> configparser.ConfigParser:
    # A key may be repeated; this keeps the last one.
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return parser


def check_command_line(line: str) -> dict[str, Any]:
    """Return the options of the command that a unit starts, parsed by the command itself."""
    _, name, *arguments = shlex.split(line)
    with program.make_context("orchestrator", ["--bucket", "b-1", name, *arguments]) as context:
        subcommand = program.get_command(context, name)
        assert subcommand is not None
        return subcommand.make_context(name, arguments, parent=context).params


def test_the_unit_watches_by_default(scene: Scene) -> None:
    unit = read_unit(scene.cli("deploy", "systemd", "--bench", "b-7").ok().out)
    service = unit["Service"]
    options = check_command_line(service["ExecStart"])
    assert (options["bench"], options["watch"]) == ("b-7", True)
    assert str(options["root"]) == "/mnt/bench-logs"
    assert service["Environment"].startswith("PATH=/opt/orchestrator/bin:")
    assert unit["Unit"]["RequiresMountsFor"] == "/mnt/bench-logs"
    assert (service["Restart"], service["RestartPreventExitStatus"]) == ("always", "2")
    assert scene.cli("--bucket", "A b", *shlex.split(service["ExecStart"])[1:]).exit_code == 2
    assert unit["Unit"].keys() <= SECTIONS["Unit"]
    assert unit["Install"]["WantedBy"] == "multi-user.target"


def test_the_timer_starts_a_service_that_ends(scene: Scene) -> None:
    out = scene.cli("deploy", "systemd", "--timer", "5m").ok().out
    parts = out.split("# /etc/systemd/system/orchestrator-sync.timer\n")
    service, timer = map(read_unit, parts)
    assert timer["Timer"]["OnUnitInactiveSec"] == "5m"
    assert timer["Timer"].keys() <= SECTIONS["Timer"]
    assert timer["Install"]["WantedBy"] == "timers.target"
    assert service["Service"]["Type"] == "oneshot"
    assert check_command_line(service["Service"]["ExecStart"])["watch"] is False
    assert "Install" not in service


def test_systemd_accepts_the_units(scene: Scene) -> None:
    for number, options in enumerate(
        ((), ("--bench", "b-7", "--group", "bench-logs"), ("--timer", "5m"), ("--user", "root"))
    ):
        where = scene.directory / str(number)
        where.mkdir()
        for part in ("service", "timer")[: 1 + ("--timer" in options)]:
            text = scene.cli("deploy", "systemd", *options, "--part", part).ok().out
            head, _, _ = text.partition("\n")
            name = head.removeprefix("# /etc/systemd/system/")
            assert f"orchestrator-sync{'-b-7' if '--bench' in options else ''}.{part}" == name
            check_unit(where / name, text)


# --- what would break a file ------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ("systemd", "--root", "relative"),
        ("systemd", "--root", "/a b"),
        ("systemd", "--bench", "b\nExecStart=/bin/sh"),
        ("systemd", "--user", "root;"),
        ("systemd", "--timer", "often"),
        ("systemd", "--part", "timer"),
        ("systemd", "--group", "a b"),
        ("eks", "--image", "a b", "--test-image", "t", "--", "x"),
        ("eks", "--image", "a", "--test-image", "t", "--name", "Ü", "--", "x"),
        ("eks", "--image", "a", "--test-image", "t", "--role-arn", "me", "--", "x"),
        ("eks", "--image", "a", "--test-image", "t", "--cpu", "lots", "--", "x"),
        ("eks", "--image", "a", "--test-image", "t", "--memory", "4 GB", "--", "x"),
        ("eks", "--image", "a", "--test-image", "t"),
        ("ec2",),
        ("ec2", "--", "x"),
        ("ec2", "--package", "a\nb", "--", "x"),
        ("iam", "--role", "king"),
    ],
)
def test_values_that_would_break_a_file_are_refused(
    scene: Scene, arguments: tuple[str, ...]
) -> None:
    result = scene.cli("deploy", *arguments).expect(2)
    assert result.out == ""
    assert result.err


def test_the_files_contain_the_region(scene: Scene) -> None:
    named = scene.cli("--region", "eu-central-1", "deploy", "systemd").ok()
    assert "AWS_REGION=eu-central-1" in named.out
    none: dict[str, str | None] = {"AWS_REGION": None, "AWS_DEFAULT_REGION": None}
    told = scene.cli("deploy", "systemd", env=none | {"AWS_REGION": "eu-west-3"}).ok()
    assert "AWS_REGION=eu-west-3" in told.out
    assert "no region is configured" in scene.cli("deploy", "systemd", env=none).expect(2).err


def test_a_bucket_is_needed(cli: RunCommand) -> None:
    assert "no bucket is configured" in cli("deploy", "iam").expect(2).err
    assert "not a bucket name" in cli("--bucket", "A b", "deploy", "iam").expect(2).err


# --- IAM ---------------------------------------------------------------------------------


def read_policy(cli: RunCommand, role: str, *options: str) -> list[dict[str, Any]]:
    policy = cli(*options, "deploy", "iam", "--role", role).ok().json()
    assert policy["Version"] == "2012-10-17"
    assert all(statement["Effect"] == "Allow" for statement in policy["Statement"])
    return list(policy["Statement"])


def is_met(condition: dict[str, Any], context: dict[str, str]) -> bool:
    """Evaluate a condition as IAM does. `context` has only the keys of the request."""
    met = []
    for operator, keys in condition.items():
        for key, wanted in keys.items():
            given = context.get(key)
            if operator == "Null":
                met.append((given is None) == (wanted == "true"))
            elif operator == "BoolIfExists":
                met.append(given is None or given == wanted)
            else:
                assert operator == "StringLike"
                met.append(given is not None and any(fnmatchcase(given, one) for one in wanted))
    return all(met)


def is_allowed(
    policy: list[dict[str, Any]], action: str, resource: str, context: dict[str, str]
) -> bool:
    return any(
        action in statement["Action"]
        and any(
            fnmatchcase(resource, one.split(":::")[1])
            for one in (
                [statement["Resource"]]
                if isinstance(statement["Resource"], str)
                else statement["Resource"]
            )
        )
        and is_met(statement.get("Condition", {}), context)
        for statement in policy
    )


def context_of(request: Request) -> dict[str, str]:
    """Return the condition keys of a request."""
    context = {}
    if "prefix" in request.query:
        context["s3:prefix"] = request.query["prefix"]
    if "if-none-match" in request.headers:
        context["s3:if-none-match"] = request.headers["if-none-match"]
    if ACTIONS[request.operation] == "s3:PutObject":
        creates = request.operation in ("PutObject", "CompleteMultipartUpload")
        context["s3:ObjectCreationOperation"] = "true" if creates else "false"
    return context


def check_rights(scene: Scene, policy: list[dict[str, Any]]) -> set[str]:
    """Assert that every request was allowed, and return the actions that were used."""
    used = set()
    for exchange in scene.recorder.calls():
        action = ACTIONS[exchange.operation]
        used.add(action)
        place = f"{scene.bucket}/{exchange.key}" if exchange.key else scene.bucket
        assert is_allowed(policy, action, place, context_of(exchange.request)), (action, place)
    return used


def actions_of(policy: list[dict[str, Any]]) -> set[str]:
    return {action for statement in policy for action in statement["Action"]}


# Only resuming and cleaning up need these, which other tests cover.
UNUSED = {"s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"}


def test_a_runner_has_least_privilege(scene: Scene, cli_process: Processes) -> None:
    policy = read_policy(scene.cli, "runner")
    (scene.directory / "large.bin").write_bytes(content(PART + 9))
    (scene.directory / "small.txt").write_text("small")
    execution_id = scene.cli("new").ok().out.strip()
    scene.cli(
        "upload", execution_id, scene.directory / "large.bin", scene.directory / "small.txt"
    ).ok()
    scene.cli("upload", execution_id, scene.directory / "large.bin").ok()
    scene.cli("upload", execution_id, "-", "--name", "stdout.log", stdin=content(PART + 9, 2)).ok()
    scene.cli("finish", execution_id, "--result", "pass").ok()
    script = f"echo x; until [ -e {scene.directory}/go ]; do sleep 0.05; done"
    running = cli_process.start("run", "--live", "0.2s", "--", "sh", "-c", script)
    scene.recorder.wait_for(lambda made: any(one.key.startswith("live/") for one in made), 90)
    (scene.directory / "go").touch()
    assert running.wait(60) == 0
    used = check_rights(scene, policy)
    assert actions_of(policy) - used <= UNUSED


def test_a_bench_may_sync(scene: Scene) -> None:
    policy = read_policy(scene.cli, "bench")
    tree = BenchTree(scene.directory / "efs")
    tree.write("raw/large.bin", content(PART + 9))
    tree.write("raw/small.txt")
    scene.cli(*tree.arguments, "--retain", "0s").ok()
    used = check_rights(scene, policy)
    assert actions_of(policy) - used <= UNUSED


def test_a_reader_writes_nothing(scene: Scene) -> None:
    execution_id = scene.cli("new").ok().out.strip()
    scene.cli("upload", execution_id, "-", "--name", "stdout.log", stdin=b"text\n").ok()
    scene.cli("finish", execution_id, "--result", "pass").ok()
    policy = read_policy(scene.cli, "reader")
    scene.recorder.clear()
    for arguments in (
        ("ls",),
        ("ls", execution_id),
        ("show", execution_id),
        ("logs", execution_id, "stdout.log"),
        ("url", execution_id),
        ("verify", execution_id),
        ("download", execution_id, "-o", str(scene.directory / "out")),
    ):
        scene.cli(*arguments).ok()
    assert check_rights(scene, policy) == actions_of(policy)
    assert actions_of(policy) == {"s3:GetObject", "s3:ListBucket"}


@dataclass
class Enforces(quirks.Quirk):
    """A proxy before S3 that allows and denies requests by a policy, as IAM would."""

    policy: list[dict[str, Any]]
    bucket: str

    def request(self, request: Request, connection: Connection) -> None:
        action = ACTIONS.get(request.operation)
        place = f"{self.bucket}/{request.key}" if request.key else self.bucket
        if action is None or not is_allowed(self.policy, action, place, context_of(request)):
            raise Answered(403, b"<Error><Code>AccessDenied</Code></Error>", {})


@pytest.mark.parametrize("role", ["runner", "bench"])
def test_doctor_finds_nothing_missing_from_a_writers_policy(scene: Scene, role: str) -> None:
    policy = read_policy(scene.cli, role)
    quirks.pretend(scene.recorder, quirks.Server(Enforces(policy, scene.bucket)))
    assert scene.cli("doctor", "--json").ok().json()["missing_actions"] == []


def test_doctor_names_the_permissions_that_a_reader_lacks(scene: Scene) -> None:
    quirks.pretend(
        scene.recorder, quirks.Server(Enforces(read_policy(scene.cli, "reader"), scene.bucket))
    )
    assert scene.cli("doctor", "--json").expect(5).json()["missing_actions"] == [
        "s3:AbortMultipartUpload",
        "s3:ListBucketMultipartUploads",
        "s3:ListMultipartUploadParts",
        "s3:PutObject",
    ]


ID = make_id()
FILES = (
    f"executions/{ID}/logs/stdout.log",
    f"executions/{ID}/artifacts/custom/a",
    f"executions/{ID}/artifacts/custom/metadata.json",
    f"live/{ID}/logs/o/0",
    f"live/{ID}/artifacts/custom/state.json",
)
RECORDS = (
    f"executions/{ID}/metadata.json",
    f"history/date=2026-01-01/{ID}.json",
    f"live/{ID}/state.json",
)


@pytest.mark.parametrize("role", ["runner", "bench"])
def test_files_can_be_created_and_not_overwritten(scene: Scene, role: str) -> None:
    policy = read_policy(scene.cli, role)
    makes = {"s3:ObjectCreationOperation": "true"}
    for key in FILES:
        put = partial(is_allowed, policy, "s3:PutObject", f"{scene.bucket}/{key}")
        assert put(makes | {"s3:if-none-match": "*"}), key
        assert put({"s3:ObjectCreationOperation": "false"}), key
        assert not put(makes), key
    for key in (*RECORDS, f"derived/{ID}/tail/stdout.log"):
        assert is_allowed(policy, "s3:PutObject", f"{scene.bucket}/{key}", makes), key
    for key in (f"executions/{ID}/other", f"executions/{ID}/metadata.json.bak", "other", "tests/x"):
        assert not is_allowed(policy, "s3:PutObject", f"{scene.bucket}/{key}", makes), key


@pytest.mark.parametrize("role", ["runner", "bench", "reader"])
def test_only_our_own_prefixes_can_be_listed(scene: Scene, role: str) -> None:
    policy = read_policy(scene.cli, role)
    listed = partial(is_allowed, policy, "s3:ListBucket", scene.bucket)
    assert listed({"s3:prefix": "executions/"})
    assert listed({"s3:prefix": "live/E/logs/"})
    assert not listed({})
    assert not listed({"s3:prefix": ""})
    assert not listed({"s3:prefix": "secrets/"})


@pytest.mark.parametrize("role", ["runner", "bench", "reader"])
def test_the_history_is_written_in_one_request_and_read_by_writers_alone(
    scene: Scene, role: str
) -> None:
    policy = read_policy(scene.cli, role)
    history = f"{scene.bucket}/history/date=2026-01-01/E.json"
    allowed = {one for one in actions_of(policy) if is_allowed(policy, one, history, {})}
    assert allowed == (set() if role == "reader" else {"s3:GetObject", "s3:PutObject"})


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("eu-central-1", "aws"),
        ("cn-north-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
        ("eusc-de-east-1", "aws-eusc"),
    ],
)
def test_arns_have_the_partition_of_the_region(scene: Scene, region: str, partition: str) -> None:
    text = json.dumps(read_policy(scene.cli, "runner", "--region", region))
    assert set(re.findall(r"arn:([a-z-]+):s3", text)) == {partition}
    options = ("lifecycle", "render", "--format", "json", "--tls-only")
    rendered = scene.cli("--region", region, *options).ok().out
    assert set(re.findall(r"arn:([a-z-]+):s3", rendered)) == {partition}
