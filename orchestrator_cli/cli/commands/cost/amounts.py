"""The amounts that `cost` prints, as a table: a new amount is a new entry."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from orchestrator_cli.core.retention.billing import CostEstimate


class Amount(NamedTuple):
    """An amount: its label, how often it is paid, and its JSON field; None if no group has one."""

    label: str
    unit: str
    field: str | None
    of: Callable[[CostEstimate], Decimal]


_MONTHLY, _ONCE = "a month", "once"
AMOUNTS = (
    Amount("stored now", _MONTHLY, "dollars_per_month", lambda cost: cost.now),
    Amount(
        "of it archives' overhead",
        _MONTHLY,
        "overhead_dollars_per_month",
        lambda cost: cost.overhead,
    ),
    Amount(
        "of it unfinished uploads",
        _MONTHLY,
        "unfinished_dollars_per_month",
        lambda cost: cost.unfinished,
    ),
    # Only the total has one, under a name of its own.
    Amount("volume discount, taken off", _MONTHLY, None, lambda cost: cost.discount),
    Amount(
        "when the rules have archived",
        _MONTHLY,
        "archived_dollars_per_month",
        lambda cost: cost.after_archive,
    ),
    Amount("requests that wrote it, at least", _ONCE, "request_dollars", lambda cost: cost.writes),
    Amount(
        "transitions made", _ONCE, "transition_dollars_paid", lambda cost: cost.transitions_paid
    ),
    Amount(
        "transitions to come",
        _ONCE,
        "transition_dollars_to_come",
        lambda cost: cost.transitions_to_come,
    ),
    Amount(
        "minimum durations, if deleted now",
        _ONCE,
        "minimum_duration_dollars",
        lambda cost: cost.commitment,
    ),
)
