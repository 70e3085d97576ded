"""The bucket that generated files name, and the validation of values that are written into them.

Each kind of value has a pattern that excludes every character that would need quoting.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.s3.regions import REGION, partition_of

_PATTERNS = {
    "bucket name": r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]",
    "region": REGION,
    "bench": r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}",
    "absolute path": r"/[A-Za-z0-9/._-]*",
    "user or group": r"[a-z_][a-z0-9_-]{0,31}",
    "server name": r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?",
    "name": r"[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?",
    "image": r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,254}",
    "role ARN": r"arn:aws[a-z-]*:iam::\d{12}:role/[A-Za-z0-9+=,.@_/-]+",
    "OIDC provider": r"arn:aws[a-z-]*:iam::\d{12}:oidc-provider/[A-Za-z0-9._/-]+",
    "duration": r"\d+(ms|s|m|h|d|w)",
    "number of CPUs": r"\d+(\.\d+|m)?",
    "amount of memory": r"\d+(\.\d+)?(Ki|Mi|Gi|Ti|k|M|G|T)?",
}


@dataclass(frozen=True, slots=True)
class BucketTarget:
    """The bucket that generated files name, and its region. Raises UsageError if invalid."""

    bucket: str
    region: str

    def __post_init__(self) -> None:
        validate("bucket name", self.bucket)
        validate("region", self.region)


def validate(kind: str, value: str) -> str:
    """Return the value if it matches the pattern of its kind. Raises UsageError."""
    if not re.fullmatch(_PATTERNS[kind], value, re.ASCII):
        raise UsageError(f"not a valid {kind}: {printable(value)!r}")
    return value


def validate_line(text: str) -> str:
    """Return a text that is one line without control characters. Raises UsageError."""
    if not text or not text.isprintable():
        raise UsageError(f"not one line of text: {printable(text)!r}")
    return text


def validate_argument(text: str) -> str:
    """Return a text that can be an argument of a program: UTF-8 without NUL. Raises UsageError."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"not UTF-8 text: {printable(text)!r}") from None
    if "\0" in text:
        raise UsageError(f"an argument cannot contain NUL: {printable(text)!r}")
    return text


def shell_quote(text: str) -> str:
    """Return a text as one word of a POSIX shell. Raises UsageError."""
    return shlex.quote(validate_argument(text))


def bucket_arn(bucket: str, region: str | None) -> str:
    """Return the ARN of a bucket, in the partition of its region."""
    return f"arn:{partition_of(region).name}:s3:::{bucket}"
