"""A bucket's whole lifecycle configuration: what it means, and what changes to make.

Nothing here sends a request. A rule is kept in the form of S3's API, so that rules of others pass
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
from orchestrator_cli.core.retention.lifecycle.policy import (
    ARCHIVE_OVER_BYTES,
    DEFAULT_MINIMUM,
    OWNED_IDS,
)
from orchestrator_cli.core.retention.lifecycle.rule import (
    ApiRule,
    applies_to,
    conditions,
    describe_rule,
    is_effective,
    normalize,
    without_size_filter,
)
from orchestrator_cli.core.s3.storage_classes import ARCHIVE_CLASSES

MAX_RULES = 1000
_PREFIXES = (DERIVED_PREFIX, EXECUTIONS_PREFIX, HISTORY_PREFIX, LIVE_PREFIX)


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
class RuleChange:
    """One rule before and after."""

    rule_id: str
    action: Action
    before: ApiRule | None
    after: ApiRule | None


@dataclass(frozen=True, slots=True)
class LifecyclePlan:
    """What a bucket has, what it is to have, and the difference rule by rule."""

    present: Configuration
    wanted: Configuration
    changes: tuple[RuleChange, ...]

    @property
    def changed(self) -> tuple[RuleChange, ...]:
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
    present: Configuration, rules: Iterable[ApiRule], size_filter_may_miss: bool = False
) -> LifecyclePlan:
    """Return the plan that gives a bucket these rules and leaves those of others alone.

    `size_filter_may_miss`: for servers that may drop it; such a rule is no change then.
    Raises UsageError where S3's limit of rules would be exceeded.
    """
    ours = {str(rule["ID"]): rule for rule in rules}
    had = present.by_id()
    foreign = [rule for rule in present.rules if rule.get("ID") not in OWNED_IDS]
    changes = [
        _change(rule_id, had.get(rule_id), ours.get(rule_id), size_filter_may_miss)
        for rule_id in OWNED_IDS
        if rule_id in had or rule_id in ours
    ]
    changes += [RuleChange(str(rule.get("ID", "")), Action.FOREIGN, rule, rule) for rule in foreign]
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


def _change(
    rule_id: str, before: ApiRule | None, after: ApiRule | None, may_miss: bool
) -> RuleChange:
    if before is None or after is None:
        return RuleChange(rule_id, Action.ADD if after else Action.REMOVE, before, after)
    if normalize(before) == normalize(after):
        return RuleChange(rule_id, Action.KEEP, before, after)
    dropped = may_miss and normalize(before) == normalize(without_size_filter(after))
    return RuleChange(
        rule_id, Action.SIZE_FILTER_DROPPED if dropped else Action.CHANGE, before, after
    )


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
