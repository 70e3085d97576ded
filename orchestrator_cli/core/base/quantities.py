"""Durations, sizes and instants as people write and read them: 90s, 1.5G, 2d ago, 2026-01-31."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta, tzinfo

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
# Compiled at the first use, since most commands parse none.
_DURATION = r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)"
_UNIT_WORDS = r"\s*(?<![a-z])(weeks?|days?|hours?|hrs?|minutes?|mins?|seconds?|secs?)\b"
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_TIME_OF_DAY = r"(?a:([01]?\d|2[0-3]):\d\d(:\d\d)?)"
_SIZE = r"(?ai:(\d{1,15}(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?)"
_FACTORS = {"": 1, "K": KIB, "M": MIB, "G": GIB, "T": 1024 * GIB}


def parse_duration(text: str) -> timedelta:
    """Parse 90s, 15m, 2h, 7d or 1h30m. Raises ValueError."""
    folded = text.strip().lower()
    if not _is_duration(folded):
        raise ValueError(f"{text!r} is not a duration such as 90s, 15m, 2h or 7d")
    try:
        return timedelta(
            seconds=sum(float(n) * _SECONDS[unit] for n, unit in re.findall(_DURATION, folded))
        )
    except OverflowError as error:
        raise ValueError(f"{text!r} is too long") from error


def parse_size(text: str) -> int:
    """Parse 512K, 5M or 1.5G as bytes; units are powers of 1,024. Raises ValueError."""
    match = re.fullmatch(_SIZE, text.strip())
    size = int(float(match[1]) * _FACTORS[match[2].upper()]) if match else 0
    if size < 1:
        raise ValueError(f"{text!r} is not a size such as 512K, 5M or 1.5G")
    return size


def format_size(size_bytes: float) -> str:
    """Write a size as 4.0 KiB; powers of 1,024."""
    if size_bytes < 1024:
        return f"{int(size_bytes)} B"
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        size_bytes /= 1024
        if size_bytes < 1024 or unit == "TiB":
            break
    return f"{size_bytes:.1f} {unit}"


def format_duration(duration: timedelta) -> str:
    """Write a duration as 7s, 3m 05s or 2h 03m."""
    minutes, seconds = divmod(round(duration.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02}m"
    return f"{minutes}m {seconds:02}s" if minutes else f"{seconds}s"


def rfc3339(instant: datetime, timespec: str = "milliseconds") -> str:
    """Write an instant as 2026-01-31T08:00:00.000Z, or to the `seconds`."""
    return instant.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def parse_instant(text: str, now: datetime, zone: tzinfo | None = UTC) -> datetime:
    """Parse a duration ago (2d, 2 days ago), yesterday, monday, 14:30, a date or an RFC 3339 time.

    What names no zone is a time of `zone`, None being this machine's: days begin at its midnight,
    and monday and 14:30 are the last ones that were. "last week" is 7 days ago. Raises ValueError.
    """
    stripped = text.strip().lower()
    stripped = re.sub(r"^(last|past)\s+(?=week$|day$|hour$)", "1 ", stripped)
    short = re.sub(_UNIT_WORDS, lambda found: found[1][0], stripped.removesuffix("ago").strip())
    if _is_duration(short):
        ago = parse_duration(short)
        try:
            return now - ago
        except OverflowError as error:
            raise ValueError(f"{text!r} is too long ago") from error
    try:
        instant = _parse_words(stripped, now.astimezone(zone)) or datetime.fromisoformat(
            text.strip()
        )
        if instant.tzinfo is None:
            # A naive one is this machine's time for astimezone().
            instant = instant.replace(tzinfo=zone)
        return instant.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"{text!r} is not a time such as 2d, yesterday, 14:30, monday, 2026-01-31 "
            "or 2026-01-31T08:00Z"
        ) from error


def _parse_words(folded: str, now: datetime) -> datetime | None:
    """Return the time of a zone, without that zone, that today, monday or 14:30 means."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    if folded == "today":
        return midnight
    if folded == "yesterday":
        return midnight - timedelta(days=1)
    day = re.sub(r"^last\s+", "", folded)
    if day in _WEEKDAYS:
        ago = (midnight.weekday() - _WEEKDAYS.index(day)) % 7
        # Said on a Monday, "last monday" is not today.
        return midnight - timedelta(days=ago or 7 * (day != folded))
    if not re.fullmatch(_TIME_OF_DAY, folded):
        return None
    instant = datetime.combine(midnight, time.fromisoformat(folded.rjust(5, "0")))
    return instant if instant <= now.replace(tzinfo=None) else instant - timedelta(days=1)


def _is_duration(folded: str) -> bool:
    return bool(folded) and not re.sub(_DURATION, "", folded).strip()
