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
from orchestrator_cli.infrastructure.yaml import render_yaml

_HEAD = """\
# The bucket of `orchestrator`, with its lifecycle rules. CloudFormation then owns all rules of
# the bucket: keep those of others here too. A bucket that exists already can be imported:
# aws cloudformation create-change-set --change-set-type IMPORT …
"""
_KEPT = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}


def render_cloudformation(
    rules: Iterable[Rule], bucket: str | None, guarantees: BucketProtection
) -> str:
    """Return the template; deploying it makes the bucket."""
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
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Parameters": {"BucketName": name},
        "Resources": resources,
    }
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


def _arn(key: str) -> dict[str, Any]:
    if not key:
        return {"Fn::GetAtt": ["Bucket", "Arn"]}
    return {"Fn::Sub": f"${{Bucket.Arn}}/{key}"}
