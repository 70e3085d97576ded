"""The options of `grep`: what is searched for, in which logs, and what is printed of it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import click

from orchestrator_cli.cli.options import check_window
from orchestrator_cli.cli.options.search_options import SearchOptions

if TYPE_CHECKING:
    from orchestrator_cli.core.executions.filters import ExecutionFilter


class GrepOptions(NamedTuple):
    """The options of the command line, by their names."""

    arguments: tuple[str, ...]
    patterns: tuple[str, ...]
    since: datetime | None
    until: datetime | None
    names: tuple[str, ...]
    wanted: ExecutionFilter
    search: SearchOptions
    files_with_matches: bool
    quiet: bool
    as_json: bool

    @property
    def all_patterns(self) -> tuple[str, ...]:
        """The patterns, of which one may be written without -e."""
        return self.patterns or self.arguments[:1]

    @property
    def places(self) -> tuple[str, ...]:
        """The executions, or logs, that are named."""
        return self.arguments if self.patterns else self.arguments[1:]

    @property
    def mode(self) -> str:
        """What is printed of a log: its `lines`, their `count`, or only its name (`list`)."""
        if self.files_with_matches or self.quiet:
            return "list"
        return "count" if self.search.counts else "lines"

    def check(self) -> None:
        """Raise UsageError for options that do not go together."""
        search = self.search
        if self.files_with_matches and (search.counts or search.before_lines or search.after_lines):
            raise click.UsageError("-l goes without -c, -A, -B and -C.")
        if not self.all_patterns:
            raise click.UsageError("Missing argument 'PATTERN'.")
        chooses = self.since or self.until or not self.wanted.takes_everything
        if self.places and chooses:
            raise click.UsageError("A time window and filters go without ID.")
        check_window(self.since, self.until)
