"""The options of `ls`: which executions or files are listed, and how."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import click

from orchestrator_cli.cli.options import DEFAULT_WINDOW, check_window
from orchestrator_cli.cli.options.execution_id import split_id_and_path
from orchestrator_cli.cli.options.via_options import Via
from orchestrator_cli.cli.usage_errors.usage_text import HintedUsageError

if TYPE_CHECKING:
    from orchestrator_cli.core.executions.filters import ExecutionFilter, ExecutionWindow

# Of a few executions nobody knows when they began.
_LIMITED_WINDOW = timedelta(days=366)


class LsOptions(NamedTuple):
    """The options of the command line, by their names."""

    arguments: tuple[str, ...]
    since: datetime | None
    until: datetime | None
    limit: int | None
    wanted: ExecutionFilter
    tree: bool
    null: bool
    via: Via | None
    as_json: bool

    def style(self) -> str:
        """Return `table`, `tree`, `json` or `null`. Raises UsageError for two of them."""
        given = {"null": self.null, "json": self.as_json, "tree": self.tree}
        chosen = [name for name, is_given in given.items() if is_given]
        if len(chosen) > 1:
            raise click.UsageError("Of --null, --json and --tree, only one can be given.")
        return chosen[0] if chosen else "table"

    def places(self, bucket: str | None) -> tuple[str, ...]:
        """Return the ID and the patterns after it; nothing where all executions are meant.

        Users of `aws s3 ls` give a URL for that. Raises UsageError for a label without its option.
        """
        first = self.arguments[0] if self.arguments else ""
        if "=" in first and not first.startswith("@"):
            raise HintedUsageError(f"not an execution id: {first!r}.", f"a label: --label {first}")
        places = split_id_and_path(self.arguments)
        everything = ("executions", f"s3://{bucket}", f"s3://{bucket}/executions")
        is_all = len(places) == 1 and places[0].rstrip("/") in everything
        return () if is_all else places

    def check(self, *, has_id: bool) -> None:
        """Raise UsageError for options that go only with an ID, or only without one."""
        chooses = self.since or self.until or self.limit or not self.wanted.takes_everything
        if has_id and chooses:
            raise click.UsageError("A time window, a limit and filters go without ID.")
        if self.tree and not has_id:
            raise click.UsageError("--tree goes with ID.")

    def window(self, now: datetime) -> ExecutionWindow:
        """Return which executions are wanted. Raises UsageError for a window without any."""
        from orchestrator_cli.core.executions.filters import ExecutionWindow

        since = self.since or now - (_LIMITED_WINDOW if self.limit else DEFAULT_WINDOW)
        check_window(since, self.until)
        return ExecutionWindow(since, self.until, self.limit, self.wanted, now)
