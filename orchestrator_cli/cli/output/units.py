"""Sizes, counts, amounts and times as people read them: one style for all commands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from orchestrator_cli.core.base.quantities import format_duration, rfc3339
from orchestrator_cli.core.base.quantities import format_size as human_size

if TYPE_CHECKING:
    from decimal import Decimal

    from orchestrator_cli.core.base.errors import OrchestratorError

__all__ = [
    "human_age",
    "human_count",
    "human_dollars",
    "human_duration",
    "human_error",
    "human_size",
    "human_time",
    "json_name",
    "json_time",
]


def human_dollars(dollars: Decimal | float) -> str:
    """Write an amount as $1,234.50; one below a dollar with six digits after the point."""
    if 0 < dollars < 0.000001:
        return "<$0.000001"
    return f"${dollars:,.2f}" if dollars >= 1 or dollars == 0 else f"${dollars:.6f}"


def human_count(count: int, noun: str) -> str:
    """Write a count with its noun: 1 file, 2,000 files."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def human_duration(duration: timedelta | None) -> str:
    """Write a duration as 7s, 3m 05s or 2h 03m."""
    return "-" if duration is None else format_duration(duration)


def human_age(age: timedelta) -> str:
    """Write how long ago something was: now, 5m ago, 3h ago, 2d ago."""
    minutes = int(age.total_seconds()) // 60
    if minutes < 1:
        return "now"
    if minutes < 60:
        return f"{minutes}m ago"
    return f"{minutes // 60}h ago" if minutes < 48 * 60 else f"{minutes // 1440}d ago"


def human_error(error: OrchestratorError) -> str:
    """Write an error's message, with the id that S3 gave the request where there is one."""
    return f"{error.message} [request id {error.request_id}]" if error.request_id else error.message


def json_name(name: str) -> str:
    """Write a file name for JSON, which is Unicode; bytes that are no UTF-8 become escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def human_time(instant: datetime | None) -> str:
    """Write an instant as 2026-01-31 08:00:00Z."""
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ") if instant else "-"


def json_time(instant: datetime) -> str:
    """Write an instant for JSON."""
    return rfc3339(instant, "seconds")
