"""The options of `run`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from orchestrator_cli.core.live.schedule import LiveSchedule
    from orchestrator_cli.runner.session import Limits


class RunOptions(NamedTuple):
    """The options of the command line, by their names; `argv` is CMD."""

    execution_id: str | None
    declared: dict[str, Any]
    artifacts: tuple[str, ...]
    if_no_artifacts: str
    include_hidden: bool
    no_store_command: bool
    timeout: timedelta | None
    kill_after: timedelta
    upload_timeout: timedelta
    live: LiveSchedule | None
    followed: tuple[tuple[str, str], ...]
    spool: Path | None
    resume: Path | None
    argv: tuple[str, ...]

    def check(self) -> None:
        """Raise UsageError for options that do not go together."""
        if self.resume is not None and self.argv:
            raise click.UsageError("--resume runs nothing; leave CMD out.")
        if self.resume is None and not self.argv:
            raise click.UsageError("Missing CMD; write it after --.")
        if len(dict(self.followed)) < len(self.followed):
            raise click.UsageError("--follow-file: each file needs a name of its own.")

    def limits(self) -> Limits:
        """Return the limits in seconds."""
        from orchestrator_cli.runner.session import Limits

        return Limits(
            self.timeout.total_seconds() if self.timeout else None,
            self.kill_after.total_seconds(),
            self.upload_timeout.total_seconds(),
        )
