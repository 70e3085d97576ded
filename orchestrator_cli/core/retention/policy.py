"""Lifecycle rules as data: the policy, the rules it makes, and how a bucket's rules differ.

Everything here is pure. A rule is kept in the form of S3's API, so that rules of others pass
through untouched.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.keys import (
    DERIVED_PREFIX,
    EXECUTIONS_PREFIX,
    HISTORY_PREFIX,
    LIVE_PREFIX,
)
from orchestrator_cli.core.retention.rule import (
    ARCHIVE_CLASSES,
    ApiRule,
    applies_to,
    conditions,
    describe_rule,
    is_effective,
    normalize,
    without_size_filter,
)

# A Deep Archive object carries 32 KiB of index and 8 KiB of name besides its own bytes, and
# metadata.json, which must stay readable, never grows over 128 KiB.
ARCHIVE_OVER_BYTES = 128 * 1024
ARCHIVE_CLASS = "DEEP_ARCHIVE"
SHORTEST_ARCHIVE_DAYS, LONGEST_ARCHIVE_DAYS = 30, 90
ARCHIVE_MINIMUM_DAYS = 180
MAX_RULES = 1000
# S3's own default. Our archive rule names its size itself, which takes precedence over this; this
# only decides about rules of others that name no size.
DEFAULT_MINIMUM = "all_storage_classes_128K"

ARCHIVE_ID = "orchestrator-archive"
EXECUTIONS_ID = "orchestrator-executions"
HISTORY_ID = "orchestrator-history"
LIVE_ID = "orchestrator-live"
DERIVED_ID = "orchestrator-derived"
OWNED_IDS = (ARCHIVE_ID, DERIVED_ID, EXECUTIONS_ID, HISTORY_ID, LIVE_ID)
_PREFIXES = (DERIVED_PREFIX, EXECUTIONS_PREFIX, HISTORY_PREFIX, LIVE_PREFIX)


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How long what is kept; in days. 0 means never for `archive`, `history` and `expire`."""

    archive_after_days: int = 90
    history_days: int = 180
    expire_after_days: int = 0
    noncurrent_days: int = 30
    abort_uploads_days: int = 7
    live_days: int = 7


@dataclass(frozen=True, slots=True)
class Rule:
    """One lifecycle rule of ours. None and False mean that the rule does no such thing."""

    rule_id: str
    prefix: str
    over_bytes: int | None = None
    archive_days: int | None = None
    expire_days: int | None = None
    expire_markers: bool = False
    noncurrent_days: int | None = None
    abort_uploads_days: int | None = None


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


def plan_rules(policy: RetentionPolicy) -> tuple[Rule, ...]:
    """Return the rules of a policy: one for each purpose, each limited to one of our prefixes."""
    archive = Rule(
        ARCHIVE_ID,
        EXECUTIONS_PREFIX,
        over_bytes=ARCHIVE_OVER_BYTES,
        archive_days=policy.archive_after_days,
    )
    # What is derived from an execution is never archived, and goes when the execution goes.
    derived = _cleaning(DERIVED_ID, DERIVED_PREFIX, policy.expire_after_days, policy)
    executions = _cleaning(EXECUTIONS_ID, EXECUTIONS_PREFIX, policy.expire_after_days, policy)
    history = _cleaning(HISTORY_ID, HISTORY_PREFIX, policy.history_days, policy)
    live = _cleaning(LIVE_ID, LIVE_PREFIX, policy.live_days, policy)
    return (*((archive,) if policy.archive_after_days else ()), derived, executions, history, live)


def _cleaning(rule_id: str, prefix: str, expire_days: int, policy: RetentionPolicy) -> Rule:
    return Rule(
        rule_id,
        prefix,
        expire_days=expire_days or None,
        # S3 takes one or the other; with an age it removes such markers too.
        expire_markers=not expire_days,
        noncurrent_days=policy.noncurrent_days,
        abort_uploads_days=policy.abort_uploads_days,
    )


def api_rule(rule: Rule) -> ApiRule:
    """Return a rule in the form of S3's API."""
    narrow: ApiRule = {"Prefix": rule.prefix}
    if rule.over_bytes is not None:
        narrow = {"And": {"Prefix": rule.prefix, "ObjectSizeGreaterThan": rule.over_bytes}}
    made: ApiRule = {"ID": rule.rule_id, "Status": "Enabled", "Filter": narrow}
    if rule.archive_days is not None:
        made["Transitions"] = [{"Days": rule.archive_days, "StorageClass": ARCHIVE_CLASS}]
    if rule.expire_days is not None:
        made["Expiration"] = {"Days": rule.expire_days}
    if rule.expire_markers:
        made["Expiration"] = {"ExpiredObjectDeleteMarker": True}
    if rule.noncurrent_days is not None:
        made["NoncurrentVersionExpiration"] = {"NoncurrentDays": rule.noncurrent_days}
    if rule.abort_uploads_days is not None:
        days = {"DaysAfterInitiation": rule.abort_uploads_days}
        made["AbortIncompleteMultipartUpload"] = days
    return made


# --- a bucket's rules ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Configuration:
    """A bucket's whole lifecycle configuration.

    `default_minimum` is the bucket's TransitionDefaultMinimumObjectSize, None where the server does
    not say it.
    """

    rules: tuple[ApiRule, ...] = ()
    default_minimum: str | None = None

    def by_id(self) -> dict[str, ApiRule]:
        """Return the rules by their IDs."""
        return {rule.get("ID") or normalize(rule): rule for rule in self.rules}


class Action(StrEnum):
    """What a plan does with a rule.

    `foreign` rules are kept whatever they say. `no-size-filter`: the server has our rule, but has
    dropped its size filter, as it would again.
    """

    ADD = "add"
    CHANGE = "change"
    REMOVE = "remove"
    KEEP = "keep"
    SIZE_FILTER_DROPPED = "no-size-filter"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class Change:
    """One rule before and after."""

    rule_id: str
    action: Action
    before: ApiRule | None
    after: ApiRule | None


