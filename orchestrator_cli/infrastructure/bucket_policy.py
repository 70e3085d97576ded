"""What a bucket can enforce besides retention, as data: versions, encryption, denied requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchestrator_cli.core.executions.keys import (
    EXECUTIONS_PREFIX,
    HISTORY_PREFIX,
    LIVE_PREFIX,
    METADATA_NAME,
)

_WRITE_ONCE_KEYS = (
    f"{EXECUTIONS_PREFIX}*/logs/*",
    f"{EXECUTIONS_PREFIX}*/artifacts/*",
    f"{LIVE_PREFIX}*/logs/*",
    f"{LIVE_PREFIX}*/artifacts/*",
)
_SWAPPED_KEYS = (
    f"{EXECUTIONS_PREFIX}*/{METADATA_NAME}",
    f"{HISTORY_PREFIX}*",
    f"{LIVE_PREFIX}*/state.json",
)
# Parts of an upload carry no condition; what they are put together by does.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html
_CREATES = ("Bool", "s3:ObjectCreationOperation", "true")
_NOT_CREATE_ONLY = ("Null", "s3:if-none-match", "true")
_NOT_SWAPPED = ("Null", "s3:if-match", "true")


@dataclass(frozen=True, slots=True)
class BucketProtection:
    """The options of `render`. `object_lock` is a mode and a number of days.

    `kms_key` is a key's ARN or id; empty means SSE-S3, None leaves encryption alone.
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
        """Whether versioning is on; Object Lock needs it."""
        return self.versioning or self.object_lock is not None


@dataclass(frozen=True, slots=True)
class DenyStatement:
    """A statement of a bucket policy that denies everybody. `""` in `keys` is the bucket itself.

    A condition is an operator, a key and a value; all of them must hold.
    """

    sid: str
    action: str
    keys: tuple[str, ...]
    conditions: tuple[tuple[str, str, str], ...]


def deny_statements(guarantees: BucketProtection) -> tuple[DenyStatement, ...]:
    """Return the statements of the bucket policy; none where nothing asks for one."""
    denials: list[DenyStatement] = []
    if guarantees.tls_only:
        insecure = (("Bool", "aws:SecureTransport", "false"),)
        denials.append(DenyStatement("TlsOnly", "s3:*", ("", "*"), insecure))
    if guarantees.write_once:
        denials.append(
            DenyStatement(
                "FilesAreWrittenOnce",
                "s3:PutObject",
                _WRITE_ONCE_KEYS,
                (_NOT_CREATE_ONLY, _CREATES),
            )
        )
        denials.append(
            DenyStatement(
                "RecordsAreComparedAndSwapped",
                "s3:PutObject",
                _SWAPPED_KEYS,
                (_NOT_CREATE_ONLY, _NOT_SWAPPED, _CREATES),
            )
        )
    return tuple(denials)


def policy_document(
    denials: tuple[DenyStatement, ...], arn: Callable[[str], Any]
) -> dict[str, Any]:
    """Return the bucket policy; `arn` makes the ARN of a key, of the bucket for `""`."""
    return {"Version": "2012-10-17", "Statement": [_statement(one, arn) for one in denials]}


def _statement(denial: DenyStatement, arn: Callable[[str], Any]) -> dict[str, Any]:
    conditions: dict[str, dict[str, str]] = {}
    for operator, key, value in denial.conditions:
        conditions.setdefault(operator, {})[key] = value
    return {
        "Sid": denial.sid,
        "Effect": "Deny",
        "Principal": "*",
        "Action": denial.action,
        "Resource": [arn(key) for key in denial.keys],
        "Condition": conditions,
    }


def efs_policies(days: int) -> list[dict[str, str]]:
    """Return the EFS lifecycle policies: files nobody reads move to Infrequent Access and back."""
    return [
        {"TransitionToIA": f"AFTER_{days}_DAY{'' if days == 1 else 'S'}"},
        {"TransitionToPrimaryStorageClass": "AFTER_1_ACCESS"},
    ]


def encryption_rule(kms_key: str) -> dict[str, Any]:
    """Return the default encryption in the form of S3's API."""
    by_default = {"SSEAlgorithm": "aws:kms" if kms_key else "AES256"}
    if kms_key:
        by_default["KMSMasterKeyID"] = kms_key
    # One data key for many objects: KMS requests would cost more than S3's.
    return {"ApplyServerSideEncryptionByDefault": by_default, "BucketKeyEnabled": bool(kms_key)}


PUBLIC_ACCESS_BLOCK = {
    "BlockPublicAcls": True,
    "BlockPublicPolicy": True,
    "IgnorePublicAcls": True,
    "RestrictPublicBuckets": True,
}
