"""Print the output of `orchestrator cost`: rows as they come, the total, a chart of the months."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from orchestrator_cli.cli.app import App
from orchestrator_cli.cli.commands.cost.amounts import AMOUNTS
from orchestrator_cli.cli.commands.cost.options import CostOptions
from orchestrator_cli.cli.output import human_dollars, human_size
from orchestrator_cli.cli.output.table import Column, Table, table
from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.retention.billing import (
    MONTHS,
    CostEstimate,
    Usage,
    estimate_cost,
    price_month,
    round_for_output,
)
from orchestrator_cli.core.retention.prices import (
    REFERENCE_REGION,
    PriceTable,
    RegionPrices,
    aws_prices,
    read_prices,
)
from orchestrator_cli.core.retention.usage_source import AppliedRules
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.storage_classes import INTELLIGENT_TIERING

_COLUMNS = (
    Column("FILES", right=True, rank=4),
    Column("SIZE", right=True, rank=2),
    Column("NOW/MONTH", right=True, rank=1),
    Column("ARCHIVED", right=True, rank=3),
)
_NOTHING = "-"


@dataclass(frozen=True, slots=True)
class PricesInUse:
    """The prices of a region, and the table that they are from."""

    table: PriceTable
    region: str
    prices: RegionPrices


def choose_prices(app: App, options: CostOptions, store: ArtifactStore | None) -> PricesInUse:
    """Return a region's prices, from a file or from the package. Raises UsageError."""
    file = options.price_file
    bucket_region = store.session.region if store is not None else app.settings.region
    region = options.price_region or bucket_region or REFERENCE_REGION
    table = read_prices(file) if file else aws_prices()
    if region in table.regions:
        return PricesInUse(table, region, table.regions[region])
    if file is None:
        app.messages.warn(
            f"no prices for {printable(region)}: those of {REFERENCE_REGION} are taken; "
            "--prices gives others"
        )
        return PricesInUse(table, REFERENCE_REGION, table.regions[REFERENCE_REGION])
    if len(table.regions) == 1:
        name, prices = next(iter(table.regions.items()))
        return PricesInUse(table, name, prices)
    known = ", ".join(printable(name) for name in table.regions)
    raise UsageError(
        f"{printable(file)} has no region {printable(region)}", hint=f"--region: one of {known}"
    )


