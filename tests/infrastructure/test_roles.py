"""`lifecycle render --roles`: roles with the policies of `deploy iam`, and who may assume them."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws

from tests.support.commands.running import RunCommand
from tests.support.servers.terraform import read_terraform

KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
PROVIDER = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.us-east-1.amazonaws.com/id/AB1"
ROLES = ("--roles", "--kms-key", KEY, "--oidc-provider", PROVIDER)


def render(cli: RunCommand, style: str, *options: str) -> str:
    words = ("--bucket", "results", "lifecycle", "render", "--format", style)
    return cli(*words, *options).ok().out


def policies(cli: RunCommand, bucket: str) -> dict[str, Any]:
    """Return the policy of each role, as `deploy iam` prints it."""
    options = ("--bucket", bucket, "--sse-kms-key-id", KEY, "deploy", "iam", "--role")
    return {role: cli(*options, role).ok().json() for role in ("runner", "bench", "reader")}


def trusted(document: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Return which principals may assume a role, and by which actions."""
    return [(one["Principal"], one["Action"]) for one in document["Statement"]]


TRUSTED = [
    ({"Service": "ec2.amazonaws.com"}, ["sts:AssumeRole"]),
    ({"Service": "pods.eks.amazonaws.com"}, ["sts:AssumeRole", "sts:TagSession"]),
    ({"Federated": PROVIDER}, ["sts:AssumeRoleWithWebIdentity"]),
]
TOKENS = {
    "oidc.eks.us-east-1.amazonaws.com/id/AB1:aud": "sts.amazonaws.com",
    "oidc.eks.us-east-1.amazonaws.com/id/AB1:sub": "system:serviceaccount:default:tests",
}


def test_a_deployed_template_makes_the_roles(
    cli: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = render(cli, "cloudformation", *ROLES)
    wanted = policies(cli, "results")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        boto3.client("cloudformation").create_stack(
            StackName="s",
            TemplateBody=template,
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[{"ParameterKey": "RolePrefix", "ParameterValue": "p"}],
        )
        iam = boto3.client("iam")
        for policy in iam.list_policies(Scope="Local")["Policies"]:
            version = iam.get_policy_version(PolicyArn=policy["Arn"], VersionId="v1")
            made = version["PolicyVersion"]["Document"]
            assert made == wanted.pop(policy["PolicyName"].removeprefix("p-"))
        assert wanted == {}
        for name in ("p-runner", "p-serve"):
            profile = iam.get_instance_profile(InstanceProfileName=name)
            (role,) = profile["InstanceProfile"]["Roles"]
            assert role["RoleName"] == name
            assert trusted(role["AssumeRolePolicyDocument"]) == TRUSTED
        trust: Any = iam.get_role(RoleName="p-runner")["Role"]["AssumeRolePolicyDocument"]
        assert trust["Statement"][2]["Condition"] == {"StringEquals": TOKENS}
        assert [one["UserName"] for one in iam.list_users()["Users"]] == ["p-bench"]
    # moto does not attach these.
    resources = yaml.safe_load(template)["Resources"]
    attached = {
        name: one["Properties"]["ManagedPolicyArns"]
        for name, one in resources.items()
        if one["Type"] in ("AWS::IAM::Role", "AWS::IAM::User")
    }
    assert attached == {
        "RunnerRole": [{"Ref": "RunnerPolicy"}],
        "ServeRole": [{"Ref": "ReaderPolicy"}],
        "BenchUser": [{"Ref": "BenchPolicy"}],
    }


def document_of_hcl(body: dict[str, Any]) -> dict[str, Any]:
    """Return a policy of Terraform as IAM's JSON, with all values as lists."""
    statements = []
    for one in body["statement"]:
        made = {"Sid": one["sid"], "Effect": one["effect"], "Action": one["actions"]}
        if "resources" in one:
            arn = "${aws_s3_bucket.orchestrator.arn}"
            made["Resource"] = [
                name.replace(arn, "arn:aws:s3:::results") for name in one["resources"]
            ]
        for principal in one.get("principals", []):
            made["Principal"] = {principal["type"]: principal["identifiers"][0]}
        for condition in one.get("condition", []):
            keys = made.setdefault("Condition", {}).setdefault(condition["test"], {})
            keys[condition["variable"]] = condition["values"]
        statements.append(made)
    return {"Statement": statements}


def in_lists(policy: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the statements of a policy with all values as lists, as Terraform has them."""

    def listed(value: Any) -> list[Any]:
        return value if isinstance(value, list) else [value]

    return [
        one
        | {"Resource": listed(one["Resource"])}
        | (
            {
                "Condition": {
                    test: {key: listed(value) for key, value in keys.items()}
                    for test, keys in one["Condition"].items()
                }
            }
            if "Condition" in one
            else {}
        )
        for one in policy["Statement"]
    ]


def test_terraform_makes_the_same_roles(cli: RunCommand) -> None:
    read = read_terraform(render(cli, "terraform", *ROLES))
    documents = {
        name: document_of_hcl(body)
        for block in read["data"]
        for name, body in block["aws_iam_policy_document"].items()
    }
    for name, wanted in policies(cli, "results").items():
        assert documents[name]["Statement"] == in_lists(wanted)
    for name in ("runner", "serve"):
        assert trusted(documents[f"{name}_trust"]) == TRUSTED
    tokens = documents["runner_trust"]["Statement"][2]["Condition"]["StringEquals"]
    aud, sub = TOKENS
    assert tokens == {aud: [TOKENS[aud]], sub: "${var.runner_subjects}"}
    made = {
        (kind, name): body
        for block in read["resource"]
        for kind, named in block.items()
        for name, body in named.items()
    }
    assert made["aws_iam_role_policy_attachment", "serve"] == {
        "role": "${aws_iam_role.serve.name}",
        "policy_arn": "${aws_iam_policy.reader.arn}",
    }
    assert made["aws_iam_instance_profile", "runner"]["name"] == "${var.role_prefix}-runner"
    assert ("aws_iam_user_policy_attachment", "bench") in made
    subjects = {"type": "${list(string)}", "default": ["system:serviceaccount:default:tests"]}
    assert {"runner_subjects": subjects} in read["variable"]


@pytest.mark.parametrize(
    "options",
    [
        ("--roles", "--format", "json"),
        ("--oidc-provider", PROVIDER),
        ("--roles", "--oidc-provider", 'arn:aws:iam::1:"'),
    ],
)
def test_roles_that_cannot_be_made_are_refused(cli: RunCommand, options: tuple[str, ...]) -> None:
    assert cli("lifecycle", "render", *options).expect(2).out == ""
