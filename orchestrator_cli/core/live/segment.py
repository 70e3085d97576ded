"""A segment of a live log: what S3 keeps with its bytes, and where one ends."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator_cli.core.base.errors import IntegrityError
from orchestrator_cli.core.base.quantities import KIB, MIB
from orchestrator_cli.core.base.text import printable
from orchestrator_cli.core.s3.types import SHA256_HEX, ObjectMetadata

MAX_SEGMENT_BYTES = 8 * MIB
# A line that began further back than this is cut wherever it is.
_NEAR_END_BYTES = 64 * KIB
_NUMBER = r"[0-9]{1,20}"
# The random id of a writer.
WRITER_ID = r"[0-9a-f]{32}"


@dataclass(frozen=True, slots=True)
class Segment:
    """Some bytes of a log: where they begin, and who wrote them when.

    `line` is the number of newlines before them; `t0_ms` and `t1_ms` are when the first and the
    last of them arrived, in milliseconds since 1970 by the writer's clock. One without bytes is the
    end marker: the log ends at its offset.
    """

    offset: int
    size_bytes: int
    sha256: str
    line: int
    t0_ms: int
    t1_ms: int
    writer: str

    @property
    def is_end(self) -> bool:
        """Whether the log ends here."""
        return self.size_bytes == 0

    @property
    def end(self) -> int:
        """The offset of what follows."""
        return self.offset + self.size_bytes

    def to_user_metadata(self) -> dict[str, str]:
        """Return the object's user metadata."""
        return {
            "sha256": self.sha256,
            "line": str(self.line),
            "t0": str(self.t0_ms),
            "t1": str(self.t1_ms),
            "writer": self.writer,
        }

    @classmethod
    def from_head(cls, offset: int, head: ObjectMetadata) -> Segment:
        """Return the segment at an offset that a look-up found. Raises IntegrityError."""
        fields, where = head.metadata, printable(head.key)
        if head.size_bytes > MAX_SEGMENT_BYTES:
            raise IntegrityError(f"{where} is larger than a segment may be")
        return cls(
            offset,
            head.size_bytes,
            _text(fields, "sha256", SHA256_HEX, where),
            int(_text(fields, "line", _NUMBER, where)),
            int(_text(fields, "t0", _NUMBER, where)),
            int(_text(fields, "t1", _NUMBER, where)),
            _text(fields, "writer", WRITER_ID, where),
        )


def _text(fields: Mapping[str, str], name: str, form: str, where: str) -> str:
    text = fields.get(name, "")
    if re.fullmatch(form, text) is None:
        raise IntegrityError(f"{where} is not a segment of a live log: its {name} is not valid")
    return text


def size_of_next(
    data: bytes | bytearray, aged_bytes: int, most_bytes: int = MAX_SEGMENT_BYTES
) -> int:
    """Return how many of the bytes that wait make the next segment; 0 to wait for more.

    `aged_bytes` of them have waited for one interval. A line that is not yet whole waits so long
    too, since the rest of it is mostly on its way.
    """
    if len(data) >= most_bytes:
        return most_bytes
    near_end = max(0, len(data) - _NEAR_END_BYTES)
    line_end = data.rfind(b"\n", near_end) + 1
    if line_end == 0 and near_end > 0:
        return len(data)
    return len(data) if aged_bytes > line_end else line_end
