"""The options of `run`, and the start and limits of a run that follow from them."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from orchestrator_cli import __version__

if TYPE_CHECKING:
    from orchestrator_cli.core.live.schedule import LiveSchedule
    from orchestrator_cli.runner.run_record import RunStart
    from orchestrator_cli.runner.session import Limits


class RunOptions(NamedTuple):
    """What the command line says, by the names of its options; `argv` is CMD."""

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


def describe_start(
    options: RunOptions, execution_id: str, started_at: datetime, environment: Mapping[str, str]
) -> RunStart:
    """Return how the run begins; secrets of `environment` are masked in its command."""
    from orchestrator_cli.core.base.command_secrets import mask_command
    from orchestrator_cli.runner.run_record import RunStart

    words = [os.fsencode(word).decode("utf-8", "backslashreplace") for word in options.argv]
    return RunStart(
        execution_id=execution_id,
        command=[] if options.no_store_command else mask_command(words, environment),
        host=socket.gethostname(),
        pid=os.getpid(),
        tool_version=__version__,
        started_at=started_at,
        declared=options.declared,
        artifacts=list(dict.fromkeys(map(_absolute, options.artifacts))),
        artifacts_optional=options.if_no_artifacts == "ignore",
        include_hidden=options.include_hidden,
        live=_describe_live(options.live),
        followed={name: _absolute(path) for name, path in options.followed},
    )


def _describe_live(live: LiveSchedule | None) -> dict[str, Any] | None:
    if live is None:
        return None
    return {"writer": os.urandom(16).hex(), "interval_seconds": live.fixed_seconds}


def _absolute(path: str) -> str:
    # Of a directory that is gone, no path can be made absolute: the file is missing then, too.
    with contextlib.suppress(FileNotFoundError):
        return os.path.abspath(path)
    return path
