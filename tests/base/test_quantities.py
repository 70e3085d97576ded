"""Sizes, durations and instants as they are written, and times that depend on a zone.

What people may type is tested with the options that take it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from orchestrator_cli.core.base.quantities import (
    format_duration,
    format_size,
    parse_instant,
    parse_size,
    rfc3339,
)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1024**2 * 1.5, "1.5 MiB"),
        (5 * 1024**3, "5.0 GiB"),
        (3 * 1024**5, "3072.0 TiB"),
    ],
)
def test_a_size_is_written_in_powers_of_1024_and_parses_back(size: float, text: str) -> None:
    assert format_size(size) == text
    if size:
        assert parse_size(text) == size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0s"),
        (59, "59s"),
        (59.6, "1m 00s"),
        (185, "3m 05s"),
        (3599.6, "1h 00m"),
        (7380, "2h 03m"),
        (90_000, "25h 00m"),
    ],
)
def test_a_duration_is_written_in_two_units(seconds: float, text: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == text


def test_an_instant_is_written_in_utc() -> None:
    instant = datetime(2026, 1, 31, 9, 30, 0, 123_456, tzinfo=timezone(timedelta(hours=1)))
    assert rfc3339(instant) == "2026-01-31T08:30:00.123Z"
    assert rfc3339(instant, "seconds") == "2026-01-31T08:30:00Z"


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("today", "2026-03-29T00:00+09:00"),
        (" Yesterday ", "2026-03-28T00:00+09:00"),
        # It is a Sunday there.
        ("Monday", "2026-03-23T00:00+09:00"),
        ("sunday", "2026-03-29T00:00+09:00"),
        ("last sunday", "2026-03-22T00:00+09:00"),
        ("last  week", "2026-03-22T08:30+09:00"),
        ("08:15", "2026-03-29T08:15+09:00"),
        ("8:15", "2026-03-29T08:15+09:00"),
        ("08:30:01", "2026-03-28T08:30:01+09:00"),
        ("14:30", "2026-03-28T14:30+09:00"),
        ("2026-03-01", "2026-03-01T00:00+09:00"),
        ("2026-03-01T08:00Z", "2026-03-01T17:00+09:00"),
    ],
)
def test_words_and_times_are_of_a_zone(text: str, instant: str) -> None:
    zone = timezone(timedelta(hours=9))
    now = datetime(2026, 3, 28, 23, 30, tzinfo=UTC)
    assert parse_instant(text, now, zone) == datetime.fromisoformat(instant)
