"""The bucket that files for other systems name, and checks of what may stand in such files.

Every value is checked against what may stand in its place, so that none needs more quoting than
its place gives it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.text import printable

_PATTERNS = {
    "bucket": r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]",
    "region": r"[a-z]{2}(-[a-z]+)+-\d",
    "bench": r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}",
    "root": r"/[A-Za-z0-9/._-]*",
    "user": r"[a-z_][a-z0-9_-]{0,31}",
    "server name": r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?",
    "name": r"[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?",
    "image": r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,254}",
    "role ARN": r"arn:aws[a-z-]*:iam::\d{12}:role/[A-Za-z0-9+=,.@_/-]+",
    "OIDC provider": r"arn:aws[a-z-]*:iam::\d{12}:oidc-provider/[A-Za-z0-9._/-]+",
    "duration": r"\d+(ms|s|m|h|d|w)",
    "number of CPUs": r"\d+(\.\d+|m)?",
    "amount of memory": r"\d+(\.\d+)?(Ki|Mi|Gi|Ti|k|M|G|T)?",
}
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
_PARTITIONS = {
    "cn-": "aws-cn",
    "us-gov-": "aws-us-gov",
    "us-isob-": "aws-iso-b",
    "us-isof-": "aws-iso-f",
    "eu-isoe-": "aws-iso-e",
    "us-iso-": "aws-iso",
    "eusc-": "aws-eusc",
}


@dataclass(frozen=True, slots=True)
class BucketTarget:
    """The bucket that everything is stored in, and its region."""

    bucket: str
    region: str

    def __post_init__(self) -> None:
        validate("bucket", self.bucket)
        validate("region", self.region)


def validate(what: str, value: str) -> str:
    """Return a value that may stand in a file in its place. Raises UsageError."""
    if not re.fullmatch(_PATTERNS[what], value, re.ASCII):
        raise UsageError(f"not a {what} for these files: {printable(value)!r}")
    return value


def one_line(text: str) -> str:
    """Return a text that has one line and no control characters. Raises UsageError."""
    if not text or not text.isprintable():
        raise UsageError(f"not one line of text: {printable(text)!r}")
    return text


def any_text(text: str) -> str:
    """Return what may be an argument of a program: any text without NUL. Raises UsageError."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"not UTF-8 text: {printable(text)!r}") from None
    if "\0" in text:
        raise UsageError(f"no argument can hold NUL: {printable(text)!r}")
    return text


def bucket_arn(bucket: str, region: str | None) -> str:
    """Return a bucket's ARN, in the partition of its region."""
    return f"arn:{partition_of(region)}:s3:::{bucket}"


def partition_of(region: str | None) -> str:
    """Return the partition of a region; AWS's own where none is known."""
    partitions = (name for start, name in _PARTITIONS.items() if (region or "").startswith(start))
    return next(partitions, "aws")
