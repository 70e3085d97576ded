"""Durations, sizes and instants as people write them: 90s, 1.5G, 2d ago, 2026-01-31."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.ASCII | re.IGNORECASE)
_FACTORS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def parse_duration(text: str) -> timedelta:
    """Parse 90s, 15m, 2h, 7d or 1h30m. Raises ValueError."""
    folded = text.strip().lower()
    if not _is_duration(folded):
        raise ValueError(f"{text!r} is not a duration such as 90s, 15m, 2h or 7d")
    try:
        return timedelta(
            seconds=sum(float(n) * _SECONDS[unit] for n, unit in _DURATION.findall(folded))
        )
    except OverflowError as error:
        raise ValueError(f"{text!r} is too long") from error


def parse_size(text: str) -> int:
    """Parse 512K, 5M or 1.5G as bytes; units are powers of 1,024. Raises ValueError."""
    match = _SIZE.fullmatch(text.strip())
    size = int(float(match[1]) * _FACTORS[match[2].upper()]) if match else 0
    if size < 1:
        raise ValueError(f"{text!r} is not a size such as 512K, 5M or 1.5G")
    return size


def parse_instant(text: str, now: datetime) -> datetime:
    """Parse a duration ago (2d), a date (2026-01-31) or RFC 3339 time; UTC where no zone is given.

    Raises ValueError.
    """
    stripped = text.strip()
    if _is_duration(stripped.lower()):
        ago = parse_duration(stripped)
        try:
            return now - ago
        except OverflowError as error:
            raise ValueError(f"{text!r} is too long ago") from error
    try:
        instant = datetime.fromisoformat(stripped)
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"{text!r} is not a time such as 2d, 2026-01-31 or 2026-01-31T08:00Z"
        ) from error


def _is_duration(folded: str) -> bool:
    return bool(folded) and not _DURATION.sub("", folded).strip()
