"""IAM policies that allow what a role does and no more."""

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
)
from orchestrator_cli.core.s3.demands import NO_DEMANDS, BucketDemands
from orchestrator_cli.infrastructure.target import bucket_arn, partition_of, validate

# Each is created once and never changed.
_FILES = (f"{EXECUTIONS_PREFIX}*/logs/*", f"{EXECUTIONS_PREFIX}*/artifacts/*")
_SEGMENTS = (f"{LIVE_PREFIX}*/logs/*", f"{LIVE_PREFIX}*/artifacts/*")
# As long as an id: `*` would be a file below artifacts/ that has a record's name, too.
_ID = "?" * 26
# Each is replaced, by compare-and-swap or because it can be computed again.
_RECORDS = (
    f"{EXECUTIONS_PREFIX}{_ID}/{METADATA_NAME}",
    f"{HISTORY_PREFIX}*",
    f"{LIVE_PREFIX}{_ID}/state.json",
    f"{DERIVED_PREFIX}*",
)
_READ = (f"{EXECUTIONS_PREFIX}*", f"{LIVE_PREFIX}*", f"{DERIVED_PREFIX}*")
_HISTORY = (f"{HISTORY_PREFIX}*",)
# Makes the ARN of a key, of the bucket for "".
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
    """Return the least that a role needs, as an IAM policy in JSON."""
    arn = bucket_arn(validate("bucket", bucket), region)
    document = role_policy(
        role, lambda key: f"{arn}/{key}" if key else arn, partition_of(region), demands
    )
    return json.dumps(document, indent=2) + "\n"


def role_policy(
    role: Role, arn: ArnOf, partition: str, demands: BucketDemands = NO_DEMANDS
) -> dict[str, Any]:
    """Return the least-privilege policy of a role; `arn` makes the ARN of a key."""
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
        _objects("CreateFilesOnce", arn, put, (*_FILES, *_SEGMENTS)) | _CREATE_ONLY,
        _objects("SendParts", arn, put, (*_FILES, *_SEGMENTS)) | _NO_CREATION,
        _objects("ResumeUploads", arn, parts, _FILES),
        _objects("UpdateRecords", arn, put, _RECORDS),
    ]


def _demanded(
    arn: ArnOf, partition: str, role: Role, demands: BucketDemands
) -> list[dict[str, Any]]:
    """Allow the use of the bucket's KMS key, and tags on stored objects."""
    statements = []
    if demands.tags and role is not Role.READER:
        keys = (*_FILES, *_SEGMENTS, *_RECORDS)
        statements.append(_objects("TagWhatIsStored", arn, ("s3:PutObjectTagging",), keys))
    if demands.kms_key:
        # Parts of one object are encrypted with one data key, so who sends them decrypts it.
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
        # An alias is no resource of a policy about keys.
        condition = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": f"alias/{alias}"}}
        return {"Resource": f"arn:{partition}:kms:*:*:key/*", "Condition": condition}
    return {"Resource": f"arn:{partition}:kms:*:*:key/{key}"}


# https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html
_CREATE_ONLY = {"Condition": {"Null": {"s3:if-none-match": "false"}}}
# To begin an upload and to send its parts makes no object, and carries no condition.
_NO_CREATION = {"Condition": {"BoolIfExists": {"s3:ObjectCreationOperation": "false"}}}


def _list_objects(arn: ArnOf, prefixes: tuple[str, ...]) -> dict[str, Any]:
    """Allow to list below these prefixes only.

    S3 answers a look-up of a missing key with 404 only to those who may list, and takes the key
    for the prefix that the condition asks for. So each prefix that is read has to be here.
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
