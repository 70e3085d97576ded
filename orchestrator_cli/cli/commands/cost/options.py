"""The options of `cost`: what is priced, by which prices, and how it is printed."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import click

from orchestrator_cli.cli.options import check_window

_FIELDS = {"suite": "test_suite", "runner-type": "runner_type"}


class CostOptions(NamedTuple):
    """The options of the command line, by their names."""

    execution_ids: tuple[str, ...]
    since: datetime | None
    until: datetime | None
    by: str
    as_json: bool
    as_csv: bool
    price_file: Path | None
    price_region: str | None
    inventory: str | None
    concurrency: int

    @property
    def field(self) -> str | None:
        """The field of the metadata to group by; None for groups that a listing can tell."""
        return _FIELDS.get(self.by)

    def check(self) -> None:
        """Raise UsageError for options that do not go together."""
        if self.as_json and self.as_csv:
            raise click.UsageError("--json and --csv exclude each other.")
        if self.execution_ids and (self.since or self.until):
            raise click.UsageError("--since and --until go without ID.")
        check_window(self.since, self.until)
