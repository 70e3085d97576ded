"""What a bucket can enforce besides retention, as data: versioning, encryption, denied requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orchestrator_cli.core.executions.keys import (
    HISTORY_PREFIX,
    METADATA_NAME,
    execution_prefix,
    live_state_key,
)
from orchestrator_cli.infrastructure.iam import WRITE_ONCE_KEYS, ArnOf

_SWAPPED_KEYS = (execution_prefix("*") + METADATA_NAME, f"{HISTORY_PREFIX}*", live_state_key("*"))
# UploadPart takes no condition, but CompleteMultipartUpload does; only that creates the object.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html
_CREATES = ("Bool", "s3:ObjectCreationOperation", "true")
_NOT_CREATE_ONLY = ("Null", "s3:if-none-match", "true")
_NOT_SWAPPED = ("Null", "s3:if-match", "true")


@dataclass(frozen=True, slots=True)
class BucketProtection:
    """What the bucket is asked to enforce: the options of `orchestrator lifecycle render`.

    `kms_key` is the ARN or id of a key, "" for SSE-S3, or None to leave encryption alone.
    `object_lock` is a mode and a number of days. `efs_days` is after how many days an EFS moves
    unread files to Infrequent Access; None for no EFS.
    """

    versioning: bool = False
    block_public_access: bool = False
    kms_key: str | None = None
    tls_only: bool = False
    write_once: bool = False
    object_lock: tuple[str, int] | None = None
    efs_days: int | None = None

    @property
    def versioned(self) -> bool:
        """True if versioning is on. Object Lock needs it."""
        return self.versioning or self.object_lock is not None


@dataclass(frozen=True, slots=True)
class DenyStatement:
    """A statement of a bucket policy that denies a request, whoever sends it.

    The key "" is the bucket itself. A condition is (operator, condition key, value); the request
    is denied if all of them hold.
    """

    sid: str
    action: str
    keys: tuple[str, ...]
    conditions: tuple[tuple[str, str, str], ...]


_TLS_ONLY = DenyStatement("TlsOnly", "s3:*", ("", "*"), (("Bool", "aws:SecureTransport", "false"),))
_WRITE_ONCE = (
    DenyStatement(
        "FilesAreWrittenOnce", "s3:PutObject", WRITE_ONCE_KEYS, (_NOT_CREATE_ONLY, _CREATES)
    ),
    DenyStatement(
        "RecordsAreComparedAndSwapped",
        "s3:PutObject",
        _SWAPPED_KEYS,
        (_NOT_CREATE_ONLY, _NOT_SWAPPED, _CREATES),
    ),
)


def bucket_policy(protection: BucketProtection, arn: ArnOf) -> dict[str, Any] | None:
    """Return the bucket policy, or None if there is nothing to deny."""
    statements = (
        *((_TLS_ONLY,) if protection.tls_only else ()),
        *(_WRITE_ONCE if protection.write_once else ()),
    )
    if not statements:
        return None
    return {"Version": "2012-10-17", "Statement": [_render(one, arn) for one in statements]}


def _render(statement: DenyStatement, arn: ArnOf) -> dict[str, Any]:
    conditions: dict[str, dict[str, str]] = {}
    for operator, key, value in statement.conditions:
        conditions.setdefault(operator, {})[key] = value
    return {
        "Sid": statement.sid,
        "Effect": "Deny",
        "Principal": "*",
        "Action": statement.action,
        "Resource": [arn(key) for key in statement.keys],
        "Condition": conditions,
    }


def lock_configuration(object_lock: tuple[str, int]) -> dict[str, Any]:
    """Return the Object Lock configuration in the form of S3's API."""
    mode, days = object_lock
    return {
        "ObjectLockEnabled": "Enabled",
        "Rule": {"DefaultRetention": {"Mode": mode.upper(), "Days": days}},
    }


def efs_policies(days: int) -> list[dict[str, str]]:
    """Return EFS lifecycle policies: to Infrequent Access after `days` unread, back when read."""
    return [
        {"TransitionToIA": f"AFTER_{days}_DAY{'' if days == 1 else 'S'}"},
        {"TransitionToPrimaryStorageClass": "AFTER_1_ACCESS"},
    ]


def encryption_rule(kms_key: str) -> dict[str, Any]:
    """Return the default encryption in the form of S3's API."""
    by_default = {"SSEAlgorithm": "aws:kms" if kms_key else "AES256"}
    if kms_key:
        by_default["KMSMasterKeyID"] = kms_key
    # A bucket key serves many objects: without it, KMS requests cost more than S3's.
    return {"ApplyServerSideEncryptionByDefault": by_default, "BucketKeyEnabled": bool(kms_key)}


PUBLIC_ACCESS_BLOCK = {
    "BlockPublicAcls": True,
    "BlockPublicPolicy": True,
    "IgnorePublicAcls": True,
    "RestrictPublicBuckets": True,
}