class Report:
    """Prints groups as they come, and keeps nothing but the sum."""

    def __init__(
        self, app: App, options: CostOptions, prices: PricesInUse, rules: AppliedRules
    ) -> None:
        self._output = app.output
        self._messages = app.messages
        self._by = by = options.by
        self._prices = prices
        self._rules = rules
        self._as_json = options.as_json
        self._as_csv = options.as_csv
        self._total = Usage()
        self._begun = False
        group = Column(by.upper(), cut=by != "execution", least=12)
        self._table = Table(app.output, (group, *_COLUMNS))

    def count(self, usage: Usage) -> None:
        """Add an execution to the total."""
        self._total.add(usage)

    def print_group(self, name: str | None, usage: Usage) -> None:
        """Print one row."""
        estimate = self._estimate(usage)
        if self._as_json:
            self._output.json(
                _record(self._by, name, usage, estimate) | {"storage": _classes(usage)}
            )
        elif self._as_csv:
            self._print_csv(_record(self._by, name, usage, estimate))
        else:
            self._print_row(self._label(name), usage, estimate)

    def end(self, inventory_time: datetime | None) -> None:
        """Print the total, and the rules and prices that it is based on."""
        estimate = self._estimate(self._total, with_tiers=True)
        if self._as_json:
            self._output.json(self._total_record(estimate, inventory_time))
        elif self._as_csv:
            self._print_csv(None)
        elif self._total.executions:
            self._print_row("total", self._total, estimate)
            self._table.flush()
            self._print_summary(estimate)
        self._notes(inventory_time)

    def _estimate(self, usage: Usage, with_tiers: bool = False) -> CostEstimate:
        aborts = self._rules.retention.aborts_uploads
        return estimate_cost(usage, self._prices.prices, aborts, with_tiers)

    def _label(self, name: str | None) -> str:
        if name is None:
            return "unfinished uploads" if self._by == "class" else _NOTHING
        return printable(name)

    def _print_row(self, label: str, usage: Usage, estimate: CostEstimate) -> None:
        size = human_size(usage.size_bytes + usage.unfinished_bytes)
        amounts = (human_dollars(estimate.now), human_dollars(estimate.after_archive))
        self._table.row(label, f"{usage.objects:,}", size, *amounts)

    def _print_csv(self, record: dict[str, Any] | None) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not self._begun:
            writer.writerow(_record(self._by, None, Usage(), self._estimate(Usage())))
        self._begun = True
        if record is not None:
            writer.writerow(_cell(value) for value in record.values())
        self._output.line(text.getvalue(), end="")

    def _print_summary(self, estimate: CostEstimate) -> None:
        columns = (Column("", wrap=True, least=10), Column("", right=True), Column(""))
        self._output.line("")
        with table(self._output, *columns, header=False) as shown:
            for one in AMOUNTS:
                if amount := one.of(estimate):
                    shown.row(one.label, human_dollars(amount), one.unit)
        if estimate.now != estimate.after_archive or len(set(self._months())) > 1:
            self._chart()

    def _chart(self) -> None:
        if not self._output.is_terminal:
            return
        self._output.line("\nif nothing is added:")
        self._output.chart(
            [
                (_when(month), float(amount), human_dollars(amount))
                for month, amount in enumerate(self._months())
            ]
        )

    def _months(self) -> list[Decimal]:
        aborts = self._rules.retention.aborts_uploads
        return [
            price_month(self._total, self._prices.prices, month, aborts, with_tiers=True)
            for month in range(MONTHS + 1)
        ]

    def _total_record(
        self, estimate: CostEstimate, inventory_time: datetime | None
    ) -> dict[str, Any]:
        return _record("total", None, self._total, estimate) | {
            "storage": _classes(self._total),
            "volume_discount_dollars_per_month": _number(estimate.discount),
            "dollars_per_month_to_come": [_number(amount) for amount in self._months()],
            "rules": self._rules.source,
            "prices": {
                "region": self._prices.region,
                "date": self._prices.table.date,
                "source": self._prices.table.source,
            },
            "inventory_created_at": inventory_time,
        }

    def _notes(self, inventory_time: datetime | None) -> None:
        unpriced = sorted(self._total.classes.keys() - self._prices.prices.storage_per_gib_month)
        for name in unpriced:
            if name == INTELLIGENT_TIERING:
                self._messages.note(
                    f"{name}: counted as STANDARD, the price of its first 30 days, "
                    "without what monitoring costs"
                )
            else:
                self._messages.warn(f"no price for {printable(name)}: counted as STANDARD")
        if not self._total.executions:
            self._messages.note("no such executions in this time window; --since widens it")
        if inventory_time is not None:
            self._messages.note(f"inventory of {inventory_time:%Y-%m-%d %H:%M}Z")
        table = self._prices.table
        self._messages.note(
            f"prices of {printable(self._prices.region)}, {printable(table.date)}, "
            f"{printable(table.source)}; archived by {self._rules.words}"
        )


def _when(month: int) -> str:
    return f"  in {month:>2} month{'s' if month > 1 else ''}" if month else "  now"


def _record(by: str, name: str | None, usage: Usage, estimate: CostEstimate) -> dict[str, Any]:
    return {
        "by": by,
        "group": name,
        "executions": usage.executions,
        "objects": usage.objects,
        "size_bytes": usage.size_bytes,
        "unfinished_uploads": usage.unfinished_uploads,
        "unfinished_bytes": usage.unfinished_bytes,
        **{one.field: _number(one.of(estimate)) for one in AMOUNTS if one.field},
    }


def _classes(usage: Usage) -> dict[str, dict[str, int]]:
    return {
        name: {"objects": used.objects, "size_bytes": used.size_bytes}
        for name, used in sorted(usage.classes.items())
    }


def _number(amount: Decimal) -> float:
    # A float holds what is left after rounding, up to a million dollars, to the last digit.
    return float(round_for_output(amount))


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.9f}".rstrip("0").rstrip(".")
    if value is None:
        return ""
    text = printable(value)
    # A spreadsheet takes such a name for a formula.
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
