"""Part plans keep S3's limits, and every host makes the same one."""

from __future__ import annotations

from itertools import islice, pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.quantities import GIB, MIB
from orchestrator_cli.core.s3.part_plan import (
    BASE_PART_BYTES,
    DOUBLING,
    MAX_OBJECT_BYTES,
    MAX_PART_BYTES,
    MAX_PARTS,
    MAX_STREAM_BYTES,
    MIN_PART_BYTES,
    PARTS_PER_SIZE,
    Part,
    part_bytes,
    part_plan_for,
    plan_parts,
)

BASE = BASE_PART_BYTES
sizes = st.integers(0, 64 * BASE) | st.integers(0, MAX_OBJECT_BYTES)


@given(sizes)
@example(0)
@example(1)
@example(BASE)
@example(BASE + 1)
@example(PARTS_PER_SIZE * BASE)
@example(PARTS_PER_SIZE * BASE + 1)
@example(MAX_STREAM_BYTES)
@example(MAX_STREAM_BYTES + 1)
@example(MAX_OBJECT_BYTES - 1)
@example(MAX_OBJECT_BYTES)
def test_a_plan_keeps_the_limits_of_s3(size_bytes: int) -> None:
    parts = list(plan_parts(size_bytes, part_plan_for(size_bytes)))
    assert len(parts) <= MAX_PARTS
    assert [part.number for part in parts] == list(range(1, len(parts) + 1))
    assert sum(part.size_bytes for part in parts) == size_bytes
    assert all(part.size_bytes <= MAX_PART_BYTES for part in parts)
    assert all(part.size_bytes >= MIN_PART_BYTES for part in parts[:-1])
    assert all(part.size_bytes > 0 for part in parts[-1:])
    assert all(part.offset_bytes == 0 for part in parts[:1])
    for before, after in pairwise(parts):
        assert after.offset_bytes == before.offset_bytes + before.size_bytes


def test_the_limits_are_those_that_s3_documents() -> None:
    assert (MIN_PART_BYTES, MAX_PART_BYTES, MAX_PARTS) == (5 * MIB, 5 * GIB, 10_000)
    assert MAX_OBJECT_BYTES == 50_000 * GIB


@given(st.integers(0, MAX_STREAM_BYTES))
def test_a_file_and_a_stream_have_the_same_parts(size_bytes: int) -> None:
    parts = list(plan_parts(size_bytes, part_plan_for(size_bytes)))
    assert part_plan_for(size_bytes) == DOUBLING
    assert all(part.size_bytes == part_bytes(part.number) for part in parts[:-1])


def test_a_stream_has_room_up_to_the_last_part_and_no_further() -> None:
    assert part_bytes(1) == part_bytes(PARTS_PER_SIZE) == BASE
    assert part_bytes(PARTS_PER_SIZE + 1) == 2 * BASE
    assert part_bytes(MAX_PARTS) == 4 * GIB
    assert sum(map(part_bytes, range(1, MAX_PARTS + 1))) == MAX_STREAM_BYTES
    with pytest.raises(UsageError, match="longer than") as raised:
        part_bytes(MAX_PARTS + 1)
    assert raised.value.hint


@given(st.integers(MAX_STREAM_BYTES + 1, MAX_OBJECT_BYTES))
def test_a_larger_file_has_the_smallest_parts_of_whole_mebibytes_that_hold_it(size: int) -> None:
    schedule = part_plan_for(size)
    part_size = int(schedule.removeprefix("fixed-"))
    assert part_size % MIB == 0
    assert (part_size - MIB) * MAX_PARTS < size <= part_size * MAX_PARTS
    assert {part.size_bytes for part in islice(plan_parts(size, schedule), 5)} == {part_size}


def test_what_no_object_can_hold_is_refused() -> None:
    with pytest.raises(UsageError, match="more than one S3 object can hold"):
        part_plan_for(MAX_OBJECT_BYTES + 1)


def test_the_schedule_of_an_object_can_be_small() -> None:
    assert list(plan_parts(7, "fixed-3")) == [Part(1, 0, 3), Part(2, 3, 3), Part(3, 6, 1)]


@pytest.mark.parametrize(
    "schedule",
    [
        "",
        "doubling",
        DOUBLING.upper(),
        f"doubling-{BASE}-{PARTS_PER_SIZE + 1}",
        "fixed-",
        "fixed-0",
        "fixed--1",
        "fixed-08",
        "fixed-1.5",
        "fixed-٣",
        "fixed-8\n",
        "fixed-" + "9" * 5000,
    ],
)
def test_an_unknown_schedule_is_refused(schedule: str) -> None:
    with pytest.raises(ValueError, match="unknown part schedule"):
        next(plan_parts(100, schedule))


@pytest.mark.parametrize(
    ("schedule", "size_bytes"),
    # The first would otherwise keep whoever reads a foreign object's metadata busy for days.
    [("fixed-1", 50 * GIB), ("fixed-1", MAX_PARTS + 1), (DOUBLING, MAX_STREAM_BYTES + 1)],
)
def test_a_schedule_that_cannot_hold_the_object_is_refused_at_once(
    schedule: str, size_bytes: int
) -> None:
    with pytest.raises(ValueError, match="cannot hold"):
        next(plan_parts(size_bytes, schedule))
    assert len(list(plan_parts(MAX_PARTS, "fixed-1"))) == MAX_PARTS
