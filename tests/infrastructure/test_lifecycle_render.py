"""`lifecycle render`: the output is valid, complete, and sets the same rules as `apply`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from orchestrator_cli.core.retention.lifecycle.policy import RetentionPolicy, plan_rules
from tests.support.commands.running import RunCommand
from tests.support.scene import Scene
from tests.support.servers.terraform import read_terraform
from tests.support.stored.lifecycles import read_rules
from tests.support.stored.objects import remove_bucket

KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
EVERYTHING = (
    "--versioning",
    "--block-public-access",
    "--tls-only",
    "--write-once",
    "--encrypt",
    *("--efs-after", "30"),
    *("--object-lock", "governance", "30"),
)
OPTIONS = [
    (),
    ("--expire-after", "400", "--archive-after", "30"),
    ("--archive-after", "0", "--override-policy", "--metadata-days", "0"),
    EVERYTHING,
    (*EVERYTHING, "--kms-key", KEY),
]
PROVIDER = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.us-east-1.amazonaws.com/id/AB1"
ROLES = [("--roles",), (*OPTIONS[-1], "--roles", "--oidc-provider", PROVIDER)]
DEFAULT_RULES = list(plan_rules(RetentionPolicy()))


def render(cli: RunCommand, style: str, *options: str, bucket: str | None = "results") -> str:
    named = ("--bucket", bucket) if bucket else ()
    return cli(*named, "lifecycle", "render", "--format", style, *options).ok().out


# --- Terraform -------------------------------------------------------------------------------


def read_hcl(text: str) -> dict[str, Any]:
    """Return each resource's body by its type."""
    read = read_terraform(text)
    blocks = [*read["resource"], *read.get("data", [])]
    return {kind: next(iter(named.values())) for block in blocks for kind, named in block.items()}


