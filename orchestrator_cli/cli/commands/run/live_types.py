"""The types of the options of `run` about logs that are followed while they grow."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from orchestrator_cli.cli.options.types import DURATION

if TYPE_CHECKING:
    from orchestrator_cli.core.live.schedule import LiveSchedule

AUTO = "auto"
_OFF = "off"
_OWN_LOGS = frozenset({"runner.log", "stdout.log", "stderr.log"})
_LEAST_SECONDS = 0.2
_MOST_SECONDS = 60.0


class LiveType(click.ParamType["LiveSchedule | None"]):
    """`auto`, `off`, or how long to wait from one segment to the next."""

    name = "auto|duration|off"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> LiveSchedule | None:
        """Return the waits; None for off."""
        from orchestrator_cli.core.live.schedule import LiveSchedule

        if isinstance(value, LiveSchedule):
            return value
        text = str(value).strip().lower()
        if text == _OFF:
            return None
        if text == AUTO:
            return LiveSchedule()
        seconds = DURATION.convert(value, param, ctx).total_seconds()
        if not _LEAST_SECONDS <= seconds <= _MOST_SECONDS:
            self.fail(f"an interval is {_LEAST_SECONDS}s to {_MOST_SECONDS:.0f}s long", param, ctx)
        return LiveSchedule(seconds)


class FollowedFileType(click.ParamType[tuple[str, str]]):
    """PATH or PATH:NAME: a file that grows, and the name of the log that it is."""

    name = "path[:name]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Return the log's name and the path."""
        from orchestrator_cli.core.base.errors import UsageError
        from orchestrator_cli.core.executions.keys import live_log_name
        from orchestrator_cli.core.executions.placement import storage_path_for

        if isinstance(value, tuple):
            return value[0], value[1]
        path, separator, given = str(value).rpartition(":")
        if not separator:
            path, given = str(value), os.path.basename(value)
        if not path or not given:
            self.fail(f"{value!r} is not PATH or PATH:NAME", param, ctx)
        try:
            name = live_log_name(storage_path_for(given))
        except UsageError as error:
            self.fail(error.message, param, ctx)
        if name in _OWN_LOGS:
            self.fail(f"{name} is written by this command itself", param, ctx)
        return name, path


LIVE = LiveType()
FOLLOWED_FILE = FollowedFileType()
