"""The bucket's retention rules and protection as input for commands of the AWS CLI."""

from __future__ import annotations

import json
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
from orchestrator_cli.infrastructure.iam import key_arns
from orchestrator_cli.infrastructure.target import bucket_arn

_BUCKET_PLACEHOLDER = "BUCKET"


def render_aws_cli(
    rules: Iterable[ApiRule],
    bucket: str | None,
    protection: BucketProtection,
    region: str | None = None,
) -> str:
    """Return JSON: the `--cli-input-json` of each command by its name, in the order to run them."""
    name = bucket or _BUCKET_PLACEHOLDER
    requests = _bucket_requests(rules, bucket_arn(name, region), protection)
    inputs = {command: {"Bucket": name, **request} for command, request in requests.items()}
    if protection.efs_days:
        inputs["efs put-lifecycle-configuration"] = {
            "FileSystemId": "FILE_SYSTEM_ID",
            "LifecyclePolicies": efs_policies(protection.efs_days),
        }
    return json.dumps(inputs, indent=2) + "\n"


def _bucket_requests(
    rules: Iterable[ApiRule], arn: str, protection: BucketProtection
) -> dict[str, dict[str, Any]]:
    requests: dict[str, dict[str, Any]] = {}
    if protection.versioned:
        requests["s3api put-bucket-versioning"] = {"VersioningConfiguration": {"Status": "Enabled"}}
    if protection.object_lock:
        requests["s3api put-object-lock-configuration"] = {
            "ObjectLockConfiguration": lock_configuration(protection.object_lock)
        }
    requests["s3api put-bucket-lifecycle-configuration"] = {
        "TransitionDefaultMinimumObjectSize": DEFAULT_MINIMUM,
        "LifecycleConfiguration": {"Rules": list(rules)},
    }
    if protection.kms_key is not None:
        rule = encryption_rule(protection.kms_key)
        requests["s3api put-bucket-encryption"] = {
            "ServerSideEncryptionConfiguration": {"Rules": [rule]}
        }
    if protection.block_public_access:
        requests["s3api put-public-access-block"] = {
            "PublicAccessBlockConfiguration": PUBLIC_ACCESS_BLOCK
        }
    policy = bucket_policy(protection, key_arns(arn))
    if policy is not None:
        # PutBucketPolicy takes the policy as a string.
        requests["s3api put-bucket-policy"] = {"Policy": json.dumps(policy)}
    return requests
