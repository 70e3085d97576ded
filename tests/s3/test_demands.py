"""What a bucket demands goes with every request: keys, owner, class, tags, payer."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.commands.running import Processes, RunCommand
from tests.support.commands.serving import Serve
from tests.support.commands.small_scale import PART_BYTES
from tests.support.commands.via import Tokens, make_via
from tests.support.proxy.connection import Exchange
from tests.support.scene import Scene
from tests.support.stored.engine import PART, content

KEY = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
OWNER = "123456789012"
ENVIRONMENT = {
    "ORCHESTRATOR_SSE_KMS_KEY_ID": KEY,
    "ORCHESTRATOR_EXPECTED_BUCKET_OWNER": OWNER,
    "ORCHESTRATOR_STORAGE_CLASS": "INTELLIGENT_TIERING",
    "ORCHESTRATOR_TAG": "cost-centre=qa\nteam=a b",
    "ORCHESTRATOR_REQUEST_PAYER": "requester",
}
OF_OBJECTS = {
    "x-amz-server-side-encryption": "aws:kms",
    "x-amz-server-side-encryption-aws-kms-key-id": KEY,
    "x-amz-server-side-encryption-bucket-key-enabled": "true",
    "x-amz-storage-class": "INTELLIGENT_TIERING",
    "x-amz-tagging": "cost-centre=qa&team=a%20b",
}
OF_ALL = {"x-amz-expected-bucket-owner": OWNER, "x-amz-request-payer": "requester"}
MAKES = {"PutObject", "CreateMultipartUpload"}


def demanded(exchange: Exchange) -> dict[str, str]:
    return {
        name: value
        for name, value in exchange.request.headers.items()
        if name in OF_ALL or name in OF_OBJECTS
    }


def check(exchange: Exchange) -> None:
    wanted = OF_ALL | (OF_OBJECTS if exchange.operation in MAKES else {})
    assert demanded(exchange) == wanted, exchange.operation
    signed = exchange.request.headers["authorization"]
    assert all(name in signed for name in wanted)


def test_every_request_carries_them(
    scene: Scene, small_parts: None, cli_process: Processes
) -> None:
    tree = scene.write_tree({"stdout.log": "x\n", "big.bin": content(2 * PART_BYTES + 1)})
    execution_id = scene.cli("new", env=ENVIRONMENT).ok().out.strip()
    for line in (
        ("upload", execution_id, tree),
        ("finish", execution_id, "--result", "pass"),
        ("verify", execution_id),
        ("logs", execution_id),
        ("download", execution_id, "-o", scene.directory / "copy"),
        ("ls", execution_id),
    ):
        scene.cli(*line, env=ENVIRONMENT).ok()
    cli_process.run("run", "--suite", "x", "--", "true", env=ENVIRONMENT).ok()
    made = {one.operation for one in scene.recorder.exchanges}
    assert {*MAKES, "UploadPart", "CompleteMultipartUpload", "GetObject", "HeadObject"} <= made
    assert {one.key.split("/")[0] for one in scene.recorder.calls("PutObject")} >= {
        "executions",
        "history",
    }
    for exchange in scene.recorder.exchanges:
        check(exchange)
    head = scene.s3.head_object(
        Bucket=scene.bucket, Key=f"executions/{execution_id}/artifacts/custom/big.bin"
    )
    assert head["StorageClass"] == "INTELLIGENT_TIERING"


def test_an_upload_through_a_server_carries_the_demands_of_that_server(
    scene: Scene, serve: Serve, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution_id = scene.cli("new").ok().out.strip()
    for name, text in ENVIRONMENT.items():
        monkeypatch.setenv(name, text)
    via = make_via(serve, tokens)
    for name in ENVIRONMENT:
        monkeypatch.delenv(name)
    scene.recorder.clear()
    tree = scene.write_tree({"stdout.log": "x\n", "big.bin": content(PART + 1)})
    scene.cli("upload", execution_id, tree, *via.options, env=via.env).ok()
    stored = [one for one in scene.recorder.exchanges if one.operation in MAKES]
    assert {one.operation for one in stored} == MAKES
    for exchange in stored:
        assert demanded(exchange) == OF_ALL | OF_OBJECTS
    for exchange in scene.recorder.calls("UploadPart"):
        assert demanded(exchange) == OF_ALL


def test_a_link_says_who_pays(scene: Scene) -> None:
    execution_id = scene.cli("new").ok().out.strip()
    scene.cli("upload", execution_id, scene.write_tree({"stdout.log": "x\n"})).ok()
    for options, payer in ((("--request-payer", "requester"), ["requester"]), ((), None)):
        (link,) = scene.cli("url", execution_id, "stdout", *options).ok().lines
        assert parse_qs(urlsplit(link).query).get("x-amz-request-payer") == payer


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--expected-bucket-owner", "me"), "'me' is not an account of 12 digits"),
        (("--storage-class", "GLACIER"), "'GLACIER' is not one of"),
        (("--tag", "a=1", "--tag", "a=2"), "tags at most, each with one value"),
        (("--tag", "a=\x1b"), "is not the value of a tag"),
        (("--sse-kms-key-id", "a b"), "'a b' is not a KMS key"),
    ],
)
def test_what_s3_would_refuse_of_every_object_is_a_usage_error(
    scene: Scene, options: tuple[str, ...], said: str
) -> None:
    assert said in scene.cli("new", *options).expect(2).err
    assert scene.recorder.count() == 0


def deny(**condition: Any) -> dict[str, Any]:
    return {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "*",
            "Condition": condition}  # fmt: skip


@pytest.mark.slow
def test_doctor_says_what_the_policy_asks_for(scene: Scene) -> None:
    statements = [
        deny(StringNotEquals={"s3:x-amz-server-side-encryption": "aws:kms"}),
        deny(StringNotEquals={"s3:x-amz-storage-class": "INTELLIGENT_TIERING"}),
        deny(Null={"s3:RequestObjectTag/cost-centre": "true"}),
        {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "*"},
    ]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    scene.s3.put_bucket_policy(Bucket=scene.bucket, Policy=policy)
    asked = "--sse-kms-key-id, --storage-class INTELLIGENT_TIERING, --tag cost-centre=VALUE"
    found = scene.cli("doctor", "--json").json()
    (policy_check,) = [one for one in found["checks"] if one["name"] == "policy"]
    assert policy_check["verdict"] == "info"
    assert policy_check["detail"] == f"asks for {asked}; not set: {asked}"
    found = scene.cli("doctor", "--json", env=ENVIRONMENT).json()
    (policy_check,) = [one for one in found["checks"] if one["name"] == "policy"]
    assert policy_check["detail"] == f"asks for {asked}, which is set"


@pytest.mark.parametrize(
    ("key", "resource"),
    [
        (KEY, {"Resource": KEY}),
        ("1234abcd", {"Resource": "arn:aws:kms:*:*:key/1234abcd"}),
        (
            "alias/results",
            {
                "Resource": "arn:aws:kms:*:*:key/*",
                "Condition": {"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/results"}},
            },
        ),
    ],
)
def test_the_policy_of_a_role_allows_the_key_and_the_tags(
    cli: RunCommand, key: str, resource: dict[str, Any]
) -> None:
    given = ("--bucket", "b-1", "--sse-kms-key-id", key, "--tag", "a=b")
    for role, actions in (
        ("runner", ["kms:GenerateDataKey", "kms:Decrypt"]),
        ("reader", ["kms:Decrypt"]),
    ):
        policy = cli("deploy", "iam", "--role", role, *given).ok().json()
        statements = {one["Sid"]: one for one in policy["Statement"]}
        use = statements["UseTheKey"]
        assert use == {"Sid": "UseTheKey", "Effect": "Allow", "Action": actions, **resource}
        assert ("TagWhatIsStored" in statements) is (role == "runner")
    plain = cli("deploy", "iam", "--bucket", "b-1").ok().out
    assert "kms:" not in plain
    assert "Tagging" not in plain
