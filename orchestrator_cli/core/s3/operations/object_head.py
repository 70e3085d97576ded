"""Parse the headers by which S3 describes an object."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache

from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.http.transport import Response
from orchestrator_cli.core.s3.checksum import parse_s3_checksum
from orchestrator_cli.core.s3.compare import SHA256_METADATA
from orchestrator_cli.core.s3.error_codes import unexpected_response
from orchestrator_cli.core.s3.types import ObjectMetadata

_METADATA_HEADER = "x-amz-meta-"
SHA256_HEADER = _METADATA_HEADER + SHA256_METADATA
_MAX_DATE_CHARACTERS = 60
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


def parse_object_head(key: str, response: Response, size_bytes: int) -> ObjectMetadata:
    """Parse the headers. Raises UnavailableError where one is missing that every S3 sends."""
    try:
        last_modified = parse_http_date(response.header("last-modified"))
    except ValueError as error:
        raise unexpected_response(f"look-up of {printable(key)}") from error
    return ObjectMetadata(
        key=key,
        size_bytes=size_bytes,
        etag=response.header("etag").strip('"'),
        content_type=response.header("content-type", "application/octet-stream"),
        last_modified=last_modified,
        metadata=_user_metadata(response.headers),
        checksum=parse_s3_checksum(response.header("x-amz-checksum-sha256")),
        storage_class=response.header("x-amz-storage-class", "STANDARD"),
        restore=response.header("x-amz-restore") or None,
    )


def parse_age_seconds(response: Response) -> float | None:
    """Return an object's age at the time of the response, by S3's clock; None where it is missing.

    Both times are whole seconds.
    """
    try:
        now = parse_http_date(response.header("date"))
        return max(0.0, (now - parse_http_date(response.header("last-modified"))).total_seconds())
    except ValueError:
        return None


@lru_cache(maxsize=64)
def parse_http_date(text: str) -> datetime:
    """Parse an HTTP date, the usual form without the import for the others. Raises ValueError."""
    try:
        day, month, year, time_of_day, zone = text.partition(", ")[2].split(" ")
        hour, minute, second = map(int, time_of_day.split(":"))
        if zone == "GMT":
            number = _MONTHS.index(month) + 1
            return datetime(int(year), number, int(day), hour, minute, second, tzinfo=UTC)
    except (ValueError, OverflowError):
        pass
    return _other_date(text)


def _other_date(text: str) -> datetime:
    from email.utils import parsedate_to_datetime

    if len(text) > _MAX_DATE_CHARACTERS:
        raise ValueError("longer than any date")
    try:
        date = parsedate_to_datetime(text)
    except (TypeError, OverflowError, IndexError) as error:
        raise ValueError("not a date") from error
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)


def _user_metadata(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name.removeprefix(_METADATA_HEADER): text
        for name, text in headers.items()
        if name.startswith(_METADATA_HEADER)
    }
