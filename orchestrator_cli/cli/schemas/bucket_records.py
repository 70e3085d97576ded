"""The records that commands print of the bucket: its rules, its costs, its guarantees."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, RootModel

from orchestrator_cli.cli.schemas.records import OutputRecord, one_of
from orchestrator_cli.core.executions.doctor.checker import Verdict
from orchestrator_cli.core.retention.lifecycle.configuration import Action


class RuleChange(OutputRecord):
    """What is done with one lifecycle rule; `before` and `after` are as S3 has them."""

    rule_id: str | None
    action: Annotated[str, one_of(Action)]
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class LifecyclePlan(OutputRecord):
    """What would change, or has changed."""

    bucket: str
    changed: bool
    changes: list[RuleChange]
    overlaps: list[str] = Field(description="Warnings about rules of others on the same keys.")
    size_filter_dropped: list[str] = Field(description="The rules that the server cut short.")


class LifecycleRules(OutputRecord):
    """The rules as S3 has them."""

    bucket: str
    rules: list[dict[str, Any]]
    transition_default_minimum_object_size: str | None


class ClassUsage(OutputRecord):
    """What lies in one storage class."""

    objects: int
    size_bytes: int


class CostGroup(OutputRecord):
    """What a group of executions costs; dollars are those of a month unless said otherwise."""

    by: str
    group: str | None
    executions: int
    objects: int
    size_bytes: int
    unfinished_uploads: int
    unfinished_bytes: int
    dollars_per_month: float
    overhead_dollars_per_month: float
    unfinished_dollars_per_month: float
    archived_dollars_per_month: float = Field(description="Once the rules have archived.")
    request_dollars: float = Field(description="Once.")
    transition_dollars_paid: float = Field(description="Once.")
    transition_dollars_to_come: float = Field(description="Once.")
    minimum_duration_dollars: float = Field(description="Once, if it were deleted now.")
    storage: dict[str, ClassUsage] = Field(description="By storage class.")


class Prices(OutputRecord):
    """Which prices were taken."""

    region: str
    date: str
    source: str


class CostTotal(CostGroup):
    """The last line: all groups, and what the numbers rest on."""

    volume_discount_dollars_per_month: float
    dollars_per_month_to_come: list[float] = Field(description="This month and the next twelve.")
    rules: str
    prices: Prices
    inventory_created_at: datetime | None


class Check(OutputRecord):
    """One thing that was tried."""

    name: str
    verdict: Annotated[str, one_of(Verdict)]
    detail: str
    actions: list[str] = Field(description="The IAM actions that were refused.")


class Diagnosis(OutputRecord):
    """What the bucket and the credentials can do."""

    bucket: str
    endpoint_url: str
    guaranteed: bool
    missing_actions: list[str]
    checks: list[Check]


class Setting(OutputRecord):
    """A setting and where it comes from."""

    value: str | None
    origin: str


class ResolvedSettings(RootModel[dict[str, Setting]]):
    """All settings by name."""


class PromisedFile(OutputRecord):
    """A file that a bench has promised."""

    path: str
    size_bytes: int | None = None
    sha256: str | None = None


class BenchRecord(OutputRecord):
    """With --offline: what execution.json says."""

    execution_id: str
    bench_id: str | None
    reservation_id: str | None
    test_suite: str | None
    labels: dict[str, str]
    result: str | None
    started_at: datetime | None
    ended_at: datetime | None
    files: list[PromisedFile] | None = None
