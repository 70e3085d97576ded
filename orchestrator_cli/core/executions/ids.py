"""Execution ids: ULIDs, and the arithmetic on the time inside them."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.text import printable

LATEST = "@latest"
URL_SCHEME = "s3://"
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_ULID_PREFIX = r"[0-7][0-9A-HJKMNP-TV-Z]{0,25}"
# An object's URL, a page of `serve` or a presigned URL, a key, or an id alone; then a path.
_PLACE = (
    rf"(?P<where>(?:(?:{URL_SCHEME}[^/]+/|https?://.*/)?executions?/)?)"
    rf"(?P<execution>{_ULID.pattern}|{LATEST})(?:/(?P<path>.*))?"
)
# A page of `serve` names a log without its suffix.
_PAGE_OF_LOG = r"logs/([^/.]+)"
_MAX_ULID_MILLISECONDS = 2**48 - 1
# Clocks differ by at most this; an id from further ahead is not ours.
CLOCK_SKEW = timedelta(hours=24)
# Of the 128 bits of an id; those before are its instant in milliseconds.
NUMBER_RANDOM_BITS = 80
# What ids tell apart.
MILLISECOND = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_execution_id(text: str) -> str:
    """Return the canonical form of a ULID. Raises UsageError."""
    folded = text.upper()
    if not _ULID.fullmatch(folded):
        raise UsageError(
            f"not an execution id: {printable(text)!r}",
            hint="an execution id is a ULID: 26 characters, the first 0-7, no I, L, O or U",
        )
    return folded


def is_execution_id(text: str) -> bool:
    """Return True if the text is a ULID in canonical form."""
    return _ULID.fullmatch(text) is not None


def is_execution_id_prefix(text: str) -> bool:
    """Return True if a canonical ULID can start with this text, upper or lower case."""
    return re.fullmatch(_ULID_PREFIX, text.upper()) is not None


def is_selector(text: str) -> bool:
    """Return True if the text can only mean an execution: a whole id, an s3:// URL or @latest."""
    if text == LATEST or text.startswith((LATEST + ":", URL_SCHEME)):
        return True
    return is_execution_id(text.removesuffix("/").upper())


def split_place(text: str) -> tuple[str, str]:
    """Return the selector of an execution, and the path in it that a text goes on to name.

    `ID/logs/stdout.log`, `s3://bucket/executions/ID/logs/stdout.log`, the key of that object, its
    presigned URL and a page of `serve` name both. What is no such place is returned as it is.
    """
    if is_execution_id(text.upper()):
        # The usual case: the pattern takes half a millisecond to compile.
        return text, ""
    is_web = text.startswith(("http://", "https://"))
    shown = re.split("[?#]", text, maxsplit=1)[0] if is_web else text
    place = re.fullmatch(_PLACE, shown, re.DOTALL | re.IGNORECASE)
    if place is None:
        return text, ""
    where = place["where"] if place["where"].startswith(URL_SCHEME) else ""
    path = place["path"] or ""
    return where + place["execution"], _path_of_url(path) if is_web else path


def _path_of_url(quoted: str) -> str:
    from urllib.parse import unquote

    path = unquote(quoted)
    page = re.fullmatch(_PAGE_OF_LOG, path)
    return page[1] if page else path


def new_execution_id(now: datetime, randomness: bytes) -> str:
    """Return the ULID of an instant and 10 random bytes."""
    from ulid import ULID

    return str(ULID.from_bytes(_milliseconds(now).to_bytes(6, "big") + randomness))


def random_execution_id(now: datetime) -> str:
    """Return a fresh ULID of this instant."""
    return new_execution_id(now, os.urandom(10))


def execution_time(execution_id: str) -> datetime:
    """Return the instant inside a ULID, in UTC.

    The 48 bits reach the year 10889; what datetime cannot hold is clamped to its maximum.
    """
    from ulid import ULID

    milliseconds = int.from_bytes(ULID.from_str(execution_id).bytes[:6], "big")
    try:
        return _EPOCH + milliseconds * MILLISECOND
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def execution_number(execution_id: str) -> int:
    """Return a ULID as the number that it is; numbers sort as ids do."""
    from ulid import ULID

    return int(ULID.from_str(execution_id))


def numbered_execution_id(number: int) -> str:
    """Return the ULID of a number."""
    from ulid import ULID

    return str(ULID.from_int(number))


def first_execution_id(instant: datetime) -> str:
    """Return the smallest ULID of an instant's millisecond."""
    return new_execution_id(instant, b"\x00" * 10)


def last_execution_id(instant: datetime) -> str:
    """Return the largest ULID of an instant's millisecond."""
    return new_execution_id(instant, b"\xff" * 10)


def _milliseconds(instant: datetime) -> int:
    milliseconds = (instant - _EPOCH) // MILLISECOND
    return min(max(milliseconds, 0), _MAX_ULID_MILLISECONDS)
