"""The query of `GET /executions`: a time window, filters, an order, a page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, Field

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.quantities import parse_instant
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.executions.filters import ExecutionFilter, parse_labels
from orchestrator_cli.core.executions.record.metadata import ArtifactStatus, Result, RunnerType

_DEFAULT_WINDOW = timedelta(days=1)
_MAX_VALUES = 32
_Text = Annotated[str, Field(min_length=1, max_length=256)]


class Order(StrEnum):
    """The order of a listing by time."""

    OLDEST = "oldest"
    NEWEST = "newest"


@dataclass(frozen=True, slots=True)
class ExecutionSelection:
    """One page of the executions of a time window.

    `max_read` is how many executions may be read to find those that match the filter. With
    `max_requests`, the page ends before it takes more requests than that.
    """

    since: datetime
    until: datetime | None
    order: Order
    filter: ExecutionFilter
    limit: int
    cursor: str | None
    max_read: int = 1000
    max_requests: int | None = None


class ExecutionQuery(BaseModel):
    """The query string. A filter given several times matches any of its values, but all labels."""

    since: str | None = Field(
        default=None,
        description="Executions that began at this time or later: 2026-01-30, "
        "2026-01-30T08:00:00Z, or 2d for two days ago. [default: a day ago]",
        max_length=64,
        examples=["2d"],
    )
    until: str | None = Field(
        default=None,
        description="Executions that began before this time; written as since.",
        max_length=64,
    )
    order: Order = Field(default=Order.OLDEST, description="Which executions come first.")
    result: list[Result] = Field(
        default=[], description="Only with this result.", max_length=_MAX_VALUES
    )
    suite: list[_Text] = Field(
        default=[], description="Only of this test suite.", max_length=_MAX_VALUES
    )
    label: list[_Text] = Field(
        default=[],
        description="Only with this label, as KEY=VALUE.",
        max_length=_MAX_VALUES,
    )
    bench: list[_Text] = Field(
        default=[], description="Only of this bench.", max_length=_MAX_VALUES
    )
    runner_type: list[RunnerType] = Field(
        default=[], description="Only of this kind of runner.", max_length=_MAX_VALUES
    )
    reservation: list[_Text] = Field(
        default=[], description="Only of this reservation.", max_length=_MAX_VALUES
    )
    artifact_status: list[ArtifactStatus] = Field(
        default=[],
        description="Only with this state of their files.",
        max_length=_MAX_VALUES,
    )
    limit: int = Field(default=100, ge=1, le=1000, description="The most executions in a page.")
    cursor: str | None = Field(
        default=None, description="The next_cursor of the previous page.", max_length=3000
    )

    def selection(self, now: datetime) -> ExecutionSelection:
        """Return the parsed query. Raises UsageError."""
        since = _instant("since", self.since, now) or now - _DEFAULT_WINDOW
        until = _instant("until", self.until, now)
        if until is not None and until < since:
            raise UsageError("until is before since")
        chosen = ExecutionFilter(
            results=_texts(self.result),
            suites=_texts(self.suite),
            bench_ids=_texts(self.bench),
            runner_types=_texts(self.runner_type),
            reservation_ids=_texts(self.reservation),
            artifact_statuses=_texts(self.artifact_status),
            labels=parse_labels(self.label),
        )
        return ExecutionSelection(since, until, self.order, chosen, self.limit, self.cursor)


def _texts(values: Iterable[str]) -> frozenset[str]:
    return frozenset(map(str, values))


def _instant(name: str, text: str | None, now: datetime) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_instant(text, now)
    except ValueError as error:
        raise UsageError(printable(f"{name}: {error}")) from error