@dataclass(frozen=True, slots=True)
class LifecyclePlan:
    """What a bucket has, what it shall have, and the difference rule by rule."""

    present: Configuration
    wanted: Configuration
    changes: tuple[Change, ...]

    @property
    def changed(self) -> tuple[Change, ...]:
        """The rules that have to be written."""
        return tuple(
            change
            for change in self.changes
            if change.action in (Action.ADD, Action.CHANGE, Action.REMOVE)
        )

    @property
    def size_filter_dropped(self) -> tuple[str, ...]:
        """The IDs of rules that the server has without their size filter."""
        return tuple(c.rule_id for c in self.changes if c.action is Action.SIZE_FILTER_DROPPED)


def plan_changes(
    present: Configuration, rules: Iterable[Rule], size_filter_may_miss: bool = False
) -> LifecyclePlan:
    """Return the plan that gives a bucket these rules and leaves those of others alone.

    `size_filter_may_miss`: for servers that may drop it; such a rule is no change then.
    Raises UsageError where S3's limit of rules would be exceeded.
    """
    ours = {rule.rule_id: api_rule(rule) for rule in rules}
    had = present.by_id()
    foreign = [rule for rule in present.rules if rule.get("ID") not in OWNED_IDS]
    changes = [
        _change(rule_id, had.get(rule_id), ours.get(rule_id), size_filter_may_miss)
        for rule_id in OWNED_IDS
        if rule_id in had or rule_id in ours
    ]
    changes += [Change(str(rule.get("ID", "")), Action.FOREIGN, rule, rule) for rule in foreign]
    if len(foreign) + len(ours) > MAX_RULES:
        raise UsageError(
            f"the bucket has {len(foreign):,} rules of others; with {len(ours)} of ours it would "
            f"have more than S3's {MAX_RULES:,}",
            hint="remove or merge some of them first; nothing was changed",
        )
    minimum = present.default_minimum or DEFAULT_MINIMUM
    return LifecyclePlan(
        present, Configuration((*foreign, *ours.values()), minimum), tuple(changes)
    )


def _change(rule_id: str, before: ApiRule | None, after: ApiRule | None, may_miss: bool) -> Change:
    if before is None or after is None:
        return Change(rule_id, Action.ADD if after else Action.REMOVE, before, after)
    if normalize(before) == normalize(after):
        return Change(rule_id, Action.KEEP, before, after)
    dropped = may_miss and normalize(before) == normalize(without_size_filter(after))
    return Change(rule_id, Action.SIZE_FILTER_DROPPED if dropped else Action.CHANGE, before, after)


@dataclass(frozen=True, slots=True)
class ReadbackDiff:
    """How what a server keeps differs from what it was sent."""

    size_filter_dropped: tuple[str, ...]
    other: tuple[str, ...]


def diff_readback(sent: Configuration, kept: Configuration) -> ReadbackDiff:
    """Compare what was sent with what was read back; the order of rules means nothing."""
    dropped, other = [], []
    before, after = sent.by_id(), kept.by_id()
    for rule_id in dict.fromkeys([*before, *after]):
        one, two = before.get(rule_id), after.get(rule_id)
        if one is None or two is None:
            other.append(f"{rule_id}: {'was not sent' if one is None else 'is missing'}")
        elif normalize(one) != normalize(two):
            if rule_id in OWNED_IDS and normalize(without_size_filter(one)) == normalize(two):
                dropped.append(rule_id)
            else:
                other.append(f"{rule_id}: kept as “{describe_rule(two)}”")
    if kept.default_minimum not in (None, sent.default_minimum) and sent.default_minimum:
        other.append(f"the default minimum size: kept as {kept.default_minimum}")
    return ReadbackDiff(tuple(dropped), tuple(other))


def same_configuration(one: Configuration, two: Configuration) -> bool:
    """Return True if two configurations mean the same."""
    return diff_readback(one, two) == ReadbackDiff((), ())


def list_overlaps(configuration: Configuration) -> list[str]:
    """Return a sentence for each enabled rule of somebody else that acts on our keys."""
    found = []
    for rule in configuration.rules:
        prefix = str(dict(conditions(rule)).get("Prefix", ""))
        ours = [own for own in _PREFIXES if own.startswith(prefix) or prefix.startswith(own)]
        if rule.get("ID") not in OWNED_IDS and ours and is_effective(rule):
            found.append(
                f"rule {printable(rule.get('ID', '-'))} of others also acts on {', '.join(ours)} "
                f"({describe_rule(rule)}): S3 takes the earlier deletion and the cheaper class"
            )
    return found


def archiving_rules(configuration: Configuration, metadata_key: str) -> tuple[str, ...]:
    """Return the IDs of the enabled rules that would archive a metadata.json of any size."""
    return tuple(
        str(rule.get("ID") or "-")
        for rule in configuration.rules
        if rule.get("Status") == "Enabled"
        and applies_to(rule, metadata_key, ARCHIVE_OVER_BYTES)
        and any(move.get("StorageClass") in ARCHIVE_CLASSES for move in rule.get("Transitions", []))
    )


def archive_days(
    configuration: Configuration, key: str, size_bytes: int, wanted: str
) -> int | None:
    """Return after how many days the rules move such an object to a class, or None."""
    days = [
        int(move["Days"])
        for rule in configuration.rules
        if rule.get("Status") == "Enabled" and applies_to(rule, key, size_bytes)
        for move in rule.get("Transitions", [])
        if move.get("StorageClass") == wanted and "Days" in move
    ]
    return min(days, default=None)
