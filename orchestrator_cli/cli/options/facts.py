"""The numbers and names that the code knows and that help texts say, as `$name` there."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import NamedTuple

_FACT = re.compile(r"\$(?:([a-z_]+)|\{([a-z_]+)\})")
_KIB = 1024


class _Fact(NamedTuple):
    """A module of the core, which is imported only where its fact is told, and what it says."""

    module: str
    say: Callable[[ModuleType], object]


_STATE = "live.state"
_NAMES = "executions.logs.names"
_POLICY = "retention.lifecycle.policy"
_PRICES = "retention.prices"
_FACTS = {
    "abort_days": _Fact(_POLICY, lambda its: its.RetentionPolicy().abort_uploads_days),
    "any_log": _Fact(_NAMES, lambda its: its.ANY_LOG),
    "archive_days": _Fact(_POLICY, lambda its: its.RetentionPolicy().archive_after_days),
    "archive_minimum_days": _Fact(_POLICY, lambda its: its.ARCHIVE_MINIMUM_DAYS),
    "archive_over": _Fact(_POLICY, lambda its: f"{its.ARCHIVE_OVER_BYTES // _KIB} KiB"),
    "archived_index": _Fact(_PRICES, lambda its: f"{its.ARCHIVE_INDEX_BYTES // _KIB} KiB"),
    "archived_name": _Fact(_PRICES, lambda its: f"{its.ARCHIVE_NAME_BYTES // _KIB} KiB"),
    "heartbeat_seconds": _Fact(_STATE, lambda its: f"{its.HEARTBEAT_SECONDS:g}"),
    "history_days": _Fact(_POLICY, lambda its: its.RetentionPolicy().history_days),
    "live_days": _Fact(_POLICY, lambda its: its.RetentionPolicy().live_days),
    "live_schedule": _Fact("live.schedule", lambda its: its.describe_intervals()),
    "log_order": _Fact(_NAMES, lambda its: ", ".join(its.DEFAULT_ORDER)),
    "longest_archive_days": _Fact(_POLICY, lambda its: its.LONGEST_ARCHIVE_DAYS),
    "longest_expiry": _Fact(
        "s3.bucket.presign", lambda its: f"{its.MAX_EXPIRES_IN_SECONDS // 86400}d"
    ),
    "lost_minutes": _Fact(_STATE, lambda its: f"{its.LOST_AFTER_SECONDS / 60:g}"),
    "max_line": _Fact("executions.logs.search", lambda its: f"{its.MAX_LINE_BYTES // _KIB**2} MiB"),
    "month_days": _Fact(_PRICES, lambda its: its.DAYS_PER_MONTH),
    "noncurrent_days": _Fact(_POLICY, lambda its: its.RetentionPolicy().noncurrent_days),
    "restore_bulk_hours": _Fact(_PRICES, lambda its: _archive_hours(its, "bulk")),
    "restore_standard_hours": _Fact(_PRICES, lambda its: _archive_hours(its, "standard")),
    "shortest_archive_days": _Fact(_POLICY, lambda its: its.SHORTEST_ARCHIVE_DAYS),
    "silent_seconds": _Fact(_STATE, lambda its: f"{its.SILENT_AFTER_SECONDS:g}"),
    "small_log": _Fact("executions.logs.finding", lambda its: f"{its.FIRST_BYTES // _KIB} KiB"),
    "tail": _Fact("executions.logs.index", lambda its: f"{its.TAIL_BYTES // _KIB} KiB"),
}


def fill_in(text: str) -> str:
    """Return a help text with its facts. Raises KeyError for a name that is none of them."""
    return _FACT.sub(lambda found: _tell(found[1] or found[2]), text)


def _tell(name: str) -> str:
    fact = _FACTS[name]
    return str(fact.say(import_module(f"orchestrator_cli.core.{fact.module}")))


def _archive_hours(prices: ModuleType, tier: str) -> object:
    from orchestrator_cli.core.s3.storage_classes import DEEP_ARCHIVE

    _, region = prices.retrieval_prices(prices.REFERENCE_REGION)
    return region.retrieval[DEEP_ARCHIVE, tier].within_hours
