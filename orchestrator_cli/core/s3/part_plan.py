"""Plan the parts of multipart uploads under S3's limits.

The size of a part follows from its number alone and grows with it, so a stream of unknown length
and a file share one schedule, every host plans the same parts, and any of them can take over
another's unfinished upload. Only a file too large for that schedule gets parts of one fixed size.
The schedule's name is kept in the object's user metadata.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.quantities import GIB, MIB

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
MIN_PART_BYTES = 5 * MIB
MAX_PART_BYTES = 5 * GIB
MAX_PARTS = 10_000
MAX_OBJECT_BYTES = MAX_PARTS * MAX_PART_BYTES

# Small enough that a slow link finishes one before it drops; large enough that S3's response time
# does not dominate. A file of up to one part is sent by one PutObject.
BASE_PART_BYTES = 8 * MIB

# The part size doubles after so many parts: 10,000 parts then hold 7.8 TiB.
PARTS_PER_SIZE = 1_000
MAX_STREAM_BYTES = sum(
    PARTS_PER_SIZE * (BASE_PART_BYTES << step) for step in range(MAX_PARTS // PARTS_PER_SIZE)
)
DOUBLING = f"doubling-{BASE_PART_BYTES}-{PARTS_PER_SIZE}"

_FIXED = r"fixed-([1-9][0-9]{0,12})"


class Part(NamedTuple):
    """One part: its number from 1, and its byte range in the object."""

    number: int
    offset_bytes: int
    size_bytes: int


def part_bytes(number: int) -> int:
    """Return the size of a part that is not the last. Raises UsageError past the last number."""
    if number > MAX_PARTS:
        raise UsageError(
            f"the stream is longer than {MAX_STREAM_BYTES:,} bytes",
            hint="split it over several names",
        )
    return BASE_PART_BYTES << ((number - 1) // PARTS_PER_SIZE)


def is_valid_part_plan(name: str) -> bool:
    """Return True if this is the name of a schedule whose parts S3 takes."""
    fixed = re.fullmatch(_FIXED, name)
    return name == DOUBLING or (
        fixed is not None and MIN_PART_BYTES <= int(fixed[1]) <= MAX_PART_BYTES
    )


def part_plan_for(size_bytes: int) -> str:
    """Return the name of a file's schedule. Raises UsageError where no object can hold it."""
    if size_bytes > MAX_OBJECT_BYTES:
        raise UsageError(f"{size_bytes:,} bytes are more than one S3 object can hold")
    if size_bytes <= MAX_STREAM_BYTES:
        return DOUBLING
    return f"fixed-{-(-size_bytes // MAX_PARTS // MIB) * MIB}"


def plan_parts(size_bytes: int, schedule: str) -> Iterator[Part]:
    """Yield the parts of an object of known size.

    Raises ValueError, before the first part, for a schedule that is unknown or cannot hold it.
    """
    fixed = re.fullmatch(_FIXED, schedule)
    if fixed is None and schedule != DOUBLING:
        raise ValueError(f"unknown part schedule: {schedule!r}")
    if size_bytes > (int(fixed[1]) * MAX_PARTS if fixed else MAX_STREAM_BYTES):
        raise ValueError(f"{schedule} cannot hold {size_bytes:,} bytes")
    offset, number = 0, 1
    while offset < size_bytes:
        limit = int(fixed[1]) if fixed else part_bytes(number)
        size = min(limit, size_bytes - offset)
        yield Part(number, offset, size)
        offset += size
        number += 1
