"""Retention and guarantees for other tools: Terraform, CloudFormation, requests of the AWS CLI."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.retention.lifecycle.policy import DEFAULT_MINIMUM, Rule, api_rule
from orchestrator_cli.infrastructure.bucket_policy import (
    PUBLIC_ACCESS_BLOCK,
    BucketProtection,
    deny_statements,
    efs_policies,
    encryption_rule,
    policy_document,
)
from orchestrator_cli.infrastructure.cloudformation import render_cloudformation
from orchestrator_cli.infrastructure.roles import Access
from orchestrator_cli.infrastructure.target import bucket_arn
from orchestrator_cli.infrastructure.terraform import render_terraform

NO_BUCKET = "BUCKET"


def render_policy(
    style: str,
    rules: Iterable[Rule],
    bucket: str | None,
    guarantees: BucketProtection,
    region: str | None = None,
    access: Access | None = None,
) -> str:
    """Return the text for terraform or cloudformation, or the requests of json.

    Without a bucket's name it is left to be filled in. With `access`, there are roles as well;
    raises UsageError for those as json.
    """
    chosen = tuple(rules)
    if style == "terraform":
        return render_terraform(chosen, bucket, guarantees, access)
    if style == "cloudformation":
        return render_cloudformation(chosen, bucket, guarantees, access)
    if access is not None:
        raise UsageError(
            "--roles goes with terraform and cloudformation",
            hint="`orchestrator deploy iam` prints the policy of a role",
        )
    requests = list_requests(chosen, bucket or NO_BUCKET, guarantees, region)
    return json.dumps(requests, indent=2) + "\n"


def list_requests(
    rules: Iterable[Rule], bucket: str, guarantees: BucketProtection, region: str | None = None
) -> dict[str, dict[str, Any]]:
    """Return the input of each request by its command of the AWS CLI, in the order to send."""
    requests: dict[str, dict[str, Any]] = {}
    if guarantees.versioned:
        requests["s3api put-bucket-versioning"] = {"VersioningConfiguration": {"Status": "Enabled"}}
    if guarantees.object_lock:
        requests["s3api put-object-lock-configuration"] = {
            "ObjectLockConfiguration": lock_configuration(guarantees.object_lock)
        }
    requests["s3api put-bucket-lifecycle-configuration"] = {
        "TransitionDefaultMinimumObjectSize": DEFAULT_MINIMUM,
        "LifecycleConfiguration": {"Rules": [api_rule(rule) for rule in rules]},
    }
    requests |= _access_requests(bucket_arn(bucket, region), guarantees)
    requests = {name: {"Bucket": bucket, **given} for name, given in requests.items()}
    if guarantees.efs_days:
        requests["efs put-lifecycle-configuration"] = {
            "FileSystemId": "FILE_SYSTEM_ID",
            "LifecyclePolicies": efs_policies(guarantees.efs_days),
        }
    return requests


def _access_requests(arn: str, guarantees: BucketProtection) -> dict[str, dict[str, Any]]:
    requests: dict[str, dict[str, Any]] = {}
    if guarantees.kms_key is not None:
        rule = encryption_rule(guarantees.kms_key)
        requests["s3api put-bucket-encryption"] = {
            "ServerSideEncryptionConfiguration": {"Rules": [rule]}
        }
    if guarantees.block_public_access:
        requests["s3api put-public-access-block"] = {
            "PublicAccessBlockConfiguration": PUBLIC_ACCESS_BLOCK
        }
    denials = deny_statements(guarantees)
    if denials:
        document = policy_document(denials, lambda key: f"{arn}/{key}" if key else arn)
        # The request takes the policy as text.
        requests["s3api put-bucket-policy"] = {"Policy": json.dumps(document)}
    return requests


def lock_configuration(object_lock: tuple[str, int]) -> dict[str, Any]:
    """Return Object Lock's default retention in the form of S3's API."""
    mode, days = object_lock
    return {
        "ObjectLockEnabled": "Enabled",
        "Rule": {"DefaultRetention": {"Mode": mode.upper(), "Days": days}},
    }