def rules_of_hcl(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return Terraform's rules in the form of S3's API."""
    return [_rule_of_hcl(rule) for rule in body["rule"]]


def _rule_of_hcl(rule: dict[str, Any]) -> dict[str, Any]:
    [narrow] = rule["filter"]
    made: dict[str, Any] = {"ID": rule["id"], "Status": rule["status"]}
    if "and" in narrow:
        [both] = narrow["and"]
        size = both["object_size_greater_than"]
        made["Filter"] = {"And": {"Prefix": both["prefix"], "ObjectSizeGreaterThan": size}}
    else:
        made["Filter"] = {"Prefix": narrow["prefix"]}
    for move in rule.get("transition", []):
        moved = {"Days": move["days"], "StorageClass": move["storage_class"]}
        made.setdefault("Transitions", []).append(moved)
    for expiration in rule.get("expiration", []):
        names = {"days": "Days", "expired_object_delete_marker": "ExpiredObjectDeleteMarker"}
        made["Expiration"] = {names[name]: value for name, value in expiration.items()}
    for noncurrent in rule.get("noncurrent_version_expiration", []):
        days = noncurrent["noncurrent_days"]
        made["NoncurrentVersionExpiration"] = {"NoncurrentDays": days}
    for abort in rule.get("abort_incomplete_multipart_upload", []):
        days = abort["days_after_initiation"]
        made["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": days}
    return made


@pytest.mark.parametrize("options", OPTIONS, ids=range(len(OPTIONS)))
def test_terraform_has_the_same_rules_as_json(cli: RunCommand, options: tuple[str, ...]) -> None:
    body = read_hcl(render(cli, "terraform", *options))["aws_s3_bucket_lifecycle_configuration"]
    requests = json.loads(render(cli, "json", *options))
    wanted = requests["s3api put-bucket-lifecycle-configuration"]
    assert rules_of_hcl(body) == wanted["LifecycleConfiguration"]["Rules"]
    sizes = wanted["TransitionDefaultMinimumObjectSize"]
    assert body["transition_default_minimum_object_size"] == sizes == "all_storage_classes_128K"
    assert body["bucket"] == "${aws_s3_bucket.orchestrator.id}"


def test_terraform_has_only_the_protection_that_was_asked_for(cli: RunCommand) -> None:
    assert sorted(read_hcl(render(cli, "terraform"))) == [
        "aws_s3_bucket",
        "aws_s3_bucket_lifecycle_configuration",
    ]
    everything = read_hcl(render(cli, "terraform", *EVERYTHING, "--kms-key", KEY))
    assert everything["aws_s3_bucket"]["object_lock_enabled"] is True
    [versioning] = everything["aws_s3_bucket_versioning"]["versioning_configuration"]
    assert versioning == {"status": "Enabled"}
    [lock] = everything["aws_s3_bucket_object_lock_configuration"]["rule"]
    assert lock["default_retention"] == [{"mode": "GOVERNANCE", "days": 30}]
    [encryption] = everything["aws_s3_bucket_server_side_encryption_configuration"]["rule"]
    assert encryption["apply_server_side_encryption_by_default"] == [
        {"sse_algorithm": "aws:kms", "kms_master_key_id": KEY}
    ]
    blocked = everything["aws_s3_bucket_public_access_block"]
    assert [value for name, value in blocked.items() if name != "bucket"] == [True] * 4
    [idle, used] = everything["aws_efs_file_system"]["lifecycle_policy"]
    assert idle == {"transition_to_ia": "AFTER_30_DAYS"}
    assert used == {"transition_to_primary_storage_class": "AFTER_1_ACCESS"}
    statements = everything["aws_iam_policy_document"]["statement"]
    assert [one["sid"] for one in statements] == [
        "TlsOnly",
        "FilesAreWrittenOnce",
        "RecordsAreComparedAndSwapped",
    ]
    assert {one["effect"] for one in statements} == {"Deny"}
    assert statements[1]["condition"] == [
        {"test": "Null", "variable": "s3:if-none-match", "values": ["true"]},
        {"test": "Bool", "variable": "s3:ObjectCreationOperation", "values": ["true"]},
    ]


@pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is not installed")
def test_terraform_is_formatted_as_by_terraform_fmt(cli: RunCommand, tmp_path: Path) -> None:
    for number, options in enumerate((*OPTIONS, *ROLES)):
        (tmp_path / f"{number}.tf").write_text(render(cli, "terraform", *options))
    command = ["terraform", "fmt", "-check", "-diff", str(tmp_path)]
    formatted = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (formatted.returncode, formatted.stdout) == (0, "")


def test_terraform_has_a_variable_for_the_bucket(cli: RunCommand) -> None:
    named = read_terraform(render(cli, "terraform"))
    assert named["variable"] == [{"bucket": {"type": "string", "default": "results"}}]
    open_ = read_terraform(render(cli, "terraform", bucket=None))
    assert open_["variable"] == [{"bucket": {"type": "string"}}]


def test_terraform_does_not_interpolate_names(cli: RunCommand) -> None:
    text = render(cli, "terraform", "--kms-key", '${file("/etc/passwd")}%{if true}"')
    assert '"$${file(\\"/etc/passwd\\")}%%{if true}\\""' in text


# --- CloudFormation --------------------------------------------------------------------------


def test_cloudformation_passes_cfn_lint(cli: RunCommand, tmp_path: Path) -> None:
    for number, options in enumerate((*OPTIONS, *ROLES)):
        for bucket in ("results", None):
            text = render(cli, "cloudformation", *options, bucket=bucket)
            (tmp_path / f"{number}-{bucket}.yaml").write_text(text, encoding="utf-8")
    templates = sorted(tmp_path.glob("*.yaml"))
    run = "import sys; from cfnlint.runner import main; sys.exit(main())"
    command: list[str | Path] = [
        sys.executable,
        "-c",
        run,
        "--include-checks",
        "I",
        "--",
        *templates,
    ]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_cloudformation_names_the_conditions_of_the_policy(cli: RunCommand) -> None:
    template = yaml.safe_load(render(cli, "cloudformation", "--tls-only", "--write-once"))
    document = template["Resources"]["BucketPolicy"]["Properties"]["PolicyDocument"]
    tls, files, records = document["Statement"]
    assert tls["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    creating = {"s3:ObjectCreationOperation": "true"}
    assert files["Condition"] == {"Null": {"s3:if-none-match": "true"}, "Bool": creating}
    assert records["Condition"] == {
        "Null": {"s3:if-none-match": "true", "s3:if-match": "true"},
        "Bool": creating,
    }
    assert records["Resource"] == [
        {"Fn::Sub": "${Bucket.Arn}/executions/*/metadata.json"},
        {"Fn::Sub": "${Bucket.Arn}/history/*"},
        {"Fn::Sub": "${Bucket.Arn}/live/*/state.json"},
    ]


@pytest.mark.parametrize("options", [OPTIONS[1], EVERYTHING], ids=["rules", "everything"])
def test_a_deployed_template_sets_the_same_rules_as_apply(
    scene: Scene, s3env: dict[str, str], options: tuple[str, ...]
) -> None:
    deployed = f"{scene.bucket}-stack"
    policy = options if options is not EVERYTHING else ()
    scene.cli("lifecycle", "apply", "--yes", *policy).ok()
    template = render(scene.cli, "cloudformation", *options, bucket=deployed)
    stacks = boto3.client("cloudformation", endpoint_url=s3env["AWS_ENDPOINT_URL"])
    stacks.create_stack(StackName=deployed, TemplateBody=template)
    [stack] = stacks.describe_stacks(StackName=deployed)["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    try:
        assert read_rules(scene.s3, deployed) == read_rules(scene.s3, scene.bucket)
        check = scene.cli("--bucket", deployed, "lifecycle", "apply", "--check", *policy).ok()
        assert "differ" not in check.err
        if options is EVERYTHING:
            assert scene.s3.get_bucket_versioning(Bucket=deployed)["Status"] == "Enabled"
            blocked = scene.s3.get_public_access_block(Bucket=deployed)
            assert set(blocked["PublicAccessBlockConfiguration"].values()) == {True}
    finally:
        remove_bucket(scene.s3, deployed)


# --- requests --------------------------------------------------------------------------------


def test_each_aws_cli_request_is_accepted(scene: Scene) -> None:
    requests = json.loads(render(scene.cli, "json", *EVERYTHING[:5], bucket=scene.bucket))
    assert list(requests) == [
        "s3api put-bucket-versioning",
        "s3api put-bucket-lifecycle-configuration",
        "s3api put-bucket-encryption",
        "s3api put-public-access-block",
        "s3api put-bucket-policy",
    ]
    for command, given in requests.items():
        getattr(scene.s3, command.removeprefix("s3api ").replace("-", "_"))(**given)
    scene.s3.delete_bucket_policy(Bucket=scene.bucket)
    assert "differ" not in scene.cli("lifecycle", "apply", "--check").ok().err


def test_the_json_has_placeholders_for_unknown_names(cli: RunCommand) -> None:
    requests = json.loads(render(cli, "json", *EVERYTHING, bucket=None))
    buckets = {given.get("Bucket") for given in requests.values()}
    assert buckets == {"BUCKET", None}
    assert requests["efs put-lifecycle-configuration"]["FileSystemId"] == "FILE_SYSTEM_ID"
    lock = requests["s3api put-object-lock-configuration"]["ObjectLockConfiguration"]
    assert lock["Rule"]["DefaultRetention"] == {"Mode": "GOVERNANCE", "Days": 30}


def test_rendering_sends_no_request_and_checks_the_policy(cli: RunCommand) -> None:
    nowhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    result = cli("lifecycle", "render", "--archive-after", "1", env=nowhere).expect(2)
    assert "30 to 90 days" in result.err
    assert cli("lifecycle", "render", env=nowhere).ok().err == ""


def test_the_default_rules_are_those_of_the_policy() -> None:
    archive, derived, executions, history, live = DEFAULT_RULES
    assert archive["Filter"] == {"And": {"Prefix": "executions/", "ObjectSizeGreaterThan": 131072}}
    assert archive["Transitions"] == [{"Days": 90, "StorageClass": "DEEP_ARCHIVE"}]
    assert executions["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert executions["Expiration"] == {"ExpiredObjectDeleteMarker": True}
    assert derived["Expiration"] == {"ExpiredObjectDeleteMarker": True}
    assert history["Expiration"] == {"Days": 180}
    assert live["Expiration"] == {"Days": 7}
