"""The bucket, its retention rules and its roles as a CloudFormation template."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orchestrator_cli.core.retention.lifecycle.policy import DEFAULT_MINIMUM
from orchestrator_cli.core.retention.lifecycle.rule import ApiRule
from orchestrator_cli.infrastructure.bucket_policy import (
    PUBLIC_ACCESS_BLOCK,
    BucketProtection,
    bucket_policy,
    efs_policies,
    encryption_rule,
    lock_configuration,
)
from orchestrator_cli.infrastructure.iam import Role, role_policy
from orchestrator_cli.infrastructure.roles import (
    BENCH_USER,
    MACHINE_ROLES,
    NAME_PREFIX,
    Access,
    MachineRole,
    trust_statements,
)
from orchestrator_cli.infrastructure.yaml import render_yaml

_HEAD = """\
# The bucket of `orchestrator` and its lifecycle rules. CloudFormation manages all lifecycle rules
# of the bucket: add rules of other programs here too. To use a bucket that exists already:
# aws cloudformation create-change-set --change-set-type IMPORT …
"""
_RETAIN = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}


def render_cloudformation(
    rules: Iterable[ApiRule],
    bucket: str | None,
    protection: BucketProtection,
    access: Access | None = None,
) -> str:
    """Return a template that creates the bucket and, with `access`, its roles."""
    name = {"Type": "String", **({"Default": bucket} if bucket else {})}
    resources: dict[str, Any] = {
        "Bucket": {
            "Type": "AWS::S3::Bucket",
            **_RETAIN,
            "Properties": {"BucketName": {"Ref": "BucketName"}, **_properties(rules, protection)},
        }
    }
    policy = bucket_policy(protection, _arn)
    if policy is not None:
        properties = {"Bucket": {"Ref": "Bucket"}, "PolicyDocument": policy}
        resources["BucketPolicy"] = {"Type": "AWS::S3::BucketPolicy", "Properties": properties}
    if protection.efs_days:
        resources["BenchLogs"] = {
            "Type": "AWS::EFS::FileSystem",
            **_RETAIN,
            "Properties": {
                "Encrypted": True,
                "LifecyclePolicies": efs_policies(protection.efs_days),
            },
        }
    template: dict[str, Any] = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Parameters": {"BucketName": name},
        "Resources": resources,
    }
    if access is not None:
        _add_roles(template, access)
    return _HEAD + render_yaml(template)


def _properties(rules: Iterable[ApiRule], protection: BucketProtection) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    if protection.versioned:
        properties["VersioningConfiguration"] = {"Status": "Enabled"}
    if protection.object_lock:
        properties["ObjectLockEnabled"] = True
        properties["ObjectLockConfiguration"] = lock_configuration(protection.object_lock)
    if protection.kms_key is not None:
        encryption = encryption_rule(protection.kms_key)
        encryption["ServerSideEncryptionByDefault"] = encryption.pop(
            "ApplyServerSideEncryptionByDefault"
        )
        properties["BucketEncryption"] = {"ServerSideEncryptionConfiguration": [encryption]}
    if protection.block_public_access:
        properties["PublicAccessBlockConfiguration"] = PUBLIC_ACCESS_BLOCK
    properties["LifecycleConfiguration"] = {
        "TransitionDefaultMinimumObjectSize": DEFAULT_MINIMUM,
        "Rules": [_rule(rule) for rule in rules],
    }
    return properties


def _rule(rule: ApiRule) -> dict[str, Any]:
    """Return a rule in CloudFormation's form: no filter, other names for days, sizes as text."""
    api = dict(rule)
    made: dict[str, Any] = {"Id": api.pop("ID"), "Status": api.pop("Status")}
    narrow = api.pop("Filter")
    made |= narrow.get("And", narrow)
    if "ObjectSizeGreaterThan" in made:
        made["ObjectSizeGreaterThan"] = str(made["ObjectSizeGreaterThan"])
    if transitions := api.pop("Transitions", None):
        made["Transitions"] = [
            {"StorageClass": one["StorageClass"], "TransitionInDays": one["Days"]}
            for one in transitions
        ]
    names = {"Days": "ExpirationInDays", "ExpiredObjectDeleteMarker": "ExpiredObjectDeleteMarker"}
    expiration = api.pop("Expiration", {})
    return made | {names[name]: value for name, value in expiration.items()} | api


# --- roles ---------------------------------------------------------------------------------


def _add_roles(template: dict[str, Any], access: Access) -> None:
    resources = template["Resources"]
    template["Parameters"]["RolePrefix"] = {"Type": "String", "Default": NAME_PREFIX}
    template["Outputs"] = {}
    for role in Role:
        document = role_policy(role, _arn, access.partition, access.demands)
        properties = {"ManagedPolicyName": _name(role), "PolicyDocument": document}
        resources[f"{role.title()}Policy"] = {
            "Type": "AWS::IAM::ManagedPolicy",
            "Properties": properties,
        }
    for machine in MACHINE_ROLES:
        _add_machine_role(template, machine, access)
    resources["BenchUser"] = {
        "Type": "AWS::IAM::User",
        "Properties": {"UserName": _name(BENCH_USER), **_attached(Role.BENCH)},
    }


def _add_machine_role(template: dict[str, Any], machine: MachineRole, access: Access) -> None:
    title, subjects = machine.name.title(), f"{machine.name.title()}Subjects"
    if access.oidc_provider is not None:
        parameter = {"Type": "CommaDelimitedList", "Default": machine.subject}
        template["Parameters"][subjects] = parameter
    trust = {"Version": "2012-10-17", "Statement": trust_statements(access, {"Ref": subjects})}
    role = {"RoleName": _name(machine.name), "AssumeRolePolicyDocument": trust}
    template["Resources"] |= {
        f"{title}Role": {
            "Type": "AWS::IAM::Role",
            "Properties": role | _attached(machine.policy),
        },
        f"{title}Profile": {
            "Type": "AWS::IAM::InstanceProfile",
            "Properties": {
                "InstanceProfileName": _name(machine.name),
                "Roles": [{"Ref": f"{title}Role"}],
            },
        },
    }
    template["Outputs"][f"{title}RoleArn"] = {"Value": {"Fn::GetAtt": [f"{title}Role", "Arn"]}}


def _attached(role: Role) -> dict[str, Any]:
    return {"ManagedPolicyArns": [{"Ref": f"{role.title()}Policy"}]}


def _name(name: str) -> dict[str, Any]:
    return {"Fn::Sub": f"${{RolePrefix}}-{name}"}


def _arn(key: str) -> dict[str, Any]:
    if not key:
        return {"Fn::GetAtt": ["Bucket", "Arn"]}
    return {"Fn::Sub": f"${{Bucket.Arn}}/{key}"}
