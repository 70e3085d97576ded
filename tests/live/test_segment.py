"""Where a segment ends, and what S3 keeps with it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from orchestrator_cli.core.base.errors import IntegrityError
from orchestrator_cli.core.live.segment import MAX_SEGMENT_BYTES, Segment, size_of_next
from orchestrator_cli.core.s3.types import ObjectMetadata

SEGMENT = Segment(
    offset=7, size_bytes=3, sha256="ab" * 32, line=2, t0_ms=1, t1_ms=1_800_000_000_000,
    writer="0f" * 16,
)  # fmt: skip
HEAD = ObjectMetadata(
    key="live/x",
    size_bytes=SEGMENT.size_bytes,
    etag="",
    content_type="",
    last_modified=datetime(2026, 1, 1, tzinfo=UTC),
    metadata=SEGMENT.to_user_metadata(),
)


def test_segment_is_what_its_object_says() -> None:
    assert Segment.from_head(7, HEAD) == SEGMENT
    assert (SEGMENT.end, SEGMENT.is_end) == (10, False)
    assert Segment.from_head(7, HEAD._replace(size_bytes=0)).is_end


@pytest.mark.parametrize("name", SEGMENT.to_user_metadata())
@pytest.mark.parametrize("text", [None, "", "-1", "١", "x" * 32, "9" * 40])
def test_object_without_a_valid_field_is_no_segment(name: str, text: str | None) -> None:
    fields = {key: value for key, value in HEAD.metadata.items() if key != name}
    if text is not None:
        fields[name] = text
    with pytest.raises(IntegrityError, match=f"its {name} is not valid"):
        Segment.from_head(7, HEAD._replace(metadata=fields))


def test_object_larger_than_a_segment_is_none() -> None:
    Segment.from_head(7, HEAD._replace(size_bytes=MAX_SEGMENT_BYTES))
    with pytest.raises(IntegrityError):
        Segment.from_head(7, HEAD._replace(size_bytes=MAX_SEGMENT_BYTES + 1))


@pytest.mark.parametrize(
    ("data", "aged", "size"),
    [
        pytest.param(b"", 0, 0, id="nothing"),
        pytest.param(b"a\n", 0, 2, id="a whole line"),
        pytest.param(b"a\nb", 0, 2, id="the rest is young"),
        pytest.param(b"a\nb", 2, 2, id="only the line has waited"),
        pytest.param(b"a\nb", 3, 3, id="the rest has waited too"),
        pytest.param(b"prompt> ", 0, 0, id="a young prompt"),
        pytest.param(b"prompt> ", 1, 8, id="a prompt that has waited"),
        pytest.param(b"a\n" + b"x" * 70_000, 0, 70_002, id="a line too long to wait for"),
        pytest.param(b"\n" * MAX_SEGMENT_BYTES, 0, MAX_SEGMENT_BYTES, id="exactly full"),
        pytest.param(b"x" * (MAX_SEGMENT_BYTES + 9), 0, MAX_SEGMENT_BYTES, id="a backlog"),
        pytest.param(b"x" * (MAX_SEGMENT_BYTES - 2) + b"\n", 0, MAX_SEGMENT_BYTES - 1, id="less"),
    ],
)
def test_segment_ends_after_a_line_where_one_ends_soon(data: bytes, aged: int, size: int) -> None:
    assert size_of_next(data, aged) == size
