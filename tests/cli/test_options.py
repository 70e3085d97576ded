"""What people type for durations, sizes, instants, labels and execution ids."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_cli.cli.options import (
    DURATION,
    EXECUTION_ID_VARIABLE,
    INSTANT,
    LABEL,
    SIZE,
    Example,
    command,
    split_id,
)

ID = "01JABCDEFGHJKMNPQRSTVWXYZ0"
OTHER = "01JABCDEFGHJKMNPQRSTVWXYZ1"
DAY = timedelta(days=1)

anything = st.text(max_size=30) | st.text("0123456789.-+ smhdwkMGTib:TZ٣²K", max_size=15)


def refused(kind: click.ParamType[Any], value: object) -> str:
    with pytest.raises(click.BadParameter) as raised:
        kind.convert(value, None, None)
    return raised.value.message


# --- durations -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90s", timedelta(seconds=90)),
        ("60", timedelta(minutes=1)),
        ("1.5", timedelta(seconds=1.5)),
        (60, timedelta(minutes=1)),
        ("15m", timedelta(minutes=15)),
        ("2h", timedelta(hours=2)),
        ("7d", timedelta(days=7)),
        ("1w", timedelta(days=7)),
        ("250ms", timedelta(milliseconds=250)),
        ("1h30m", timedelta(minutes=90)),
        ("1h 30m", timedelta(minutes=90)),
        (" 1.5 h ", timedelta(minutes=90)),
        ("2H", timedelta(hours=2)),
        ("0s", timedelta(0)),
        ("999999999d", timedelta(days=999_999_999)),
        (timedelta(hours=3), timedelta(hours=3)),
    ],
)
def test_a_duration_is_parsed(text: object, duration: timedelta) -> None:
    assert DURATION.convert(text, None, None) == duration


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "h",
        "-5d",
        "+5d",
        "5x",
        "5mins",
        "1.5.5h",
        ".5h",
        "5m-",
        "1d\x00",
        "5 5",
        "ſ",
        "٣",
    ],
)
def test_what_is_no_duration_is_refused(text: object) -> None:
    assert "is not a duration such as" in refused(DURATION, text)


@pytest.mark.parametrize("text", ["9999999999d", "9" * 400 + "s", "9" * 5000 + "w"])
def test_a_duration_that_no_clock_holds_is_refused(text: str) -> None:
    assert "too long" in refused(DURATION, text)


@given(st.integers(0, 10**6), st.sampled_from(["s", "m", "h", "d", "w"]))
def test_durations_add_up(number: int, unit: str) -> None:
    once = DURATION.convert(f"{number}{unit}", None, None)
    assert DURATION.convert(f"{number}{unit}{number}{unit}", None, None) == 2 * once


# --- sizes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("512K", 512 * 1024),
        ("5M", 5 * 1024**2),
        ("5m", 5 * 1024**2),
        ("1.5G", 3 * 1024**3 // 2),
        ("1T", 1024**4),
        ("5MB", 5 * 1024**2),
        ("5 MiB", 5 * 1024**2),
        ("100B", 100),
        (" 8k ", 8192),
        ("999999999999999", 999_999_999_999_999),
        (5, 5),
    ],
)
def test_a_size_is_parsed(text: object, size: int) -> None:
    assert SIZE.convert(text, None, None) == size


@pytest.mark.parametrize(
    "text",
    [
        "",
        "K",
        "0",
        "0.4",
        "-5M",
        "+5M",
        "5X",
        "5MM",
        "5e3",
        "inf",
        "nan",
        "9" * 400,
        # Letters and digits of Unicode that a regular expression takes for K and 3.
        "5\u212a",
        "٣M",
        "5M\x1b",
        # From a config file, numbers come as numbers.
        0,
        -5,
        True,
    ],
)
def test_what_is_no_size_is_refused(text: object) -> None:
    assert "is not a size such as" in refused(SIZE, text)


# --- instants --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T08:00", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        ("2026-01-31 08:00:01.5", datetime(2026, 1, 31, 8, 0, 1, 500_000, tzinfo=UTC)),
        ("2026-01-31T08:00Z", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        ("2026-01-31T08:00:00+02:00", datetime(2026, 1, 31, 6, tzinfo=UTC)),
        (" 2026-01-31 ", datetime(2026, 1, 31, tzinfo=UTC)),
        # A config file has dates and times of its own, with and without a zone.
        (date(2026, 1, 31), datetime(2026, 1, 31, tzinfo=UTC)),
        (datetime(2026, 1, 31, 8), datetime(2026, 1, 31, 8, tzinfo=UTC)),  # noqa: DTZ001
        (
            datetime(2026, 1, 31, 8, tzinfo=timezone(timedelta(hours=2))),
            datetime(2026, 1, 31, 6, tzinfo=UTC),
        ),
    ],
)
def test_an_instant_is_parsed(text: object, instant: datetime) -> None:
    converted = INSTANT.convert(text, None, None)
    assert converted == instant
    assert converted.tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("0s", "0s"),
        ("2d", "2d"),
        ("1h30m", "1h30m"),
        ("1w", "1w"),
        ("2 days ago", "2d"),
        ("1 hour 30 minutes", "1h30m"),
        ("45mins", "45m"),
        ("3d ago", "3d"),
    ],
)
def test_an_instant_may_be_a_duration_ago(text: str, duration: str) -> None:
    ago = DURATION.convert(duration, None, None)
    before = datetime.now(UTC)
    instant = INSTANT.convert(text, None, None)
    assert before - ago <= instant <= datetime.now(UTC) - ago


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not a time such as"),
        ("tomorrow", "is not a time such as"),
        ("last", "is not a time such as"),
        ("24:00", "is not a time such as"),
        ("1430", "is not a time such as"),
        ("-2d", "is not a time such as"),
        ("2026-02-30", "is not a time such as"),
        ("2026-01-31T25:00", "is not a time such as"),
        ("\x00", "is not a time such as"),
        # Times that only their own zone can write.
        ("0001-01-01T00:00+14:00", "is not a time such as"),
        ("9999-12-31T23:59-14:00", "is not a time such as"),
        ("999999999d", "too long ago"),
        ("9999999999d", "too long"),
    ],
)
def test_what_is_no_instant_is_refused(text: str, problem: str) -> None:
    assert problem in refused(INSTANT, text)


# --- all of them -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [DURATION, SIZE, INSTANT, LABEL], ids=lambda kind: kind.name)
@given(value=anything | st.integers() | st.booleans() | st.floats())
def test_no_value_is_worse_than_refused(kind: click.ParamType[Any], value: object) -> None:
    try:
        converted = kind.convert(value, None, None)
    except click.BadParameter as error:
        # Another room prints it: what was typed is shown, never passed to the terminal.
        assert error.message.isprintable()  # noqa: PT017
        return
    # click may convert what it converted already.
    assert kind.convert(converted, None, None) == converted


@pytest.mark.parametrize(
    ("text", "label"),
    [("a=b", ("a", "b")), ("a=", ("a", "")), ("a=b=c", ("a", "b=c")), (("a", "b"), ("a", "b"))],
)
def test_a_label_is_parsed(text: object, label: tuple[str, str]) -> None:
    assert LABEL.convert(text, None, None) == label


@pytest.mark.parametrize("text", ["", "a", "=", "=b"])
def test_what_is_no_label_is_refused(text: str) -> None:
    assert "is not KEY=VALUE" in refused(LABEL, text)


# --- the execution id ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "arguments", "expected"),
    [
        (None, (ID, "a", "b"), (ID, ("a", "b"))),
        (None, ("01J", "a"), ("01J", ("a",))),
        ("", (ID, "a"), (ID, ("a",))),
        (OTHER, (), (OTHER, ())),
        (OTHER, ("a", "b"), (OTHER, ("a", "b"))),
        (OTHER, (ID, "a"), (ID, ("a",))),
        (OTHER, (ID.lower(), "a"), (ID.lower(), ("a",))),
        (OTHER, ("@latest", "a"), ("@latest", ("a",))),
        (OTHER, ("@latest:suite=x", "a"), ("@latest:suite=x", ("a",))),
        (OTHER, (f"{ID}/", "a"), (ID, ("a",))),
        (OTHER, (f"{ID}/a", "b"), (ID, ("a", "b"))),
        (OTHER, ("s3://b/executions/x/", "a"), ("s3://b/executions/x/", ("a",))),
        (None, ("01J/", "a"), ("01J/", ("a",))),
        # A prefix could as well be a file: with the variable set, it is one.
        (OTHER, ("01J", "a"), (OTHER, ("01J", "a"))),
        (OTHER, ("a", ID), (OTHER, ("a", ID))),
        ("@latest", ("stdout",), ("@latest", ("stdout",))),
    ],
)
def test_the_id_is_the_first_argument_or_the_variable(
    monkeypatch: pytest.MonkeyPatch,
    preset: str | None,
    arguments: tuple[str, ...],
    expected: tuple[str, tuple[str, ...]],
) -> None:
    if preset is not None:
        monkeypatch.setenv(EXECUTION_ID_VARIABLE, preset)
    assert split_id(arguments) == expected


def test_an_id_that_is_nowhere_is_a_usage_error_that_names_the_variable() -> None:
    with pytest.raises(click.UsageError, match=EXECUTION_ID_VARIABLE):
        split_id(())
    with pytest.raises(click.UsageError, match=f"'results/' is not one.*{EXECUTION_ID_VARIABLE}"):
        split_id(("results/",))


# --- help ------------------------------------------------------------------------------------


def test_help_ends_with_examples_and_exit_codes() -> None:
    @command(
        examples=(Example("first", "tool one"), Example("then", "tool two")), exit_codes=(0, 4)
    )
    def tool() -> None:
        """Do it."""

    text = tool.get_help(click.Context(tool, info_name="tool"))
    examples, codes = text.partition("Examples:\n")[2].split("Exit codes:\n")
    assert [line.strip() for line in examples.splitlines() if line.strip()] == [
        "# first",
        "tool one",
        "# then",
        "tool two",
    ]
    assert "0    done" in codes
    assert "4    no such execution, file or bucket" in codes
