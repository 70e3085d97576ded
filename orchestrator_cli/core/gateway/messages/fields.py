"""Fields that several messages between a client and `orchestrator serve` share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from orchestrator_cli.core.executions.keys import MAX_KEY_BYTES
from orchestrator_cli.core.s3.part_plan import MAX_OBJECT_BYTES, MAX_STREAM_BYTES
from orchestrator_cli.core.s3.types import SHA256_HEX

_CONTENT_TYPE = r"^[A-Za-z0-9_!#$&^.+-]{1,100}/[A-Za-z0-9_!#$&^.+-]{1,100}(;[\x20-\x7e]{0,100})?$"
EXAMPLE_ID = "01JAB3C4D5E6F7G8H9JKMNPQRS"

EXAMPLE_URL = (
    f"https://bucket.s3.eu-central-1.amazonaws.com/executions/{EXAMPLE_ID}/artifacts/custom/a.txt?…"
)
EXAMPLE_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
SCHEDULE_MEANING = (
    "`doubling-FIRST-COUNT`: parts of FIRST bytes, doubled after every COUNT parts. "
    f"`fixed-SIZE`: parts of SIZE bytes, for files of more than {MAX_STREAM_BYTES:,} bytes. The "
    "last part may be smaller."
)
EXAMPLE_UPLOAD_ID = "2~VmVyeSBsb25nIHVwbG9hZCBpZA"

OfferedPath = Annotated[
    str,
    Field(
        description="A path relative to the directory that is uploaded, or a path that a response "
        "has returned. It determines where the file is stored.",
        min_length=1,
        max_length=MAX_KEY_BYTES,
        examples=["artifacts/custom/a.txt"],
    ),
]
Size = Annotated[int, Field(ge=0, le=MAX_OBJECT_BYTES, examples=[4])]
Sha256 = Annotated[str, Field(pattern=rf"^{SHA256_HEX}$", examples=[EXAMPLE_SHA256])]
Md5 = Annotated[
    str,
    Field(
        description="Required if `content_md5` is true.",
        pattern=r"^[0-9a-f]{32}$",
        examples=["098f6bcd4621d373cade4e832627b4f6"],
    ),
]
ContentType = Annotated[
    str,
    Field(
        description="If it is left out, the suffix of the name determines it.",
        max_length=300,
        pattern=_CONTENT_TYPE,
        examples=["text/plain; charset=utf-8"],
    ),
]
UploadId = Annotated[str, Field(min_length=1, max_length=1024, examples=[EXAMPLE_UPLOAD_ID])]
CompositeChecksum = Annotated[
    str,
    Field(
        pattern="^(sha256:[0-9a-f]{64}|md5:[0-9a-f]{32})-[1-9][0-9]{0,4}$",
        examples=[f"sha256:{EXAMPLE_SHA256}-3"],
        description="A composite checksum, which ends in the number of parts.",
    ),
]


class StrictRequest(BaseModel):
    """A request that is refused if it has unknown fields or fields of another type."""

    model_config = ConfigDict(extra="forbid", strict=True)
