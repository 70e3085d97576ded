"""How a run begins, as the options of `run` say."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from orchestrator_cli import __version__
from orchestrator_cli.cli.commands.run.options import RunOptions

if TYPE_CHECKING:
    from orchestrator_cli.core.live.schedule import LiveSchedule
    from orchestrator_cli.runner.run_record import RunStart


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
