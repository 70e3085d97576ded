"""Least-privilege IAM policies: what each role may do with the bucket."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from orchestrator_cli.core.executions.keys import (
    DERIVED_PREFIX,
    EXECUTIONS_PREFIX,
    HISTORY_PREFIX,
    LIVE_PREFIX,
    METADATA_NAME,
    live_state_key,
)
from orchestrator_cli.core.s3.demands import NO_DEMANDS, BucketDemands
from orchestrator_cli.core.s3.regions import partition_of
from orchestrator_cli.infrastructure.target import bucket_arn, validate

_FILES = (f"{EXECUTIONS_PREFIX}*/logs/*", f"{EXECUTIONS_PREFIX}*/artifacts/*")
_SEGMENTS = (f"{LIVE_PREFIX}*/logs/*", f"{LIVE_PREFIX}*/artifacts/*")
# Objects that are created once and never change.
WRITE_ONCE_KEYS = (*_FILES, *_SEGMENTS)
# One ? for each character of an id. With * instead, a file below artifacts/ that is named
# metadata.json would match too, and could be overwritten.
_ID = "?" * 26
# Objects that are replaced, by compare-and-swap or because they can be computed again.
_RECORDS = (
    f"{EXECUTIONS_PREFIX}{_ID}/{METADATA_NAME}",
    f"{HISTORY_PREFIX}*",
    live_state_key(_ID),
    f"{DERIVED_PREFIX}*",
)
_READ = (f"{EXECUTIONS_PREFIX}*", f"{LIVE_PREFIX}*", f"{DERIVED_PREFIX}*")
_HISTORY = (f"{HISTORY_PREFIX}*",)
# Returns the ARN of a key, or of the bucket for the key "".
ArnOf = Callable[[str], Any]


class Role(StrEnum):
    """Who needs access to the bucket."""

    RUNNER = "runner"
    BENCH = "bench"
    READER = "reader"


def render_iam(
    bucket: str,
    role: Role,
    region: str | None = None,
    demands: BucketDemands = NO_DEMANDS,
) -> str:
    """Return the least-privilege policy of a role as JSON."""
    arn = key_arns(bucket_arn(validate("bucket name", bucket), region))
    document = role_policy(role, arn, partition_of(region).name, demands)
    return json.dumps(document, indent=2) + "\n"


def key_arns(bucket: str) -> ArnOf:
    """Return a function that makes ARNs from keys, given the ARN of their bucket."""
    return lambda key: f"{bucket}/{key}" if key else bucket


def role_policy(
    role: Role, arn: ArnOf, partition: str, demands: BucketDemands = NO_DEMANDS
) -> dict[str, Any]:
    """Return the least-privilege policy of a role as data."""
    statements = _reading(arn) if role is Role.READER else _writing(arn)
    statements += _demanded(arn, partition, role, demands)
    return {"Version": "2012-10-17", "Statement": statements}


def _reading(arn: ArnOf) -> list[dict[str, Any]]:
    return [_list_objects(arn, _READ), _objects("ReadFiles", arn, ("s3:GetObject",), _READ)]


def _writing(arn: ArnOf) -> list[dict[str, Any]]:
    put = ("s3:PutObject",)
    parts = ("s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
    return [
        _list_objects(arn, (*_READ, *_HISTORY)),
        {
            "Sid": "FindUnfinishedUploads",
            "Effect": "Allow",
            "Action": ["s3:ListBucketMultipartUploads"],
            "Resource": arn(""),
        },
        _objects("ReadFiles", arn, ("s3:GetObject",), (*_READ, *_HISTORY)),
        _objects("CreateFilesOnce", arn, put, WRITE_ONCE_KEYS) | _CREATE_ONLY,
        _objects("SendParts", arn, put, WRITE_ONCE_KEYS) | _NO_CREATION,
        _objects("ResumeUploads", arn, parts, _FILES),
        _objects("UpdateRecords", arn, put, _RECORDS),
    ]


def _demanded(
    arn: ArnOf, partition: str, role: Role, demands: BucketDemands
) -> list[dict[str, Any]]:
    """Return the statements that allow the bucket's KMS key and tags on objects, if demanded."""
    statements = []
    if demands.tags and role is not Role.READER:
        keys = (*WRITE_ONCE_KEYS, *_RECORDS)
        statements.append(_objects("TagWhatIsStored", arn, ("s3:PutObjectTagging",), keys))
    if demands.kms_key:
        # Writers decrypt too: all parts of an object share one data key, which UploadPart decrypts.
        write = ["kms:GenerateDataKey"] if role is not Role.READER else []
        statements.append(
            {
                "Sid": "UseTheKey",
                "Effect": "Allow",
                "Action": [*write, "kms:Decrypt"],
                **_kms_resource(demands.kms_key, partition),
            }
        )
    return statements


def _kms_resource(key: str, partition: str) -> dict[str, Any]:
    if key.startswith("arn:") and ":key/" in key:
        return {"Resource": key}
    alias = key.partition(":alias/")[2] if key.startswith("arn:") else key.removeprefix("alias/")
    if key.startswith(("alias/", "arn:")):
        # A policy cannot name an alias as a resource, only as a condition.
        condition = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": f"alias/{alias}"}}
        return {"Resource": f"arn:{partition}:kms:*:*:key/*", "Condition": condition}
    return {"Resource": f"arn:{partition}:kms:*:*:key/{key}"}


# https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html
_CREATE_ONLY = {"Condition": {"Null": {"s3:if-none-match": "false"}}}
# CreateMultipartUpload and UploadPart create no object, and take no If-None-Match.
_NO_CREATION = {"Condition": {"BoolIfExists": {"s3:ObjectCreationOperation": "false"}}}


def _list_objects(arn: ArnOf, prefixes: tuple[str, ...]) -> dict[str, Any]:
    """Return the statement that allows listing below these prefixes only.

    It has to name every prefix that is read: S3 answers a HEAD or GET of a missing key with 404
    only if a listing of that key would be allowed, and with 403 otherwise.
    """
    return {
        "Sid": "ListObjects",
        "Effect": "Allow",
        "Action": ["s3:ListBucket"],
        "Resource": arn(""),
        "Condition": {"StringLike": {"s3:prefix": list(prefixes)}},
    }


def _objects(
    sid: str, arn: ArnOf, actions: tuple[str, ...], keys: tuple[str, ...]
) -> dict[str, Any]:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Action": list(actions),
        "Resource": [arn(key) for key in keys],
    }
