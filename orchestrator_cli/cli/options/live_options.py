"""The options of commands that write live logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestrator_cli.cli.options.types import DURATION

if TYPE_CHECKING:
    from orchestrator_cli.core.live.schedule import LiveSchedule

AUTO = "auto"
_OFF = "off"
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


LIVE = LiveType()
