"""What lifecycle rules will do with an object, and on which day."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from orchestrator_cli.core.executions.keys import EXECUTIONS_PREFIX, LIVE_PREFIX
from orchestrator_cli.core.retention.lifecycle.configuration import Configuration
from orchestrator_cli.core.retention.lifecycle.rule import ApiRule, conditions
from orchestrator_cli.core.s3.storage_classes import ARCHIVE_CLASSES, COLDNESS, storage_class_named
from orchestrator_cli.core.s3.types import ObjectSummary

DAY_SECONDS = 86400
_DEFAULT_MINIMUM_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class RuleAction:
    """One action of one rule, on objects of `over_bytes` < size < `under_bytes`.

    `storage_class` is the one that they move to; None means that they are deleted.
    """

    prefix: str
    over_bytes: int
    under_bytes: float
    days: int
    storage_class: str | None


@dataclass(frozen=True, slots=True)
class Retention:
    """What a configuration does below `executions/` and `live/`, in a form that is quick to apply.

    `aborts_uploads`: a rule ends unfinished uploads.
    """

    steps: tuple[RuleAction, ...] = ()
    aborts_uploads: bool = False

    @property
    def archives(self) -> bool:
        """Whether anything goes to an archive class."""
        return any(step.storage_class in ARCHIVE_CLASSES for step in self.steps)


@dataclass(frozen=True, slots=True)
class ObjectForecast:
    """Days from now until an object's moves and its end.

    `paid_days` is what its class's minimum duration still asks for if it were deleted now;
    `billed_end_day` is when it is charged no more, and honours that minimum.
    """

    moves: tuple[tuple[int, str], ...] = ()
    billed_end_day: int | None = None
    paid_days: int = 0


def compile_rules(configuration: Configuration, small_objects_stay: bool) -> Retention:
    """Return the actions of the enabled rules on objects that have no tags.

    `small_objects_stay`: a rule that names no size moves no object under 128 KiB, as on AWS by
    default. Rules by date and for noncurrent versions are left out.
    """
    minimum = 0
    if small_objects_stay and configuration.default_minimum in (None, "all_storage_classes_128K"):
        minimum = _DEFAULT_MINIMUM_BYTES
    enabled = [rule for rule in configuration.rules if rule.get("Status") == "Enabled"]
    steps = [step for rule in enabled for step in _rule_actions(rule, minimum)]
    aborts = any("AbortIncompleteMultipartUpload" in rule and _is_ours(rule) for rule in enabled)
    return Retention(tuple(steps), aborts)


def _is_ours(rule: ApiRule) -> bool:
    prefix = str(dict(conditions(rule)).get("Prefix", ""))
    return EXECUTIONS_PREFIX.startswith(prefix)


def _counts(prefix: str) -> bool:
    """Return True if a rule's prefix concerns objects that are counted."""
    counted = (EXECUTIONS_PREFIX, LIVE_PREFIX)
    return any(prefix.startswith(one) or one.startswith(prefix) for one in counted)


def _rule_actions(rule: ApiRule, minimum_bytes: int) -> Iterator[RuleAction]:
    asked = dict(conditions(rule))
    prefix = str(asked.pop("Prefix", ""))
    names_size = not asked.keys().isdisjoint(("ObjectSizeGreaterThan", "ObjectSizeLessThan"))
    over = int(asked.pop("ObjectSizeGreaterThan", -1))
    under = asked.pop("ObjectSizeLessThan", float("inf"))
    if asked or not _counts(prefix):
        return
    for move in rule.get("Transitions", []):
        if "Days" in move and move.get("StorageClass") in COLDNESS:
            least = over if names_size else minimum_bytes - 1
            yield RuleAction(prefix, least, under, int(move["Days"]), move["StorageClass"])
    expiration = rule.get("Expiration") or {}
    if "Days" in expiration:
        yield RuleAction(prefix, over, under, int(expiration["Days"]), None)


class LifecycleForecaster:
    """Tells the forecast of objects under one retention, as of one instant."""

    def __init__(self, retention: Retention, now: datetime) -> None:
        self.retention = retention
        self.now = now
        self._now = int(now.timestamp())

    def forecast(self, listed: ObjectSummary) -> ObjectForecast:
        """Return when an object will be moved, and until when it is paid for."""
        modified = int(listed.last_modified.timestamp())
        steps = [step for step in self.retention.steps if _matches(step, listed)]
        moves = self._moves(listed.storage_class, modified, steps)
        paid_days = self._paid_days(listed.storage_class, modified, steps)
        ends = [self._due(modified, step.days) for step in steps if step.storage_class is None]
        if not ends:
            return ObjectForecast(moves, None, paid_days)
        end = max(min(ends), 0)
        kept = tuple(move for move in moves if move[0] < end)
        paid_until = _paid_until(*kept[-1]) if kept else paid_days
        return ObjectForecast(kept, max(end, paid_until), paid_days)

    def _moves(
        self, storage_class: str, modified: int, steps: list[RuleAction]
    ) -> tuple[tuple[int, str], ...]:
        moves: list[tuple[int, str]] = []
        at = COLDNESS.get(storage_class, 0)
        # Of two moves on one day S3 makes the colder one.
        for step in sorted(steps, key=lambda step: (step.days, -COLDNESS.get(_name(step), 0))):
            if step.storage_class is not None and COLDNESS[step.storage_class] > at:
                moves.append((max(self._due(modified, step.days), 0), step.storage_class))
                at = COLDNESS[step.storage_class]
        return tuple(moves)

    def _paid_days(self, storage_class: str, modified: int, steps: list[RuleAction]) -> int:
        """Return for how long the minimum duration still asks to be paid.

        No listing says when an object was moved: a rule tells it, else it was stored so.
        """
        minimum = storage_class_named(storage_class).minimum_days
        if not minimum:
            return 0
        days = min((step.days for step in steps if step.storage_class == storage_class), default=0)
        moved = min(_next_midnight(modified + days * DAY_SECONDS), self._now) if days else modified
        return max(0, minimum - (self._now - moved) // DAY_SECONDS)

    def _due(self, modified: int, days: int) -> int:
        """Return in how many days an age is reached; S3 counts to the midnight after, in UTC."""
        return -((self._now - _next_midnight(modified + days * DAY_SECONDS)) // DAY_SECONDS)


def _paid_until(day: int, storage_class: str) -> int:
    return day + storage_class_named(storage_class).minimum_days


def _name(step: RuleAction) -> str:
    return step.storage_class or ""


def _matches(step: RuleAction, listed: ObjectSummary) -> bool:
    fits = step.over_bytes < listed.size_bytes < step.under_bytes
    return fits and listed.key.startswith(step.prefix)


def _next_midnight(seconds: int) -> int:
    return (seconds // DAY_SECONDS + 1) * DAY_SECONDS
