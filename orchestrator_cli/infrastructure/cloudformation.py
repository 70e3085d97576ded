"""Retention and guarantees as a CloudFormation template in YAML."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orchestrator_cli.core.retention.lifecycle.policy import ARCHIVE_CLASS, DEFAULT_MINIMUM, Rule
from orchestrator_cli.infrastructure.bucket_policy import (
    PUBLIC_ACCESS_BLOCK,
    BucketProtection,
    deny_statements,
    efs_policies,
    encryption_rule,
    policy_document,
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
# The bucket of `orchestrator`, with its lifecycle rules. CloudFormation then owns all rules of
# the bucket: keep those of others here too. A bucket that exists already can be imported:
# aws cloudformation create-change-set --change-set-type IMPORT …
"""
_KEPT = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}


def render_cloudformation(
    rules: Iterable[Rule],
    bucket: str | None,
    guarantees: BucketProtection,
    access: Access | None = None,
) -> str:
    """Return the template; deploying it makes the bucket, and with `access` its roles."""
    name = {"Type": "String", **({"Default": bucket} if bucket else {})}
    resources: dict[str, Any] = {
        "Bucket": {
            "Type": "AWS::S3::Bucket",
            **_KEPT,
            "Properties": {"BucketName": {"Ref": "BucketName"}, **_properties(rules, guarantees)},
        }
    }
    denials = deny_statements(guarantees)
    if denials:
        properties = {"Bucket": {"Ref": "Bucket"}, "PolicyDocument": policy_document(denials, _arn)}
        resources["BucketPolicy"] = {"Type": "AWS::S3::BucketPolicy", "Properties": properties}
    if guarantees.efs_days:
        resources["BenchLogs"] = {
            "Type": "AWS::EFS::FileSystem",
            **_KEPT,
            "Properties": {
                "Encrypted": True,
                "LifecyclePolicies": efs_policies(guarantees.efs_days),
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


def _properties(rules: Iterable[Rule], guarantees: BucketProtection) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    if guarantees.versioned:
        properties["VersioningConfiguration"] = {"Status": "Enabled"}
    if guarantees.object_lock:
        mode, days = guarantees.object_lock
        retention = {"DefaultRetention": {"Mode": mode.upper(), "Days": days}}
        properties["ObjectLockEnabled"] = True
        properties["ObjectLockConfiguration"] = {"ObjectLockEnabled": "Enabled", "Rule": retention}
    if guarantees.kms_key is not None:
        encryption = encryption_rule(guarantees.kms_key)
        encryption["ServerSideEncryptionByDefault"] = encryption.pop(
            "ApplyServerSideEncryptionByDefault"
        )
        properties["BucketEncryption"] = {"ServerSideEncryptionConfiguration": [encryption]}
    if guarantees.block_public_access:
        properties["PublicAccessBlockConfiguration"] = PUBLIC_ACCESS_BLOCK
    properties["LifecycleConfiguration"] = {
        "TransitionDefaultMinimumObjectSize": DEFAULT_MINIMUM,
        "Rules": [_rule(rule) for rule in rules],
    }
    return properties


def _rule(rule: Rule) -> dict[str, Any]:
    """Return a rule with CloudFormation's own names; a size is text there."""
    made: dict[str, Any] = {"Id": rule.rule_id, "Status": "Enabled", "Prefix": rule.prefix}
    if rule.over_bytes is not None:
        made["ObjectSizeGreaterThan"] = str(rule.over_bytes)
    if rule.archive_days is not None:
        made["Transitions"] = [
            {"StorageClass": ARCHIVE_CLASS, "TransitionInDays": rule.archive_days}
        ]
    if rule.expire_days is not None:
        made["ExpirationInDays"] = rule.expire_days
    if rule.expire_markers:
        made["ExpiredObjectDeleteMarker"] = True
    if rule.noncurrent_days is not None:
        made["NoncurrentVersionExpiration"] = {"NoncurrentDays": rule.noncurrent_days}
    if rule.abort_uploads_days is not None:
        days = {"DaysAfterInitiation": rule.abort_uploads_days}
        made["AbortIncompleteMultipartUpload"] = days
    return made


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
        of_tokens = {"Type": "CommaDelimitedList", "Default": machine.subject}
        template["Parameters"][subjects] = of_tokens
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
