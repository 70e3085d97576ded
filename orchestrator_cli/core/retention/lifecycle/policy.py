"""The retention policy, and the lifecycle rules that follow from it."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.executions.keys import (
    DERIVED_PREFIX,
    EXECUTIONS_PREFIX,
    HISTORY_PREFIX,
    LIVE_PREFIX,
)
from orchestrator_cli.core.executions.record.status_probe import MAX_METADATA_BYTES
from orchestrator_cli.core.retention.lifecycle.rule import ApiRule
from orchestrator_cli.core.s3.storage_classes import DEEP_ARCHIVE, storage_class_named

# A Deep Archive object carries 32 KiB of index and 8 KiB of name besides its own bytes, and
# metadata.json must stay readable.
ARCHIVE_OVER_BYTES = MAX_METADATA_BYTES
ARCHIVE_CLASS = DEEP_ARCHIVE
SHORTEST_ARCHIVE_DAYS, LONGEST_ARCHIVE_DAYS = 30, 90
ARCHIVE_MINIMUM_DAYS = storage_class_named(ARCHIVE_CLASS).minimum_days
# S3's own default. Our archive rule names its size itself, which takes precedence over this; this
# only decides about rules of others that name no size.
DEFAULT_MINIMUM = "all_storage_classes_128K"

ARCHIVE_ID = "orchestrator-archive"
EXECUTIONS_ID = "orchestrator-executions"
HISTORY_ID = "orchestrator-history"
LIVE_ID = "orchestrator-live"
DERIVED_ID = "orchestrator-derived"
OWNED_IDS = (ARCHIVE_ID, DERIVED_ID, EXECUTIONS_ID, HISTORY_ID, LIVE_ID)


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How long what is kept; in days. 0 means never for `archive`, `history` and `expire`."""

    archive_after_days: int = 90
    history_days: int = 180
    expire_after_days: int = 0
    noncurrent_days: int = 30
    abort_uploads_days: int = 7
    live_days: int = 7


def check_policy(policy: RetentionPolicy, any_age: bool = False) -> None:
    """Raise UsageError for a policy that is not allowed or contradicts itself."""
    archive, expire = policy.archive_after_days, policy.expire_after_days
    if not any_age and not SHORTEST_ARCHIVE_DAYS <= archive <= LONGEST_ARCHIVE_DAYS:
        raise UsageError(
            f"--archive-after {archive}: the policy is {SHORTEST_ARCHIVE_DAYS} to "
            f"{LONGEST_ARCHIVE_DAYS} days",
            hint="--override-policy allows other values; 0 never archives",
        )
    if archive and expire and expire <= archive:
        raise UsageError(
            f"--expire-after {expire} would delete before --archive-after {archive} archives",
            hint="to delete without archiving: --archive-after 0 --override-policy",
        )


def policy_warnings(policy: RetentionPolicy) -> list[str]:
    """Return a warning for each cost of a policy that may come as a surprise."""
    archive, expire = policy.archive_after_days, policy.expire_after_days
    if archive and expire and expire < archive + ARCHIVE_MINIMUM_DAYS:
        paid = archive + ARCHIVE_MINIMUM_DAYS
        days = f"deleting after {expire} days costs as much as after {paid}"
        return [f"Deep Archive is paid for {ARCHIVE_MINIMUM_DAYS} days at least: {days}"]
    return []


def plan_rules(policy: RetentionPolicy) -> tuple[ApiRule, ...]:
    """Return the rules of a policy: one for each purpose, each limited to one of our prefixes."""
    large = {"Prefix": EXECUTIONS_PREFIX, "ObjectSizeGreaterThan": ARCHIVE_OVER_BYTES}
    archive: ApiRule = {
        "ID": ARCHIVE_ID,
        "Status": "Enabled",
        "Filter": {"And": large},
        "Transitions": [{"Days": policy.archive_after_days, "StorageClass": ARCHIVE_CLASS}],
    }
    # What is derived from an execution is never archived, and goes when the execution goes.
    derived = _cleaning(DERIVED_ID, DERIVED_PREFIX, policy.expire_after_days, policy)
    executions = _cleaning(EXECUTIONS_ID, EXECUTIONS_PREFIX, policy.expire_after_days, policy)
    history = _cleaning(HISTORY_ID, HISTORY_PREFIX, policy.history_days, policy)
    live = _cleaning(LIVE_ID, LIVE_PREFIX, policy.live_days, policy)
    return (*((archive,) if policy.archive_after_days else ()), derived, executions, history, live)


def _cleaning(rule_id: str, prefix: str, expire_days: int, policy: RetentionPolicy) -> ApiRule:
    return {
        "ID": rule_id,
        "Status": "Enabled",
        "Filter": {"Prefix": prefix},
        # S3 takes one or the other; with an age it removes such markers too.
        "Expiration": {"Days": expire_days} if expire_days else {"ExpiredObjectDeleteMarker": True},
        "NoncurrentVersionExpiration": {"NoncurrentDays": policy.noncurrent_days},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": policy.abort_uploads_days},
    }
