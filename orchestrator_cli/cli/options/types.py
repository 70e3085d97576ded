"""The types of options: a duration, a size, an instant, a label."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from orchestrator_cli.core.base.quantities import parse_duration, parse_instant, parse_size


class DurationType(click.ParamType[timedelta]):
    """A duration such as 90s, 15m, 2h, 7d or 1h30m; a number alone is seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Parse a duration."""
        if isinstance(value, timedelta):
            return value
        try:
            text = str(value).strip()
            return parse_duration(f"{text}s" if re.fullmatch(r"(?a:\d+(\.\d+)?)", text) else text)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class SizeType(click.ParamType[int]):
    """A size in bytes such as 512K, 5M or 1.5G; units are powers of 1,024."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse a size."""
        try:
            return parse_size(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class WholeNumber(click.ParamType[int]):
    """A whole number, between bounds. One that no count reaches is as good as the largest."""

    name = "whole number"

    def __init__(self, least: int = 0, most: int | None = None) -> None:
        self.least = least
        self.most = most

    @property
    def bounds(self) -> str:
        """Which numbers are taken, in words."""
        return f"at least {self.least}" if self.most is None else f"{self.least} to {self.most}"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse a whole number."""
        try:
            number = min(int(value), sys.maxsize)
        except ValueError:
            self.fail(f"{value!r} is not a whole number", param, ctx)
        if number < self.least or (self.most is not None and number > self.most):
            self.fail(f"{number} is not {self.bounds}", param, ctx)
        return number

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return the placeholder that help shows."""
        return "N"


class InstantType(click.ParamType[datetime]):
    """An instant: 2d (ago), yesterday, monday, 14:30, 2026-01-31 or an RFC 3339 time.

    Without a zone it is local time where standard output is a terminal, and UTC elsewhere.
    """

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Parse an instant."""
        try:
            zone = None if sys.stdout.isatty() else UTC
            return parse_instant(str(value), datetime.now(UTC), zone)
        except ValueError as error:
            self.fail(str(error), param, ctx)


DURATION = DurationType()
SIZE = SizeType()
INSTANT = InstantType()


class LabelType(click.ParamType[tuple[str, str]]):
    """A label KEY=VALUE."""

    name = "key=value"
    # In a variable, one a line: a value may have spaces.
    envvar_list_splitter = "\n"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Parse a label."""
        if isinstance(value, tuple):
            return value[0], value[1]
        key, separator, text = str(value).partition("=")
        if not separator or not key:
            self.fail(f"{value!r} is not KEY=VALUE", param, ctx)
        return key, text


LABEL = LabelType()


class ResultType(click.Choice[str]):
    """The result of an execution, in upper or lower case."""

    def __init__(self) -> None:
        super().__init__(["pass", "fail", "error"], case_sensitive=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Parse a result; for the word of another program, the error names ours."""
        from orchestrator_cli.cli.usage_errors.option_habits import VALUE_HABITS

        if "," in str(value):
            self.fail(f"{value!r} is several; give the option for each", param, ctx)

        meant = VALUE_HABITS.get(str(value).lower())
        if meant is not None:
            self.fail(f"{value!r} is called {meant!r} here", param, ctx)
        return super().convert(value, param, ctx)


RESULT = ResultType()
RUNNER_TYPE = click.Choice(["ec2", "eks", "onprem"])
