"""The options of `logs`, and what they ask for."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from orchestrator_cli.cli.options.search_options import SearchOptions
from orchestrator_cli.cli.options.via_options import Via
from orchestrator_cli.cli.usage_errors.usage_text import HintedUsageError

if TYPE_CHECKING:
    from orchestrator_cli.cli.commands.logs.log_filter import LogFilter
    from orchestrator_cli.core.live.reading.heartbeat import GiveUpPolicy


class LogsOptions(NamedTuple):
    """The options of the command line, by their names."""

    arguments: tuple[str, ...]
    tail: int | None
    follow: bool
    gone_after: timedelta | None
    show_all: bool
    all_logs: bool
    line_numbers: bool
    patterns: tuple[str, ...]
    search: SearchOptions
    output: Path | None
    overwrite: bool
    strip_ansi: bool
    via: Via | None

    def check(self, names: tuple[str, ...]) -> None:
        """Raise UsageError for names and options that do not go together."""
        if len(names) > 1 or (names and self.all_logs):
            raise HintedUsageError(
                "One NAME at a time, and none with --all-logs.",
                "--all-logs alone prints all of them",
            )
        if not self.patterns and not self.search.is_default:
            raise click.UsageError("-i, -F, -A, -B, -C and -c go with --grep.")
        if self.search.counts and self.tail is not None:
            raise click.UsageError("-c counts all lines; it does not go with --tail.")
        if not self.follow and self.gone_after is not None:
            raise click.UsageError("--gone-after goes with --follow.")

    def log_filter(self) -> LogFilter:
        """Return the filter of each log. Raises UsageError for a pattern that is not valid."""
        from orchestrator_cli.cli.commands.logs.log_filter import LogFilter

        return LogFilter(
            pattern=self.search.compile(self.patterns) if self.patterns else None,
            context=self.search.context if self.patterns else None,
            count=self.search.counts,
            numbers=self.line_numbers,
            last=self.tail,
            without_ansi=self.strip_ansi,
        )

    def give_up_policy(self) -> GiveUpPolicy | None:
        """Return how long to wait for a silent writer; None where no log is followed.

        There is no limit where somebody watches a terminal.
        """
        if not self.follow:
            return None
        from orchestrator_cli.core.live.reading.heartbeat import GiveUpPolicy
        from orchestrator_cli.core.live.state import LOST_AFTER_SECONDS

        given = self.gone_after
        seconds = LOST_AFTER_SECONDS if given is None else given.total_seconds()
        return GiveUpPolicy(seconds, waits_forever=sys.stderr.isatty())

    @property
    def file(self) -> Path | None:
        """The file to write to; None for standard output."""
        return None if self.output == Path("-") else self.output

    @property
    def may_page(self) -> bool:
        """Whether a terminal gets the log in a pager, or only the end of a long one."""
        return not (self.follow or self.show_all or self.tail is not None)
